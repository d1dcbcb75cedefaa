"""Numbers a session's events, keeps the newest for a client that comes back, hands them to its sink."""

from __future__ import annotations

from collections import deque

from sfu.participants.sink import (
    DomainEvent,
    Leave,
    LeaveCode,
    ParticipantLeft,
    ParticipantsChanged,
    ParticipantSink,
    Reconnect,
)


class Outbox:
    """Outlives WebSockets. Bounded: what falls out of the replay buffer is replaced by a snapshot."""

    def __init__(self, replay_events: int, sink: ParticipantSink) -> None:
        self.seq = 0
        """Of the newest event; the first one is 1."""
        self._sink: ParticipantSink | None = sink
        self._kept: deque[tuple[int, DomainEvent]] = deque(maxlen=replay_events)
        self._closed = False

    @property
    def attached(self) -> bool:
        """Somebody listens."""
        return self._sink is not None

    def post(self, event: DomainEvent) -> None:
        """Number an event and send it, or keep it for later. Nothing is sent after the end."""
        if self._closed:
            return
        self.seq += 1
        self._kept.append((self.seq, event))
        if self._sink is not None:
            self._sink.send(self.seq, event)

    def close(self, leave: Leave | None) -> None:
        """The end, with a last word or without one."""
        if leave is not None:
            self.post(leave)
        self._closed = True
        self._sink = None
        self._kept.clear()

    def attach(self, sink: ParticipantSink) -> None:
        """Take over from the sink before, which is told so. Nothing is sent to the new one."""
        if self._sink is not None and self._sink is not sink:
            text = "another connection resumed this session"
            self._sink.send(self.seq, Leave(LeaveCode.SUPERSEDED, text, Reconnect.NO))
        self._sink = sink

    def detach(self, sink: ParticipantSink) -> bool:
        """Stop sending. False: another sink has taken over, or nobody listened."""
        if self._sink is not sink:
            return False
        self._sink = None
        return True

    def missed(self, last_seq: int) -> list[tuple[int, DomainEvent]] | None:
        """Events after `last_seq`; None if some are forgotten or the number was never given out."""
        if last_seq > self.seq or last_seq < 1:
            return None
        missed = [(seq, event) for seq, event in self._kept if seq > last_seq]
        return missed if len(missed) == self.seq - last_seq else None

    def departed(self) -> tuple[ParticipantLeft, ...]:
        """Who left, as far as is remembered."""
        changes = (event.change.value for _, event in self._kept if isinstance(event, ParticipantsChanged))
        return tuple(left for change in changes for left in change.left)

    def send(self, seq: int, event: DomainEvent) -> None:
        """Send without numbering or keeping: `Resumed`, and what it replays."""
        if self._sink is not None:
            self._sink.send(seq, event)
