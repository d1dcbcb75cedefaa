"""Access tokens: what a good one says, and that no bad one is taken. Tokens of others are made by hand."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.core.codecs import TrackSource
from sfu.core.errors import UnauthorizedError
from sfu.core.ids import RoomName
from sfu.participants.info import ParticipantKind
from sfu.participants.permissions import Grant
from signaling.auth import MAX_TOKEN_BYTES, Authenticator, create_token, find_token

NOW = 1_767_225_600.0
KEYS = {"devkey": "secret", "other": "x" * 40}
AUTH = Authenticator(KEYS, leeway_s=60.0)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(claims: Any, secret: str = "secret", header: Any = None, payload: bytes | None = None) -> str:
    head = b64(json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode())
    body = b64(payload if payload is not None else json.dumps(claims).encode())
    signature = hmac.new(secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{b64(signature)}"


def claims(**changes: Any) -> dict[str, Any]:
    base = {"iss": "devkey", "sub": "ada", "exp": NOW + 60, "video": {"roomJoin": True, "room": "standup"}}
    return {key: value for key, value in (base | changes).items() if value is not None}


def test_crowded_tokens_are_refused_before_their_values_are_built() -> None:
    crowd = b"[" + b"0," * 20_000 + b"0]"
    assert len(forge({}, payload=crowd)) < MAX_TOKEN_BYTES
    for text in (forge({}, payload=crowd), f"{b64(crowd)}.{forge(claims()).partition('.')[2]}"):
        with pytest.raises(UnauthorizedError, match="not a JWT"):
            AUTH.verify(text, NOW)


def test_a_token_made_here_reads_back() -> None:
    grant = Grant(
        room=RoomName("standup"),
        room_join=True,
        can_publish=False,
        can_publish_sources=frozenset({TrackSource.MICROPHONE}),
    )
    text = create_token(
        "other",
        KEYS["other"],
        grant,
        now=NOW,
        identity="ada",
        name="Ada",
        metadata="{}",
        attributes={"a": "b"},
        kind=ParticipantKind.AGENT,
    )
    token = AUTH.verify(text, NOW)
    assert token.grant == grant
    assert (token.identity, token.name, token.metadata, token.kind) == (
        "ada",
        "Ada",
        "{}",
        ParticipantKind.AGENT,
    )
    assert token.attributes == {"a": "b"}
    assert token.api_key == "other"
    assert token.expires_at == NOW + 6 * 3600


def test_identity_falls_back_to_jti_and_unknown_claims_are_ignored() -> None:
    token = AUTH.verify(forge(claims(sub="", jti="bob", agentEndpoint={"x": 1}, kind="hologram")), NOW)
    assert token.identity == "bob"
    assert token.kind is ParticipantKind.STANDARD


def test_room_config_becomes_room_options() -> None:
    config = {"emptyTimeout": 60, "maxParticipants": 4, "metadata": "m", "agents": []}
    options = AUTH.verify(forge(claims(roomConfig=config)), NOW).room_options
    assert options is not None
    assert (options.empty_timeout_s, options.max_participants, options.metadata) == (60.0, 4, "m")


@pytest.mark.parametrize(
    ("late_s", "accepted"), [(0, True), (59, True), (119, True), (120, False), (1e9, False)]
)
def test_expiry_has_a_leeway_of_a_minute(late_s: float, accepted: bool) -> None:
    token = forge(claims(exp=NOW + 60))
    if accepted:
        AUTH.verify(token, NOW + late_s)
    else:
        with pytest.raises(UnauthorizedError, match="expired"):
            AUTH.verify(token, NOW + late_s)


def test_a_token_of_the_future_waits() -> None:
    token = forge(claims(nbf=NOW + 100, exp=NOW + 1000))
    with pytest.raises(UnauthorizedError, match="not valid yet"):
        AUTH.verify(token, NOW)
    AUTH.verify(token, NOW + 41)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (forge(claims(), header={"alg": "none"}), "HS256"),
        (forge(claims(), header={"alg": "none"}).rsplit(".", 1)[0] + ".", "HS256"),
        (forge(claims(), header={"alg": "HS512"}), "HS256"),
        (forge(claims(), header={"alg": "RS256"}), "HS256"),
        (forge(claims(), header={"alg": ["HS256"]}), "HS256"),
        (forge(claims(), header={"alg": "HS256", "crit": ["b64"], "b64": False}), "JWT|signature"),
        (forge(claims(), secret="guess"), "signature"),
        (forge(claims(), secret=KEYS["other"]), "signature"),
        (forge(claims(iss="nobody")), "API key"),
        (forge(claims(iss=["devkey"])), "API key"),
        (forge(claims(exp=None)), "no expiry"),
        (forge(claims(exp="soon")), "exp must be a number"),
        (forge(claims(exp=True)), "exp must be a number"),
        (forge(None, payload=b'{"iss":"devkey","exp":NaN}'), "not a JWT"),
        (forge(None, payload=b'{"iss":"devkey","exp":1e999}'), "exp must be a number"),
        (forge(None, payload=b'{"iss":"devkey","exp":9e9,"sub":"\\ud800"}'), "surrogate"),
        (forge(None, payload=b"[" * 20_000), "not a JWT"),
        (forge([1, 2]), "not a JWT"),
        (forge(claims(video=[])), "video must be an object"),
        (forge(claims(video={"room": 5})), "video.room"),
        (forge(claims(video={"roomJoin": "yes"})), "video.roomJoin"),
        (forge(claims(sub=5)), "sub must be a string"),
        (forge(claims(attributes={"a": 1})), "a must be a string"),
        (forge(claims(metadata="x" * MAX_TOKEN_BYTES)), "longer than 64 kB"),
        ("", "not a JWT"),
        ("a.b.c", "not a JWT"),
        ("é.é.é", "not a JWT"),
    ],
)
def test_a_bad_token_is_refused_with_a_reason(token: str, reason: str) -> None:
    with pytest.raises(UnauthorizedError, match=reason) as refusal:
        AUTH.verify(token, NOW)
    assert "secret" not in str(refusal.value)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: forge(None, payload=data)))
def test_any_text_is_refused_or_read(text: str) -> None:
    with pytest.raises(UnauthorizedError):
        AUTH.verify(text, NOW)


def test_the_header_has_precedence_over_the_query() -> None:
    assert find_token({"authorization": "Bearer abc"}, {"access_token": "def"}) == "abc"
    assert find_token({"authorization": "bearer abc"}, {}) == "abc"
    assert find_token({}, {"access_token": "def"}) == "def"


@pytest.mark.parametrize("headers", [{}, {"authorization": "abc"}, {"authorization": "Basic abc"}])
def test_no_token_or_another_scheme_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(UnauthorizedError):
        find_token(headers, {"access_token": ""} if not headers else {"access_token": "def"})
