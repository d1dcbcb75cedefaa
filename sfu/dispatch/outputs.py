"""What the dispatcher wants done. Whoever drives it does so, in order."""

from __future__ import annotations

from dataclasses import dataclass

from sfu.core.ids import AgentWorkerId, Identity, RoomName, RoomSid
from sfu.dispatch.demand import Dispatch
from sfu.dispatch.job import Job, JobReason, JobStatus


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a worker whether it takes a job."""

    worker: AgentWorkerId
    job: Job
    dispatch: Dispatch


@dataclass(frozen=True, slots=True)
class Assign:
    """Give it the job, with a token to join by."""

    worker: AgentWorkerId
    job: Job
    dispatch: Dispatch
    answer: Answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a worker says to a job it takes: whom its agent will be."""

    identity: Identity
    name: str
    metadata: str
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Terminate:
    """Tell a worker to end a job."""

    worker: AgentWorkerId
    job: Job


@dataclass(frozen=True, slots=True)
class RemoveAgent:
    """An agent did not go by itself."""

    room: RoomSid
    room_name: RoomName
    identity: Identity


@dataclass(frozen=True, slots=True)
class Moved:
    """A job changed: for the journal."""

    job: Job
    before: JobStatus | None
    """None: it is new."""
    after: JobStatus
    reason: JobReason
    error: str


Output = Ask | Assign | Terminate | RemoveAgent | Moved
