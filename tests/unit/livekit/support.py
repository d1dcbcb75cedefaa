"""LiveKit's dialect on a whole control plane with a virtual clock, seen as its client sees it."""

from __future__ import annotations

from typing import Any

from livekit.protocol import models, rtc

from sfu.core.ids import Identity
from sfu.participants.permissions import Grant
from sfu.telemetry.metrics import Metrics
from sfu.transport.sdp.grammar import parse
from signaling.auth import Authenticator, Token
from signaling.livekit.context import LiveKitContext
from signaling.livekit.dialect import LiveKitDialect
from signaling.livekit.parameters import Parameters
from tests.support.domain import World, run
from tests.unit.transport.support import audio, data, session, video

KEYS = {"devkey": "secret"}


class Wire:
    """One client: what it was sent, and what it sends."""

    def __init__(self, world: World, identity: str, *, single: bool = True, **grant: Any) -> None:
        self.world = world
        self.frames: list[rtc.SignalResponse] = []
        self.closed: tuple[int, str] | None = None
        claims = {"room": world.room, "room_join": True, **grant}
        self.token = Token("devkey", Identity(identity), Grant(**claims), world.clock.wall() + 3600)
        self.single = single
        self.sections: list[str] = []
        self.dialect: LiveKitDialect

    # As `Outgoing`.

    def send(self, frame: bytes) -> None:
        self.frames.append(rtc.SignalResponse.FromString(frame))

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    # As a client.

    def enter(self, **parameters: Any) -> Wire:
        wanted = Parameters(single=self.single, **parameters)
        self.dialect = LiveKitDialect(context(self.world), self.token, wanted, self)
        run(self.dialect.enter(0.0, 0.0))
        self.world.settle()
        return self

    def join(self, *, receive: int = 3, **parameters: Any) -> Wire:
        """As the SDKs join: in the single mode with an offer of sections to receive in."""
        if self.single:
            for _ in range(receive):
                self.sections.append(audio(str(len(self.sections))))
            for _ in range(receive):
                self.sections.append(video(str(len(self.sections))))
            self.sections.append(data(str(len(self.sections))))
            parameters["offer"] = rtc.SessionDescription(type="offer", sdp=self.sdp, id=7)
        return self.enter(**parameters)

    def ask(self, **request: Any) -> Wire:
        """Send one request."""
        run(self.dialect.handle_frame(rtc.SignalRequest(**request).SerializeToString()))
        self.world.settle()
        return self

    @property
    def sdp(self) -> str:
        return session(*self.sections)

    def offer(self, number: int = 8) -> Any:
        """Offer the sections as they are; the answer."""
        self.ask(offer=rtc.SessionDescription(type="offer", sdp=self.sdp, id=number))
        return self.last("answer")

    def declare(self, cid: str = "mic") -> Wire:
        """Announce a microphone."""
        kind, source = models.TrackType.AUDIO, models.TrackSource.MICROPHONE
        return self.ask(add_track=rtc.AddTrackRequest(cid=cid, name=cid, type=kind, source=source))

    def publish(self, cid: str = "mic") -> models.TrackInfo:
        """Announce a microphone, then offer a section that sends it."""
        self.declare(cid)
        self.sections.append(audio(str(len(self.sections)), f"a=msid:- {cid}", direction="sendonly"))
        self.offer()
        track: models.TrackInfo = self.last("track_published").track
        return track

    # What came.

    def all(self, kind: str) -> list[Any]:
        return [getattr(frame, kind) for frame in self.frames if frame.WhichOneof("message") == kind]

    def last(self, kind: str) -> Any:
        found = self.all(kind)
        assert found, f"no {kind} among {[frame.WhichOneof('message') for frame in self.frames]}"
        return found[-1]

    @property
    def kinds(self) -> list[str]:
        return [str(frame.WhichOneof("message")) for frame in self.frames]


_METRICS = Metrics("test")
_CONTEXTS: dict[int, LiveKitContext] = {}


def context(world: World) -> LiveKitContext:
    """One for each world."""
    found = _CONTEXTS.get(id(world))
    if found is None or found.service is not world.service:
        found = _CONTEXTS[id(world)] = LiveKitContext(
            service=world.service,
            authenticator=Authenticator(KEYS),
            clock=world.clock,
            metrics=_METRICS,
            node="test",
            codecs=(models.Codec(mime="video/VP8"), models.Codec(mime="audio/opus")),
        )
    return found


def directions(sdp: str) -> list[str]:
    """Of each section of a description, in order."""
    names = ("sendrecv", "sendonly", "recvonly", "inactive")
    return [
        next((item.name for item in media.attributes if item.name in names), "") for media in parse(sdp).media
    ]
