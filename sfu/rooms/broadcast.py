"""State that goes to everyone in a room: collected for a moment, encoded once, delivered in slices.

A change after a quiet time goes out in the next turn of the loop; changes close together go out as one,
at most every `FLUSH_INTERVAL_S`. With very many members a flush is spread over several turns, so that no
turn of the loop is long. Each member still sees everything in order, and what is new before it is told that
it left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sfu.core.clock import Clock, Timer
from sfu.core.ids import ParticipantSid
from sfu.core.shared import Shared
from sfu.participants.info import ParticipantInfo, ParticipantQuality, RoomInfo, Speaker
from sfu.participants.participant import Participant
from sfu.participants.sink import (
    DomainEvent,
    LeaveCode,
    ParticipantLeft,
    ParticipantsChange,
    ParticipantsChanged,
    QualityChanged,
    RoomUpdated,
    SpeakersChanged,
)

FLUSH_INTERVAL_S = 0.05
"""Between two flushes of a room. People do not notice it; a burst of joins becomes 20 messages a second."""
LARGE_ROOM = 200
LARGE_FLUSH_INTERVAL_S = 0.1
"""In a room of more than `LARGE_ROOM`, where each flush costs one frame for each member."""
SLICE = 100
"""Members served per turn of the loop: about 2 ms at 20 us each."""


class Broadcast:
    """One room's changes on their way to its members. Owns one timer."""

    def __init__(
        self,
        clock: Clock,
        members: Callable[[], Iterable[Participant]],
        room_info: Callable[[], Shared[RoomInfo]],
        shown: Callable[[Participant], Shared[ParticipantInfo]],
    ) -> None:
        self._clock = clock
        self._members = members
        self._room_info = room_info
        self._shown = shown
        self._changed: dict[ParticipantSid, Participant] = {}
        self._left: dict[ParticipantSid, ParticipantLeft] = {}
        self._announced: set[ParticipantSid] = set()
        """Those whose joining was told."""
        self._room_changed = False
        self._speakers: Shared[tuple[Speaker, ...]] | None = None
        self._qualities: Shared[tuple[ParticipantQuality, ...]] | None = None
        self._held: dict[ParticipantSid, tuple[Participant, list[Callable[[], None]]]] = {}
        """News for one member that must not overtake a change it has not seen yet."""
        self._batch: tuple[DomainEvent, ...] = ()
        self._waiting: dict[ParticipantSid, Participant] = {}
        """Who has not got `_batch` yet."""
        self._timer: Timer | None = None
        self._last_flush = float("-inf")
        self._closed = False

    def participant_changed(self, participant: Participant) -> None:
        """Joined, or something visible about it is new."""
        if participant.visible or participant.sid in self._announced:
            self._changed[participant.sid] = participant
            self._schedule()

    def participant_left(self, participant: Participant, reason: LeaveCode) -> None:
        """It is no member any more."""
        self.discard(participant)
        if participant.visible or participant.sid in self._announced:
            # Also if it was never announced: a snapshot may have shown it to somebody.
            self._announced.discard(participant.sid)
            self._left[participant.sid] = ParticipantLeft(
                participant.sid, participant.identity, reason, self._shown(participant)
            )
            self._schedule()

    def discard(self, participant: Participant) -> None:
        """Tell nothing more to it, and of it nothing but that it left."""
        self._changed.pop(participant.sid, None)
        self._held.pop(participant.sid, None)
        self._waiting.pop(participant.sid, None)

    def room_changed(self) -> None:
        """Metadata or recording state is new."""
        self._room_changed = True
        self._schedule()

    def speakers_changed(self, speakers: tuple[Speaker, ...]) -> None:
        """Only the newest list counts."""
        self._speakers = Shared(speakers)
        self._schedule()

    def quality_changed(self, qualities: tuple[ParticipantQuality, ...]) -> None:
        """Not more often than flushes happen: what was given before and is not told yet is joined to it."""
        waiting = self._qualities.value if self._qualities is not None else ()
        merged = {item.participant: item for item in (*waiting, *qualities)}
        self._qualities = Shared(tuple(merged.values()))
        self._schedule()

    def tell(self, member: Participant, event: DomainEvent, about: ParticipantSid | None = None) -> None:
        """Send one member something that only concerns it, after what it must know about `about`."""
        self.after(member, about, lambda: member.outbox.post(event))

    def after(self, member: Participant, about: ParticipantSid | None, act: Callable[[], None]) -> None:
        """Act once the member knows the newest of `about`, and after all that waits for the same reason."""
        self.catch_up(member)
        if member.sid in self._held:
            self._held[member.sid][1].append(act)
        elif about is not None and about in self._changed:
            self._held[member.sid] = (member, [act])
        else:
            act()

    def is_pending(self, about: ParticipantSid) -> bool:
        """Something new about it has not been told yet."""
        return about in self._changed

    def catch_up(self, member: Participant) -> None:
        """Deliver what was flushed already."""
        if member.sid in self._waiting:
            self._deliver(self._waiting.pop(member.sid))

    def finish(self, member: Participant) -> None:
        """Tell it all that is new now, because next it is told that it left."""
        self.catch_up(member)
        if self._closed:
            return
        for event in self._news():
            member.outbox.post(event)
        for act in self._held.pop(member.sid, (member, []))[1]:
            act()

    def close(self) -> None:
        """The room ends: what is new now is the last, and each member gets it by `finish` at the latest."""
        for member in list(self._waiting.values()):
            self.catch_up(member)
        if self._pending:
            self._flush()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        if self._timer is None and not self._closed:
            due = self._last_flush + self._interval()
            self._timer = self._clock.call_later(max(0.0, due - self._clock.monotonic()), self._flush)

    def _interval(self) -> float:
        return LARGE_FLUSH_INTERVAL_S if len(self._announced) > LARGE_ROOM else FLUSH_INTERVAL_S

    def _flush(self) -> None:
        self._timer = None
        self._last_flush = self._clock.monotonic()
        self._batch = tuple(self._news())
        for sid, participant in self._changed.items():
            (self._announced.add if participant.visible else self._announced.discard)(sid)
        self._changed, self._left = {}, {}
        self._room_changed, self._speakers, self._qualities = False, None, None
        self._waiting = {member.sid: member for member in self._members()}
        held, self._held = self._held, {}
        for member, actions in held.values():
            self.catch_up(member)
            for act in actions:
                act()
        self._deliver_slice()

    def _news(self) -> Iterable[DomainEvent]:
        """What came since the last flush."""
        left = list(self._left.values())
        joined: list[Participant] = []
        updated: list[Participant] = []
        for sid, participant in self._changed.items():
            if not participant.visible:
                left.append(ParticipantLeft(sid, participant.identity, LeaveCode.CLIENT_LEFT))
            else:
                (updated if sid in self._announced else joined).append(participant)
        if left or joined or updated:
            change = ParticipantsChange(
                left=tuple(left),
                joined=tuple(self._shown(item) for item in joined),
                updated=tuple(self._shown(item) for item in updated),
            )
            yield ParticipantsChanged(Shared(change))
        if self._room_changed:
            yield RoomUpdated(self._room_info())
        if self._speakers is not None:
            yield SpeakersChanged(self._speakers)
        if self._qualities is not None:
            yield QualityChanged(self._qualities)

    def _deliver(self, member: Participant) -> None:
        for event in self._batch:
            member.outbox.post(event)

    def _deliver_slice(self) -> None:
        self._timer = None
        for sid in list(self._waiting)[:SLICE]:
            self._deliver(self._waiting.pop(sid))
        if self._waiting:
            self._timer = self._clock.call_later(0.0, self._deliver_slice)
        elif self._pending:
            self._schedule()

    @property
    def _pending(self) -> bool:
        news = self._speakers is not None or self._qualities is not None
        return news or self._room_changed or bool(self._changed) or bool(self._left)
