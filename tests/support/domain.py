"""A whole control plane on a virtual clock, with clients that offer, listen and come back."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from sfu.core.clock import VirtualClock
from sfu.core.codecs import MediaKind, TrackSource
from sfu.core.errors import AirsideError
from sfu.core.ids import Identity, RoomName, TrackId, TrackSid, TransportId, WorkerId
from sfu.core.observer import JoinStep, JoinTrace
from sfu.dataplane.commands import TransportSource, Wish
from sfu.dataplane.events import LayerStarted, TransportState
from sfu.participants.permissions import Grant
from sfu.participants.requests import JoinRequest, ResumeRequest, RoomOptions, TrackRequest
from sfu.participants.sink import (
    DomainEvent,
    Joined,
    Leave,
    ParticipantsChanged,
    PublishedTrack,
    Resumed,
    SubscriptionBound,
    SubscriptionUnbound,
)
from sfu.service import Service, Session
from sfu.settings.models import Settings
from tests.support.recording_plane import RecordingPlane
from tests.unit.transport.support import audio, data, session, video

T = TypeVar("T")

ROOM = RoomName("lobby")
TURN_S = 0.001
"""Enough for everything that is due at once."""
SETTLE_S = 0.2
"""Enough for every flush."""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waits")


class Recorder:
    """An observer that counts."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.steps: list[JoinStep] = []
        self.traces: list[JoinTrace] = []
        self.rooms = 0
        self.participants = 0
        self.tracks = 0
        self.subscriptions = 0
        self.left: list[str] = []
        self.failed: list[str] = []
        self.paused = 0
        self.closed_rooms: list[str] = []
        self.workers = 0
        self.moves: list[tuple[str | None, str, str]] = []
        self.waits: list[float] = []
        self.joined_after: list[float] = []
        self.turns: list[tuple[str, float]] = []
        self.ignored: list[str] = []

    def join_outcome(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    def join_step(self, step: JoinStep, seconds: float) -> None:
        self.steps.append(step)

    def join_finished(self, trace: JoinTrace) -> None:
        self.traces.append(trace)

    def room_opened(self) -> None:
        self.rooms += 1

    def room_closed(self, reason: str) -> None:
        self.rooms -= 1
        self.closed_rooms.append(reason)

    def participant_entered(self, kind: str) -> None:
        self.participants += 1

    def participant_left(self, kind: str, reason: str) -> None:
        self.participants -= 1
        self.left.append(reason)

    def track_published(self, kind: MediaKind, source: TrackSource) -> None:
        self.tracks += 1

    def track_unpublished(self, kind: MediaKind, source: TrackSource) -> None:
        self.tracks -= 1

    def subscription_bound(self, kind: MediaKind) -> None:
        self.subscriptions += 1

    def subscription_unbound(self, kind: MediaKind) -> None:
        self.subscriptions -= 1

    def stream_paused(self) -> None:
        self.paused += 1

    def agent_workers(self, count: int) -> None:
        self.workers = count

    def job_moved(self, before: str | None, after: str, reason: str) -> None:
        self.moves.append((before, after, reason))

    def job_waited(self, seconds: float) -> None:
        self.waits.append(seconds)

    def job_joined(self, seconds: float) -> None:
        self.joined_after.append(seconds)

    def agent_turn(self, kind: str, seconds: float) -> None:
        self.turns.append((kind, seconds))

    def agent_message_ignored(self, reason: str) -> None:
        self.ignored.append(reason)

    def command_failed(self, command: str) -> None:
        self.failed.append(command)


class Inbox:
    """A sink that keeps what it is given, and what a client would know from it."""

    def __init__(self) -> None:
        self.received: list[tuple[int, DomainEvent]] = []
        self.people: dict[str, tuple[str, ...]] = {}
        """Identity to names of its tracks."""
        self._sids: dict[str, str] = {}
        self.bound: dict[str, TrackSid] = {}
        """Mid to track."""

    def send(self, seq: int, event: DomainEvent) -> None:
        assert not self.of(Leave), "nothing follows Leave"
        self.received.append((seq, event))
        match event:
            case Joined() | Resumed():
                if event.state is not None:
                    self.people, self._sids = {}, {}
                    self.bound = {mid: track for track, mid in event.state.bound}
                    for person in event.state.participants.value:
                        self._learn(person.value)
            case ParticipantsChanged():
                for left in event.change.value.left:
                    if (identity := self._sids.pop(left.sid, None)) is not None:
                        self.people.pop(identity, None)
                for person in (*event.change.value.joined, *event.change.value.updated):
                    self._learn(person.value)
            case SubscriptionBound():
                assert event.participant in self._sids, "bound before its publisher was announced"
                self.bound[event.mid] = event.track
            case SubscriptionUnbound():
                if self.bound.get(event.mid) == event.track:
                    del self.bound[event.mid]
            case _:
                pass

    def _learn(self, person: Any) -> None:
        self._sids[person.sid] = person.identity
        self.people[person.identity] = tuple(track.name for track in person.tracks)

    @property
    def events(self) -> list[DomainEvent]:
        return [event for _, event in self.received]

    @property
    def last_seq(self) -> int:
        return self.received[-1][0] if self.received else 0

    def of(self, kind: type[T]) -> list[T]:
        return [event for _, event in self.received if isinstance(event, kind)]

    @property
    def leave(self) -> Leave | None:
        found = self.of(Leave)
        return found[0] if found else None


class Client:
    """One participant's end: its sections and what it heard."""

    def __init__(self, world: World, identity: str) -> None:
        self.world = world
        self.identity = Identity(identity)
        self.inbox = Inbox()
        self.sections: list[str] = []
        self.ufrag = "ufrag"
        self.session: Session

    # Sections.

    def receive(self, audio_sections: int = 0, video_sections: int = 0, **options: Any) -> Client:
        """Offer more sections to receive in."""
        for _ in range(audio_sections):
            self.sections.append(audio(str(len(self.sections)), direction="recvonly", **options))
        for _ in range(video_sections):
            self.sections.append(video(str(len(self.sections)), direction="recvonly", **options))
        return self

    def with_data(self) -> Client:
        self.sections.append(data(str(len(self.sections))))
        return self

    def send_in(self, source: TrackSource, name: str = "", *, cid: str | None = None) -> TrackRequest:
        """Begin to send in a new section; the entry to offer with it."""
        mid = str(len(self.sections))
        make = audio if source.kind is MediaKind.AUDIO else video
        self.sections.append(make(mid, *([f"a=msid:- {cid}"] if cid else []), direction="sendonly"))
        return TrackRequest(source=source, mid=None if cid else mid, cid=cid, name=name or source.value)

    def set_direction(self, mid: str, direction: str) -> None:
        """Change what a section does, keeping its place."""
        index = int(mid)
        words = ("sendrecv", "sendonly", "recvonly", "inactive")
        lines = self.sections[index].split("\n")
        self.sections[index] = "\n".join(
            f"a={direction}" if line.removeprefix("a=") in words else line for line in lines
        )

    @property
    def offer_sdp(self) -> str:
        return session(*self.sections, ufrag=self.ufrag)

    # Life.

    def join(
        self,
        *tracks: TrackRequest,
        grant: Grant | None = None,
        offer: bool = True,
        **fields: Any,
    ) -> Client:
        request = JoinRequest(
            grant=grant or Grant(room=self.world.room, room_join=True),
            identity=self.identity,
            offer_sdp=self.offer_sdp if offer and self.sections else None,
            tracks=tracks,
            **fields,
        )
        self.session = run(self.world.service.join(request, self.inbox))
        self.world.settle()
        return self

    def offer(self, *tracks: TrackRequest) -> tuple[PublishedTrack, ...]:
        result = self.session.offer(self.offer_sdp, tracks)
        self.world.settle()
        return result.tracks

    def publish(self, source: TrackSource, name: str = "") -> TrackSid:
        """Offer one more section with a track in it."""
        (published,) = self.offer(self.send_in(source, name))
        return published.track.sid

    def detach(self) -> Inbox:
        """Lose the WebSocket. The old inbox hears no more; the new one waits for `resume`."""
        old, self.inbox = self.inbox, Inbox()
        self.session.detach(old)
        return old

    def resume(self, last_seq: int, *, offer: bool = False) -> Client:
        request = ResumeRequest(
            session_id=self.session.session_id,
            room=self.world.room,
            identity=self.identity,
            last_seq=last_seq,
            offer_sdp=self.offer_sdp if offer else None,
        )
        self.session = run(self.world.service.resume(request, self.inbox))
        self.world.settle()
        return self

    def connect(self) -> Client:
        """Let its transport come up."""
        for state in (TransportState.ICE_CONNECTED, TransportState.CONNECTED):
            self.world.plane.transport_state(self.transport, state)
        self.world.settle()
        return self

    # What the server holds.

    @property
    def debug(self) -> dict[str, Any]:
        return self.session.debug_state()

    @property
    def transport(self) -> TransportId:
        return TransportId(self.debug["transport"])

    def carried(self) -> dict[str, str]:
        """Mid to the name of the track that the plane sends there."""
        plane = self.world.plane
        return {
            plane.slots[slot].mid: self.world.track_name(track)
            for slot, (track, _) in plane.carries.items()
            if plane.slots[slot].transport == self.transport
        }

    def wish(self, mid: str) -> Wish:
        """What the plane was told about one of its sections."""
        plane = self.world.plane
        for slot, (_, wish) in plane.carries.items():
            if plane.slots[slot].transport == self.transport and plane.slots[slot].mid == mid:
                return wish
        raise AssertionError(f"section {mid} carries nothing")


class World:
    """One node."""

    def __init__(self, workers: int = 1, **sections: dict[str, Any]) -> None:
        """Keyword arguments change settings: `room={"auto_create": False}`."""
        settings = Settings()
        for name, fields in sections.items():
            changed = getattr(settings, name).model_copy(update=fields)
            settings = settings.model_copy(update={name: changed})
        self.settings = settings
        self.room = ROOM
        self.clock = VirtualClock()
        self.plane = RecordingPlane(workers)
        self.observer = Recorder()
        self.service = Service(settings, self.plane, self.clock, self.observer)

    def client(self, identity: str) -> Client:
        return Client(self, identity)

    def settle(self, delay_s: float = SETTLE_S) -> None:
        """Let everything that is due happen, and every flush."""
        self.clock.advance(delay_s)

    def first_packet(self, client: Client, layer: int = 0, codec: int = 0) -> None:
        """Let media of everything a client publishes arrive."""
        for track, command in list(self.plane.tracks.items()):
            source = command.source
            if isinstance(source, TransportSource) and source.transport == client.transport:
                self.plane.emit(LayerStarted(WorkerId(0), track, layer, codec))
        self.settle()

    def create_room(self, **options: Any) -> None:
        self.service.create_room(self.room, RoomOptions(**options))

    def track_name(self, track: TrackId) -> str:
        source = self.plane.tracks[track].source
        for info in self.service.list_participants(self.room):
            for item in info.tracks:
                if self.plane.tracks[track].cname == info.sid and getattr(source, "mid", "") == item.mid:
                    return item.name
        raise AssertionError(f"nobody publishes {track}")


def grant(room: RoomName = ROOM, **claims: Any) -> Grant:
    """A grant to join with some claims changed."""
    return replace(Grant(room=room, room_join=True), **claims)


def raises_code(code: str, call: Callable[[], object]) -> str:
    """The text of the error with that code which the call raises."""
    with pytest.raises(AirsideError) as excinfo:
        call()
    assert excinfo.value.code == code, f"{excinfo.value.code}: {excinfo.value}"
    return excinfo.value.text
