"""LiveKit's signaling with requests nobody's SDK sends, on a real server with a call on it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from livekit.protocol import models, rtc
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sfu.settings.models import LimitSettings
from tests.support.ground import Ground

pytestmark = pytest.mark.asyncio(loop_scope="module")

Reason = rtc.RequestResponse.Reason
WAIT_S = 10.0
FUTURE: Any = 99
"""A value that no enumeration has."""
LARGE_MB = 24.0
"""Growth of memory allowed where single messages have two megabytes: they are parsed, copied and decoded."""
REJOIN, SILENCE = "rejoin", "silence"
"""The server ends the session and asks for a new one; or nothing happens."""


def join_request(raw: bytes, *, zipped: bool = False, wrap: bool = True) -> str:
    """The parameter of `/rtc/v1`."""
    kinds = rtc.WrappedJoinRequest.Compression
    wrapped = rtc.WrappedJoinRequest(compression=kinds.GZIP if zipped else kinds.NONE, join_request=raw)
    return base64.urlsafe_b64encode(wrapped.SerializeToString() if wrap else raw).decode()


PLAIN = join_request(rtc.JoinRequest(client_info=models.ClientInfo(version="0")).SerializeToString())
PAGE = {"Origin": "https://example.com"}
ZIPPED = gzip.compress(rtc.JoinRequest(metadata="m" * 1000).SerializeToString())


class Mallory:
    """A WebSocket that speaks protobuf."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.join: rtc.JoinResponse = rtc.JoinResponse()

    async def say(self, request: rtc.SignalRequest) -> None:
        await self.socket.send(request.SerializeToString())

    async def hear(self, *kinds: str) -> Any:
        """The next message of one of these kinds."""
        async with asyncio.timeout(WAIT_S):
            while True:
                frame = await self.socket.recv()
                assert isinstance(frame, bytes)
                response = rtc.SignalResponse.FromString(frame)
                kind = response.WhichOneof("message")
                if kind in kinds:
                    return getattr(response, kind)


@asynccontextmanager
async def mallory(ground: Ground, *, single: bool = True, **grant: Any) -> AsyncIterator[Mallory]:
    """Joined, and subscribed to nothing."""
    token = ground.token("mallory", **grant)
    path = f"/rtc/v1?join_request={PLAIN}" if single else "/rtc?auto_subscribe=0"
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(f"{ground.server.ws_url}{path}", additional_headers=headers, max_size=None) as socket:
        client = Mallory(socket)
        client.join = await client.hear("join")
        yield client


def audio_track(**fields: Any) -> rtc.AddTrackRequest:
    return rtc.AddTrackRequest(**{"cid": "mic", "type": models.TrackType.AUDIO, **fields})


def sections(*lines: str) -> str:
    return "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + "".join(f"{line}\r\n" for line in lines)


REQUESTS: dict[str, tuple[dict[str, Any], Any]] = {
    # Nothing in it.
    "an_empty_offer": ({"offer": rtc.SessionDescription()}, REJOIN),
    "an_empty_answer": ({"answer": rtc.SessionDescription()}, SILENCE),
    "an_empty_candidate": ({"trickle": rtc.TrickleRequest()}, SILENCE),
    "an_empty_track": ({"add_track": rtc.AddTrackRequest()}, Reason.INVALID_REQUEST),
    "an_empty_mute": ({"mute": rtc.MuteTrackRequest()}, Reason.NOT_FOUND),
    "an_empty_subscription": ({"subscription": rtc.UpdateSubscription(subscribe=True)}, SILENCE),
    "an_empty_setting": ({"track_setting": rtc.UpdateTrackSettings()}, SILENCE),
    "an_empty_permission": ({"subscription_permission": rtc.SubscriptionPermission()}, SILENCE),
    "an_empty_sync": ({"sync_state": rtc.SyncState()}, SILENCE),
    "an_empty_scenario": ({"simulate": rtc.SimulateScenario()}, SILENCE),
    "an_empty_update": ({"update_metadata": rtc.UpdateParticipantMetadata()}, Reason.NOT_ALLOWED),
    "an_empty_audio_update": ({"update_audio_track": rtc.UpdateLocalAudioTrack()}, Reason.NOT_FOUND),
    "an_empty_video_update": ({"update_video_track": rtc.UpdateLocalVideoTrack()}, Reason.NOT_FOUND),
    # Out of order.
    "an_answer_to_nothing": (
        {"answer": rtc.SessionDescription(type="answer", sdp=sections(), id=77)},
        SILENCE,
    ),
    "an_answer_as_an_offer": (
        {"offer": rtc.SessionDescription(type="answer", sdp=sections("m=audio 9 x 0"))},
        REJOIN,
    ),
    "a_layer_update": ({"update_layers": rtc.UpdateVideoLayers(track_sid="TR_x")}, SILENCE),
    "a_track_that_it_never_published": (
        {
            "sync_state": rtc.SyncState(
                publish_tracks=[rtc.TrackPublishedResponse(cid="x", track=models.TrackInfo(sid="TR_x"))]
            )
        },
        REJOIN,
    ),
    # Contradictions and unknown values.
    "a_data_track_as_media": (
        {"add_track": audio_track(type=models.TrackType.DATA)},
        Reason.UNSUPPORTED_TYPE,
    ),
    "a_type_of_the_future": ({"add_track": audio_track(type=FUTURE)}, Reason.UNSUPPORTED_TYPE),
    "a_microphone_with_pictures": (
        {"add_track": audio_track(type=models.TrackType.VIDEO, source=models.TrackSource.MICROPHONE)},
        Reason.INVALID_REQUEST,
    ),
    "a_backup_of_no_track": ({"add_track": audio_track(sid="TR_none")}, Reason.NOT_FOUND),
    "a_quality_of_the_future": (
        {"track_setting": rtc.UpdateTrackSettings(track_sids=["TR_x"], quality=FUTURE, fps=2**32 - 1)},
        SILENCE,
    ),
    "a_state_of_nobody": (
        {"subscription_permission": rtc.SubscriptionPermission(track_permissions=[rtc.TrackPermission()])},
        SILENCE,
    ),
    "a_candidate_that_is_no_json": ({"trickle": rtc.TrickleRequest(candidateInit="[[[")}, SILENCE),
    # Too much.
    "a_long_candidate": ({"trickle": rtc.TrickleRequest(candidateInit="x" * 1_000_000)}, SILENCE),
    "a_long_track_name": ({"add_track": audio_track(name="n" * 257)}, Reason.LIMIT_EXCEEDED),
    "a_long_cid": ({"add_track": audio_track(cid="n" * 100_000)}, Reason.LIMIT_EXCEEDED),
    "a_thousand_layers": (
        {"add_track": audio_track(type=models.TrackType.VIDEO, layers=[models.VideoLayer()] * 1000)},
        Reason.LIMIT_EXCEEDED,
    ),
    "a_hundred_thousand_wishes": (
        {
            "subscription": rtc.UpdateSubscription(
                track_sids=[f"TR_{n}" for n in range(100_000)], subscribe=True
            )
        },
        SILENCE,
    ),
    "a_hundred_thousand_guests": (
        {
            "subscription_permission": rtc.SubscriptionPermission(
                track_permissions=[
                    rtc.TrackPermission(participant_identity=str(n), all_tracks=True) for n in range(50_000)
                ]
            )
        },
        SILENCE,
    ),
    "a_description_of_a_megabyte": (
        {"offer": rtc.SessionDescription(type="offer", sdp=sections(*["a=x"] * 200_000), id=1)},
        REJOIN,
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_is_refused_as_it_should_be(ground: Ground, name: str) -> None:
    request, expected = REQUESTS[name]
    async with mallory(ground) as client, ground.undisturbed(memory_mb=LARGE_MB):
        await client.say(rtc.SignalRequest(**request))
        if expected == REJOIN:
            assert (await client.hear("leave")).action == rtc.LeaveRequest.Action.RECONNECT
            await client.socket.wait_closed()
            return
        await client.say(rtc.SignalRequest(ping_req=rtc.Ping(timestamp=42)))
        if expected != SILENCE:
            refusal = await client.hear("request_response")
            assert refusal.reason == expected, refusal.message
            assert len(refusal.message) < 1000
        assert (await client.hear("pong_resp")).last_ping_timestamp == 42, "it goes on"


async def test_what_belongs_to_others_cannot_be_touched(ground: Ground) -> None:
    async with mallory(ground) as client, ground.undisturbed():
        (speaker,) = [item for item in client.join.other_participants if item.tracks]
        sid = speaker.tracks[0].sid
        for request in (
            {"mute": rtc.MuteTrackRequest(sid=sid, muted=True)},
            {"update_audio_track": rtc.UpdateLocalAudioTrack(track_sid=sid)},
            {"update_video_track": rtc.UpdateLocalVideoTrack(track_sid=sid, width=1)},
            {"add_track": audio_track(sid=sid)},
        ):
            await client.say(rtc.SignalRequest(**request))
            assert (await client.hear("request_response")).reason == Reason.NOT_FOUND
    headers = {"Authorization": f"Bearer {ground.token('mallory')}"}
    url = f"{ground.server.ws_url}/rtc?reconnect=1&sid={speaker.sid}"
    async with connect(url, additional_headers=headers) as socket:
        thief = Mallory(socket)
        assert (await thief.hear("leave", "reconnect")).action == rtc.LeaveRequest.Action.RECONNECT


@pytest.mark.parametrize("single", [True, False])
async def test_frames_that_are_no_requests(ground: Ground, single: bool) -> None:
    async with mallory(ground, single=single) as client, ground.undisturbed():
        for frame in (b"", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", bytes(100_000), b"\x0a" * 50_000):
            await client.socket.send(frame)
        await client.say(rtc.SignalRequest(ping_req=rtc.Ping(timestamp=7)))
        assert (await client.hear("pong_resp")).last_ping_timestamp == 7


async def test_a_million_messages_in_one_are_not_looked_at(ground: Ground) -> None:
    one = rtc.AddTrackRequest(layers=[models.VideoLayer()]).SerializeToString()
    many = rtc.AddTrackRequest.FromString(one * 900_000)
    frame = rtc.SignalRequest(add_track=many).SerializeToString()
    async with mallory(ground) as client, ground.undisturbed(memory_mb=LARGE_MB):
        await client.socket.send(frame)
        await client.say(rtc.SignalRequest(ping_req=rtc.Ping(timestamp=7)))
        assert (await client.hear("pong_resp")).last_ping_timestamp == 7


async def test_text_ends_the_connection(ground: Ground) -> None:
    async with mallory(ground) as client, ground.undisturbed():
        await client.socket.send("{}")
        await client.socket.wait_closed()
        assert client.socket.close_code is not None


async def test_two_megabytes_are_read_and_more_are_not(ground: Ground) -> None:
    limit = LimitSettings().message_bytes
    async with (
        mallory(ground, canUpdateOwnMetadata=True) as client,
        ground.undisturbed(memory_mb=LARGE_MB),
    ):
        much = rtc.UpdateParticipantMetadata(metadata="x" * (limit - 64), request_id=1)
        await client.say(rtc.SignalRequest(update_metadata=much))
        assert (await client.hear("request_response")).reason == Reason.LIMIT_EXCEEDED
        with contextlib.suppress(ConnectionClosed):
            await client.socket.send(bytes(limit + 1))
        await client.socket.wait_closed()
        assert client.socket.close_code == 1009


LONG = "n" * 257
NOISE = b"\xff" * 50
PARAMETERS = {
    "no_join_request": ("/rtc/v1", "", 400),
    "no_base64": ("/rtc/v1", "join_request=%25%25%25", 400),
    "no_protobuf": ("/rtc/v1", f"join_request={join_request(NOISE)}", 400),
    "not_wrapped": ("/rtc/v1", f"join_request={join_request(NOISE, wrap=False)}", 400),
    "no_gzip": ("/rtc/v1", f"join_request={join_request(b'no gzip', zipped=True)}", 400),
    "cut_gzip": ("/rtc/v1", f"join_request={join_request(ZIPPED[:-9], zipped=True)}", 400),
    "a_bomb": ("/rtc/v1", f"join_request={join_request(gzip.compress(bytes(20_000_000)), zipped=True)}", 400),
    "attributes_that_are_none": ("/rtc", "attributes=e30x", 400),
    "attributes_that_are_a_list": ("/rtc", "attributes=W10", 400),
}


@pytest.mark.parametrize("name", PARAMETERS)
async def test_parameters_that_cannot_be_read(ground: Ground, name: str) -> None:
    path, query, status = PARAMETERS[name]
    headers = {"Authorization": f"Bearer {ground.token('mallory')}", **PAGE}
    async with ground.undisturbed(), httpx.AsyncClient(base_url=ground.server.url, headers=headers) as http:
        answer = await http.get(f"{path}/validate?{query}")
        assert answer.status_code == status, answer.text
        assert answer.headers["access-control-allow-origin"]
        assert len(answer.text) < 1000


async def test_who_may_not_come_in_is_told_by_the_right_status(ground: Ground) -> None:
    token = ground.server.token
    cases = [
        ("nonsense", 401, "JWT"),
        (token("standup", "mallory", life_s=-1000), 401, "expired"),
        (token("standup", "mallory", roomJoin=False), 401, "roomJoin"),
        (token("", "mallory"), 400, "room"),
        (token("standup", ""), 400, "identity"),
        (token("standup", LONG), 400, "256"),
        (token(LONG, "mallory"), 400, "256"),
    ]
    async with ground.undisturbed(), httpx.AsyncClient(base_url=ground.server.url, headers=PAGE) as http:
        assert (await http.get("/rtc/validate")).status_code == 401
        for text, status, word in cases:
            for path in ("/rtc/validate", f"/rtc/v1/validate?join_request={PLAIN}"):
                answer = await http.get(path, headers={"Authorization": f"Bearer {text}"})
                assert (answer.status_code, word in answer.text) == (status, True), answer.text
                assert answer.headers["access-control-allow-origin"]
        good = {"Authorization": f"Bearer {token('standup', 'mallory')}"}
        answer = await http.get("/rtc/validate", headers=good)
        assert (answer.status_code, answer.text) == (200, "success")
        assert (await http.get("/rtc", headers=good)).status_code == 404
