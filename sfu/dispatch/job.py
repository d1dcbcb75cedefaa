"""One job: an agent's task in one room. A transition table, and the only writer of its state. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sfu.core.errors import IllegalTransitionError
from sfu.core.ids import AgentWorkerId, DispatchId, Identity, JobId, RoomName, RoomSid
from sfu.participants.info import ParticipantInfo


class JobType(StrEnum):
    """What a worker wants a job for; said when it registers."""

    ROOM = "room"
    PUBLISHER = "publisher"
    """One for each participant, from its first track on."""
    PARTICIPANT = "participant"
    """One for each participant."""


class JobStatus(StrEnum):
    """How far it has come."""

    WAITING = "waiting"
    """No worker has it; the reason says why."""
    OFFERED = "offered"
    """A worker was asked."""
    ASSIGNED = "assigned"
    """A worker took it; its agent is not in the room yet."""
    RUNNING = "running"
    """Its agent is in the room, or was just now."""
    LOST = "lost"
    """The worker is gone, the agent still there: it may be taken up again for a short while."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobReason(StrEnum):
    """Why a job waits, moved or ended. Bounded: also a label of metrics."""

    NONE = ""
    NO_WORKER = "no_worker"
    """None of that name and type is connected."""
    NO_CAPACITY = "no_capacity"
    """All of them are full."""
    DRAINING = "draining"
    """All of them are shutting down."""
    DECLINED = "declined"
    """Every able worker said no; they are asked again soon."""
    NO_ANSWER = "no_answer"
    """A worker did not answer in time."""
    BAD_ANSWER = "bad_answer"
    """A worker's answer was beyond the limits."""
    NOT_JOINED = "not_joined"
    """A worker took it, and its agent did not come in time."""
    WORKER_LOST = "worker_lost"
    FAILED = "failed"
    """The worker said so; its error is beside this."""
    AGENT_LOST = "agent_lost"
    """The agent's connection broke, and the worker said nothing."""
    DONE = "done"
    """The worker said so."""
    AGENT_LEFT = "agent_left"
    REFUSED = "refused"
    """A worker said that nobody shall have it."""
    ROOM_CLOSED = "room_closed"
    DISPATCH_DELETED = "dispatch_deleted"
    PARTICIPANT_LEFT = "participant_left"
    """Whom it was for, before it began."""
    REQUESTED = "requested"
    """Ended by the server API."""


class JobSignal(StrEnum):
    """What moves a job."""

    OFFER = "offer"
    ACCEPT = "accept"
    JOIN = "join"
    LOSE = "lose"
    REGAIN = "regain"
    RETURN = "return"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"


ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})

TRANSITIONS: dict[tuple[JobStatus, JobSignal], JobStatus] = {
    (JobStatus.WAITING, JobSignal.OFFER): JobStatus.OFFERED,
    (JobStatus.WAITING, JobSignal.RETURN): JobStatus.WAITING,
    (JobStatus.OFFERED, JobSignal.RETURN): JobStatus.WAITING,
    (JobStatus.OFFERED, JobSignal.ACCEPT): JobStatus.ASSIGNED,
    (JobStatus.ASSIGNED, JobSignal.RETURN): JobStatus.WAITING,
    (JobStatus.ASSIGNED, JobSignal.JOIN): JobStatus.RUNNING,
    (JobStatus.ASSIGNED, JobSignal.SUCCEED): JobStatus.SUCCEEDED,
    (JobStatus.RUNNING, JobSignal.RETURN): JobStatus.WAITING,
    (JobStatus.RUNNING, JobSignal.LOSE): JobStatus.LOST,
    (JobStatus.RUNNING, JobSignal.SUCCEED): JobStatus.SUCCEEDED,
    (JobStatus.LOST, JobSignal.RETURN): JobStatus.WAITING,
    (JobStatus.LOST, JobSignal.REGAIN): JobStatus.RUNNING,
} | {
    (status, signal): end
    for status in JobStatus
    if status not in ENDED
    for signal, end in ((JobSignal.FAIL, JobStatus.FAILED), (JobSignal.CANCEL, JobStatus.CANCELLED))
}


@dataclass(slots=True)
class Job:
    """What the dispatcher knows of one. Times are monotonic seconds."""

    id: JobId
    type: JobType
    room: RoomSid
    room_name: RoomName
    dispatch: DispatchId
    agent_name: str
    subject: ParticipantInfo | None
    """Whom it is for, as it was then; None: the room."""
    restart: bool
    needed_at: float
    """Since when it could have begun."""
    updated_at: float
    status: JobStatus = JobStatus.WAITING
    reason: JobReason = JobReason.NONE
    error: str = ""
    worker: AgentWorkerId | None = None
    identity: Identity | None = None
    """Of its agent; None before a worker has taken it."""
    attempts: int = 0
    """Times that a worker took it and did not finish."""
    tried: set[AgentWorkerId] = field(default_factory=set)
    """Who had it this time around."""
    deadline: float | None = None
    started_at: float | None = None
    """When its agent was there first."""
    ended_at: float | None = None

    def handle(self, signal: JobSignal, reason: JobReason, now: float) -> JobStatus:
        """Move; the state before.

        Raises:
            IllegalTransitionError: The state does not allow this signal.
        """
        new = TRANSITIONS.get((self.status, signal))
        if new is None:
            raise IllegalTransitionError(self.status, signal)
        before, self.status = self.status, new
        self.reason = reason
        self.updated_at = now
        self.deadline = None
        if new is JobStatus.RUNNING and self.started_at is None:
            self.started_at = now
        if new is JobStatus.WAITING:
            self.worker = self.identity = None
        if new in ENDED:
            self.ended_at = now
        return before

    @property
    def ended(self) -> bool:
        """Nothing more will happen to it."""
        return self.status in ENDED
