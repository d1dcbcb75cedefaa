"""Agent workers, and which of them is asked. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from sfu.core.ids import AgentWorkerId, JobId
from sfu.dispatch.job import JobReason, JobType
from sfu.participants.permissions import Permissions

LOAD_PER_JOB = 0.05
"""Added for each job given since a worker last told its load, so that a storm of jobs is spread; a voice
agent takes about that much of a machine."""
AGENT_PERMISSIONS = Permissions(agent=True, can_update_metadata=True)


@dataclass(frozen=True, slots=True)
class WorkerProfile:
    """What a worker says when it registers."""

    agent_name: str = ""
    """Empty: it serves rooms that ask for nobody by name."""
    type: JobType = JobType.ROOM
    version: str = ""
    permissions: Permissions = AGENT_PERMISSIONS
    """Of its agents."""
    capacity: int | None = None
    """Most jobs at once; None: it says itself when it is full."""
    region: str = ""
    """Where it is; empty: it did not say."""
    api_key: str = ""
    """Whose token it came with; its agents' tokens are signed with it."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker says of itself from time to time."""

    available: bool = True
    load: float = 0.0
    """0 idle to 1 as much as it can."""
    draining: bool = False
    """It finishes what it has and takes no more."""


@dataclass(slots=True)
class Worker:
    """One registration."""

    id: AgentWorkerId
    profile: WorkerProfile
    registered_at: float
    report: WorkerReport = WorkerReport()
    jobs: set[JobId] = field(default_factory=set)
    """Offered to it or run by it."""
    given: int = 0
    """Jobs since its last report."""

    @property
    def load(self) -> float:
        """What it said, and what it was given since."""
        return self.report.load + self.given * LOAD_PER_JOB

    @property
    def able(self) -> bool:
        """It may be asked."""
        capacity = self.profile.capacity
        room = capacity is None or len(self.jobs) < capacity
        return room and self.report.available and not self.report.draining


def choose(workers: Iterable[Worker], tried: Container[AgentWorkerId], region: str = "") -> Worker | None:
    """One that is able and was not tried: in our region rather than elsewhere, then the least loaded; of
    equals, the one with fewest jobs."""
    able = [worker for worker in workers if worker.able and worker.id not in tried]

    def rank(worker: Worker) -> tuple[bool, float, int, AgentWorkerId]:
        return worker.profile.region != region, worker.load, len(worker.jobs), worker.id

    return min(able, key=rank, default=None)


_NOBODY_ABLE = frozenset({JobReason.NONE, JobReason.NO_WORKER, JobReason.NO_CAPACITY, JobReason.DRAINING})


def why_none(workers: Iterable[Worker], last: JobReason) -> JobReason:
    """Why `choose` found nobody. `last`: what went wrong before, if all the able ones were tried."""
    found = list(workers)
    if not found:
        return JobReason.NO_WORKER
    if any(worker.able for worker in found):
        return JobReason.DECLINED if last in _NOBODY_ABLE else last
    if all(worker.report.draining for worker in found):
        return JobReason.DRAINING
    return JobReason.NO_CAPACITY
