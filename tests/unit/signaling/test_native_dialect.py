"""One native client against a recording service: what it asks arrives, what it gets wrong is said to it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfu.core.clock import VirtualClock
from sfu.core.errors import RoomFullError, SessionGoneError, TrackNotFoundError
from sfu.core.ids import Identity, Mid, RoomName, TrackSid
from sfu.participants import sink
from sfu.participants.permissions import Grant
from sfu.participants.requests import JoinRequest, ResumeRequest, TrackRequest
from sfu.service import OfferResult
from sfu.telemetry.metrics import Metrics
from sfu.tracks.subscription import SubscriptionWish
from signaling.auth import Token
from signaling.closing import CloseCode
from signaling.native import messages, values
from signaling.native.dialect import NativeContext, NativeDialect
from tests.unit.signaling.test_native_encode import STATE, TRACK

TOKEN = Token(
    api_key="devkey",
    identity=Identity("ada"),
    grant=Grant(room=RoomName("standup"), room_join=True),
    expires_at=0.0,
    name="Ada",
)


class RecordingSession:
    """Accepts what it is asked and remembers it."""

    sid = "PA_1"

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def offer(self, sdp: str, tracks: Sequence[TrackRequest] = ()) -> OfferResult:
        self.calls.append(("offer", (sdp, tuple(tracks))))
        return OfferResult("v=0 answer", (sink.PublishedTrack(Mid("8"), None, TRACK),))

    def wish(self, track: TrackSid) -> SubscriptionWish:
        return SubscriptionWish(max_height_px=180, priority=9)

    def mute(self, track: TrackSid, muted: bool) -> None:
        if track == "TR_none":
            raise TrackNotFoundError(track)
        if track == "TR_bug":
            raise ZeroDivisionError
        self.calls.append(("mute", (track, muted)))

    def __getattr__(self, name: str) -> Any:
        def record(*args: Any, **kwargs: Any) -> None:
            self.calls.append((name, (*args, *kwargs.values())))

        return record


class RecordingService:
    def __init__(self) -> None:
        self.session = RecordingSession()
        self.requests: list[JoinRequest | ResumeRequest] = []
        self.error: Exception | None = None

    async def join(self, request: JoinRequest, client: sink.ParticipantSink) -> RecordingSession:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        client.send(1, sink.Joined(STATE))
        return self.session

    async def resume(self, request: ResumeRequest, client: sink.ParticipantSink) -> RecordingSession:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        client.send(request.last_seq, sink.Resumed(None, "v=0 restarted"))
        return self.session


class Wire:
    """The client's end: frames as the protocol's models, and the close."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.closed: tuple[int, str] | None = None

    def send(self, frame: bytes) -> None:
        self.frames.append(messages.SERVER_MESSAGE.validate_json(frame))

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)


class Client:
    """A dialect with everything around it."""

    def __init__(self) -> None:
        self.service = RecordingService()
        self.wire = Wire()
        context = NativeContext(
            service=self.service,  # type: ignore[arg-type]
            clock=VirtualClock(),
            metrics=Metrics("test"),
            server=values.ServerInfo(version="1", node="local"),
            ping_interval_s=10,
            ping_timeout_s=15,
        )
        self.dialect = NativeDialect(context, TOKEN, self.wire, address="192.0.2.1", auth_s=0.5)

    async def say(self, **message: Any) -> Any:
        """Send one message; the last frame of the answer, if any."""
        before = len(self.wire.frames)
        await self.dialect.handle_frame(json.dumps(message))
        return self.wire.frames[-1] if len(self.wire.frames) > before else None

    @property
    def calls(self) -> list[tuple[str, tuple[Any, ...]]]:
        return self.service.session.calls


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
async def joined() -> Client:
    client = Client()
    await client.say(type="join", protocol=1)
    return client


async def test_join_carries_token_offer_and_tracks(client: Client) -> None:
    tracks = [{"mid": "0", "source": "camera", "layers": [{"rid": "q", "height": 180}], "encryption": "gcm"}]
    answer = await client.say(
        type="join", request_id=5, protocol=1, offer="v=0", tracks=tracks, auto_subscribe=False
    )
    assert (answer.type, answer.request_id, answer.seq, answer.session_id) == ("joined", 5, 1, "SE_1")
    request = client.service.requests[0]
    assert isinstance(request, JoinRequest)
    assert (request.identity, request.name, request.offer_sdp) == ("ada", "Ada", "v=0")
    assert request.auto_subscribe is False
    assert request.client.address == "192.0.2.1"
    assert request.tracks[0].layers[0].height_px == 180
    assert request.started_at is not None
    assert request.authorized_at == request.started_at + 0.5


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ({"type": "mute", "track_id": "TR_1", "muted": True}, ("mute", ("TR_1", True))),
        ({"type": "unpublish", "track_id": "TR_1"}, ("unpublish", ("TR_1",))),
        ({"type": "trickle", "candidate": "c", "mid": "0"}, ("trickle", ("c", "0"))),
        ({"type": "unsubscribe", "track_id": "TR_1"}, ("unsubscribe", ("TR_1",))),
        (
            {"type": "subscribe", "track_id": "TR_1", "max_height_px": 0},
            ("subscribe", ("TR_1", SubscriptionWish(max_height_px=0))),
        ),
        (
            {"type": "update_subscription", "track_id": "TR_1", "paused": True},
            (
                "update_subscription",
                ("TR_1", SubscriptionWish(max_height_px=180, priority=9, paused=True)),
            ),
        ),
        (
            {"type": "data", "payload": "AP8=", "topic": "t", "reliable": False, "destinations": ["bob"]},
            ("send_data", (b"\x00\xff", False, "t", ["bob"])),
        ),
    ],
)
async def test_requests_reach_the_session_and_are_confirmed_by_number(
    joined: Client, message: dict[str, Any], call: tuple[str, tuple[Any, ...]]
) -> None:
    assert await joined.say(**message) is None
    assert (await joined.say(**message, request_id=0)).request_id == 0
    assert joined.calls == [call, call]


async def test_an_offer_is_answered_under_its_id(joined: Client) -> None:
    answer = await joined.say(type="offer", id=4, sdp="v=0", tracks=[{"mid": "8", "source": "screen_share"}])
    assert (answer.type, answer.id, answer.sdp, answer.tracks[0].mid) == ("answer", 4, "v=0 answer", "8")


async def test_ping_comes_back(joined: Client) -> None:
    pong = await joined.say(type="ping", time=12.5, request_id=3)
    assert (pong.type, pong.time, pong.request_id) == ("pong", 12.5, 3)


async def test_an_error_of_the_domain_names_code_and_request(joined: Client) -> None:
    error = await joined.say(type="mute", track_id="TR_none", muted=True, request_id=9)
    assert (error.code, error.request_id) == ("track_not_found", 9)
    assert joined.wire.closed is None


async def test_a_bug_of_ours_ends_one_request(joined: Client, caplog: pytest.LogCaptureFixture) -> None:
    error = await joined.say(type="mute", track_id="TR_bug", muted=True)
    assert error.code == "internal"
    assert "ZeroDivisionError" in caplog.text
    assert joined.wire.closed is None


async def test_leave_ends_session_and_websocket(joined: Client) -> None:
    await joined.say(type="leave")
    assert joined.calls == [("leave", ())]
    assert joined.wire.closed == (CloseCode.DONE, "left")


async def test_a_lost_websocket_only_detaches(joined: Client) -> None:
    joined.dialect.handle_disconnect()
    assert joined.calls == [("detach", (joined.dialect, "websocket closed"))]


async def test_leave_from_the_domain_is_told_then_closed(joined: Client) -> None:
    joined.dialect.send(2, sink.Leave(sink.LeaveCode.SERVER_SHUTDOWN, "restarting", sink.Reconnect.REJOIN))
    assert (joined.wire.frames[-1].code, joined.wire.frames[-1].reconnect) == ("server_shutdown", "rejoin")
    assert joined.wire.closed == (CloseCode.SESSION_ENDED, "restarting")


async def test_resume_names_session_and_last_number(client: Client) -> None:
    resumed = await client.say(type="resume", protocol=1, session_id="SE_1", last_seq=23, offer="v=0")
    assert (resumed.type, resumed.seq, resumed.session_id) == ("resumed", 23, "SE_1")
    assert (resumed.state, resumed.answer) == (None, "v=0 restarted")
    request = client.service.requests[0]
    assert isinstance(request, ResumeRequest)
    assert (request.room, request.identity, request.last_seq) == ("standup", "ada", 23)


class TestHostileInput:
    async def test_somebody_elses_session_closes_with_its_own_code(self, client: Client) -> None:
        client.service.error = SessionGoneError()
        error = await client.say(type="resume", protocol=1, session_id="SE_theirs", last_seq=0)
        assert error.code == "session_gone"
        assert client.wire.closed is not None
        assert client.wire.closed[0] == CloseCode.NO_SESSION

    async def test_a_refused_join_says_why_and_closes(self, client: Client) -> None:
        client.service.error = RoomFullError(RoomName("standup"), 2)
        error = await client.say(type="join", protocol=1, request_id=1)
        assert (error.code, error.request_id) == ("room_full", 1)
        assert client.wire.closed is not None
        assert client.wire.closed[0] == CloseCode.JOIN_REFUSED

    async def test_a_request_before_join_is_refused(self, client: Client) -> None:
        error = await client.say(type="offer", id=1, sdp="v=0")
        assert (error.code, error.offer_id) == ("not_joined", 1)
        assert client.wire.closed is not None
        assert client.wire.closed[0] == CloseCode.PROTOCOL_ERROR

    async def test_a_second_join_is_refused_and_the_session_goes_on(self, joined: Client) -> None:
        assert (await joined.say(type="join", protocol=1)).code == "already_joined"
        assert (await joined.say(type="resume", protocol=1, session_id="SE_1", last_seq=0)).code == (
            "already_joined"
        )
        assert joined.wire.closed is None
        assert len(joined.service.requests) == 1

    async def test_another_version_is_refused(self, client: Client) -> None:
        assert (await client.say(type="join", protocol=2)).code == "unsupported_protocol"
        assert client.wire.closed is not None
        assert client.wire.closed[0] == CloseCode.PROTOCOL_ERROR

    async def test_an_unknown_type_is_answered_and_the_session_goes_on(self, joined: Client) -> None:
        assert (await joined.say(type="teleport", request_id=3)).code == "unknown_type"
        assert joined.wire.frames[-1].request_id == 3
        assert joined.wire.closed is None

    @pytest.mark.parametrize(
        "frame",
        [
            "",
            "null",
            "[]",
            "{",
            '"join"',
            "[" * 100_000,
            '{"a":' * 100_000,
            '{"type": "ping", "time": NaN}',
            '{"type": "ping", "time": Infinity}',
            '{"type": "ping", "time": 1e999}',
            '{"type": "ping", "time": true}',
            '{"type": "mute", "track_id": null, "muted": true}',
            '{"type": "mute", "track_id": "TR_1", "muted": "yes"}',
            '{"type": "mute", "track_id": "TR_\\u0000", "muted": true}',
            '{"type": "mute", "track_id": "TR_\\ud800", "muted": true}',
            '{"type": "data", "payload": "not base64!"}',
            '{"type": "data", "payload": "' + "A" * 90_000 + '"}',
            '{"type": "update_me", "name": "' + "x" * 1000 + '"}',
            '{"type": "update_me", "name": "a\\u0000b"}',
            json.dumps({"type": "update_me", "attributes": {f"k{i}": "" for i in range(1000)}}),
            json.dumps({"type": "update_me", "attributes": {"k" * 5000: "v"}}),
            json.dumps({"type": "offer", "id": 1, "sdp": "v" * 1_000_000}),
            json.dumps({"type": "offer", "id": 1, "sdp": "v=0", "tracks": [{"mid": "0"}] * 201}),
            json.dumps({"type": "leave", "extra": [0] * 20_000}),
            json.dumps({"type": "subscribe", "track_id": "TR_1", "max_height_px": -1}),
            json.dumps({"type": "subscribe", "track_id": "TR_1", "priority": 10**400}),
        ],
    )
    async def test_what_is_no_message_changes_nothing(self, joined: Client, frame: str) -> None:
        await joined.dialect.handle_frame(frame)
        error = joined.wire.frames[-1]
        assert error.code in ("bad_message", "unknown_type")
        assert len(error.message) <= 300
        assert joined.calls == []
        assert joined.wire.closed is None

    @given(st.text() | st.dictionaries(st.text(), st.text() | st.integers() | st.none()).map(json.dumps))
    async def test_any_text_is_answered_or_ignored(self, frame: str) -> None:
        client = Client()
        await client.say(type="join", protocol=1)
        await client.dialect.handle_frame(frame)
        assert client.wire.closed is None
