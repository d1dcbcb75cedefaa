"""What the domain reports about itself. Telemetry implements it; nothing here knows Prometheus."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from sfu.core.codecs import MediaKind, TrackSource


class JoinStep(StrEnum):
    """Steps of a join, in order; `join_seconds{step=...}`."""

    AUTH = "auth"
    ADMIT = "admit"
    NEGOTIATE = "negotiate"
    ICE = "ice"
    DTLS = "dtls"
    FIRST_MEDIA = "first_media"


@dataclass(slots=True)
class JoinTrace:
    """One join, step by step. Grows until first media or until the participant leaves."""

    started_at: float
    """Monotonic seconds at which the request arrived."""
    steps: dict[JoinStep, float] = field(default_factory=dict)
    """Seconds each finished step took, counted from the end of the step before it."""
    last_at: float = 0.0
    """Monotonic seconds at the end of the newest step."""
    closed: bool = False
    """Nothing more is added: media flowed, or there will be none."""

    def __post_init__(self) -> None:
        self.last_at = self.started_at

    def finish(self, step: JoinStep, now: float) -> float | None:
        """End a step; its seconds, or None if it ended before (a restart repeats ICE) or all is over."""
        if self.closed or step in self.steps:
            return None
        seconds = max(0.0, now - self.last_at)
        self.steps[step] = seconds
        self.last_at = max(now, self.last_at)
        return seconds

    @property
    def total_s(self) -> float:
        """From the request to the end of the newest step."""
        return self.last_at - self.started_at


class Observer(Protocol):
    """Called synchronously on the loop; must be quick and must not raise."""

    def join_outcome(self, outcome: str) -> None:
        """`ok`, or the code of the error that refused it."""

    def join_step(self, step: JoinStep, seconds: float) -> None:
        """One step ended."""

    def join_finished(self, trace: JoinTrace) -> None:
        """First media flowed, or the participant left before it did."""

    def room_opened(self) -> None:
        """A room came to be."""

    def room_closed(self, reason: str) -> None:
        """A room ended; a bounded set of reasons."""

    def participant_entered(self, kind: str) -> None:
        """A participant is in a room."""

    def participant_left(self, kind: str, reason: str) -> None:
        """A participant is gone; reasons are `LeaveCode` values."""

    def track_published(self, kind: MediaKind, source: TrackSource) -> None:
        """A track came to be."""

    def track_unpublished(self, kind: MediaKind, source: TrackSource) -> None:
        """A track ended."""

    def subscription_bound(self, kind: MediaKind) -> None:
        """A track was put on a slot."""

    def subscription_unbound(self, kind: MediaKind) -> None:
        """A track was taken off a slot."""

    def stream_paused(self) -> None:
        """The network of a subscriber is why it gets nothing of a video track."""

    def agent_workers(self, count: int) -> None:
        """So many agent workers are connected now."""

    def job_moved(self, before: str | None, after: str, reason: str) -> None:
        """A job of an agent moved, or waits for another reason now. Before it was new there is None."""

    def job_waited(self, seconds: float) -> None:
        """A worker took a job, so long after it could have begun."""

    def job_joined(self, seconds: float) -> None:
        """Its agent is in the room, so long after it could have begun."""

    def agent_turn(self, kind: str, seconds: float) -> None:
        """An agent answered, was interrupted or spoke for the first time; kinds are `TurnKind` values."""

    def agent_message_ignored(self, reason: str) -> None:
        """A worker said something that makes no sense; a bounded set of reasons."""

    def command_failed(self, command: str) -> None:
        """The packet plane refused a command: our bug."""
