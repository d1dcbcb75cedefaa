"""Descriptions, JSON and tokens that are too much or not meant, on a real server with a call on it."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from sfu.settings.models import LimitSettings
from tests.support.callers import signaling
from tests.support.ground import Ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEAD = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
SECTION = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
REFUSED_WITHIN_S = 2.0
"""From the message to the answer, on a busy machine: far below what a quadratic parser takes."""

DESCRIPTIONS = {
    "nearly_a_megabyte": HEAD + "a=x\r\n" * 140_000,
    "one_long_line": HEAD + "a=" + "x" * 900_000 + "\r\n",
    "no_line_ends": "v=0 " * 200_000,
    "ten_thousand_sections": HEAD + SECTION * 10_000,
    "a_section_too_many": HEAD + SECTION * 201,
    "a_thousand_payload_types": HEAD + "m=audio 9 UDP/TLS/RTP/SAVPF " + "1 " * 4000 + "\r\n",
    "a_bundle_of_everything": HEAD + "a=group:BUNDLE " + "0 " * 4000 + "\r\n" + SECTION * 100,
    "nothing": "",
    "zeros": "\x00" * 1000,
}

MESSAGES = {
    "deep_arrays": "[" * 200_000,
    "deep_objects": '{"type":' * 100_000,
    "deep_and_closed": '{"type":"join","tracks":' + "[" * 50_000 + "]" * 50_000 + "}",
    "not_a_number": '{"type":"join","protocol":NaN}',
    "a_huge_number": '{"type":"join","protocol":' + "9" * 100_000 + "}",
    "duplicate_keys": '{"type":"join","type":"leave","protocol":1,"protocol":[]}',
    "null_everywhere": '{"type":"join","protocol":1,"offer":null,"tracks":null,"client":null}',
    "a_million_tracks": '{"type":"join","protocol":1,"tracks":[' + "{}," * 250_000 + "{}]}",
    "lone_surrogates": '{"type":"join","protocol":1,"client":{"sdk":"\\ud800\\udfff\\ud800"}}',
    "prototypes": '{"type":"__proto__","constructor":{"prototype":{}}}',
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
async def test_a_description_that_is_too_much_is_refused_at_once(ground: Ground, name: str) -> None:
    token = ground.token("mallory")
    async with signaling(ground.callers, ground.server.ws_url, token) as mallory, ground.undisturbed():
        began_at = time.monotonic()
        await mallory.say(type="join", protocol=1, offer=DESCRIPTIONS[name])
        error = await mallory.hear("error")
        assert time.monotonic() - began_at < REFUSED_WITHIN_S
        assert error["code"] in ("invalid_sdp", "negotiation_failed", "bad_message"), error
        assert len(error["message"]) < 1000, "it repeats what it was sent"


async def test_a_description_larger_than_a_message_may_be_ends_the_connection(ground: Ground) -> None:
    token = ground.token("mallory")
    async with signaling(ground.callers, ground.server.ws_url, token) as mallory, ground.undisturbed():
        # It is refused by its announced length, perhaps while it is still being sent.
        with contextlib.suppress(ConnectionClosed):
            await mallory.say(type="join", protocol=1, offer="x" * (LimitSettings().message_bytes + 1))
        await mallory.socket.wait_closed()
        assert mallory.socket.close_code == 1009


@pytest.mark.parametrize("name", MESSAGES)
async def test_json_that_nobody_means_is_refused_at_once(ground: Ground, name: str) -> None:
    token = ground.token("mallory")
    async with signaling(ground.callers, ground.server.ws_url, token) as mallory, ground.undisturbed():
        began_at = time.monotonic()
        await mallory.socket.send(MESSAGES[name])
        error = await mallory.hear("error")
        assert time.monotonic() - began_at < REFUSED_WITHIN_S
        assert error["code"] in ("bad_message", "unknown_type", "not_joined"), error
        assert len(error["message"]) < 1000, "it repeats what it was sent"


async def test_a_flood_of_offers_is_cut_off(ground: Ground) -> None:
    """Each good by itself: negotiation is the dearest thing that a client may ask for."""
    token = ground.token("mallory")
    async with signaling(ground.callers, ground.server.ws_url, token) as mallory, ground.undisturbed():
        sdp, _ = mallory.offer(receive=20)
        await mallory.say(type="join", protocol=1, offer=sdp)
        await mallory.hear("joined")
        with contextlib.suppress(ConnectionClosed):
            for number in range(5000):
                await mallory.say(type="offer", id=number, sdp=sdp)
        await mallory.socket.wait_closed()
        # 4006: a machine too busy to be asked 50 times a second ends it by the deadline of the connection.
        assert mallory.socket.close_code in (4011, 4006, 1006)


def forged(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token with any header, not signed by anybody."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def claims(**change: Any) -> dict[str, Any]:
    """Those of a good token."""
    grant = {"roomJoin": True, "room": "standup"}
    return {"iss": "devkey", "sub": "mallory", "exp": int(time.time()) + 600, "video": grant, **change}


@pytest.mark.parametrize(
    "token",
    [
        forged({"alg": "none", "typ": "JWT"}, claims()),
        forged({"alg": "NoNe"}, claims()),
        forged({"alg": "RS256"}, claims(), b"s" * 256),
        forged({"alg": "HS512"}, claims(), b"s" * 64),
        forged({"alg": "HS256", "jwk": {"kty": "oct", "k": "c2VjcmV0"}}, claims(), b"s" * 32),
        forged({"alg": "HS256", "kid": "../../dev/null"}, claims(), b"s" * 32),
        forged({"alg": "HS256", "crit": ["b64"], "b64": False}, claims(), b"s" * 32),
        forged({"alg": "HS256"}, claims(iss=["devkey"]), b"s" * 32),
        forged({"alg": "HS256"}, claims(iss=None), b"s" * 32),
        "a.b.c",
        "." * 1000,
    ],
)
async def test_a_token_that_nobody_signed_opens_nothing(ground: Ground, token: str) -> None:
    async with ground.undisturbed(), connect(f"{ground.server.ws_url}/signal?access_token={token}") as socket:
        assert json.loads(await socket.recv())["code"] == "unauthorized"
        await socket.wait_closed()
        assert socket.close_code == 4001


async def test_a_token_for_one_room_opens_no_other(ground: Ground) -> None:
    """A session of one room cannot be resumed, nor its people be sent to, with another room's token."""
    other = ground.token("mallory", "elsewhere")
    async with signaling(ground.callers, ground.server.ws_url, other) as mallory, ground.undisturbed():
        session = ground.speaker.joined["session_id"]
        await mallory.say(type="resume", protocol=1, session_id=session, last_seq=0)
        assert (await mallory.hear("error"))["code"] == "session_gone"
