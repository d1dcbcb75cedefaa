"""Jobs, dispatches and workers as others see them: frozen, with times of the wall clock."""

from __future__ import annotations

from dataclasses import dataclass

from sfu.core.ids import AgentWorkerId, DispatchId, Identity, JobId, RoomName
from sfu.dispatch.demand import Dispatch
from sfu.dispatch.job import Job, JobReason, JobStatus, JobType
from sfu.dispatch.workers import Worker
from sfu.participants.info import AgentRequest, ParticipantInfo


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as it was then. Times are seconds since 1970."""

    id: JobId
    type: JobType
    room: RoomName
    dispatch: DispatchId
    agent_name: str
    status: JobStatus
    reason: JobReason
    error: str
    worker: AgentWorkerId | None
    identity: Identity | None
    """Of its agent."""
    subject: ParticipantInfo | None
    """Whom it is for; None: the room."""
    attempts: int
    needed_at: float
    updated_at: float
    started_at: float | None
    ended_at: float | None

    def describe(self) -> dict[str, object]:
        """Plain JSON."""
        return {
            "id": self.id,
            "type": self.type.value,
            "room": self.room,
            "dispatch_id": self.dispatch,
            "agent_name": self.agent_name,
            "status": self.status.value,
            "reason": self.reason.value,
            "error": self.error,
            "worker_id": self.worker,
            "identity": self.identity,
            "for_identity": None if self.subject is None else self.subject.identity,
            "attempts": self.attempts,
            "needed_at": self.needed_at,
            "updated_at": self.updated_at,
            "started_at": self.started_at,
            "ended_at": self.ended_at,
        }


@dataclass(frozen=True, slots=True)
class DispatchInfo:
    """A request for an agent, with its jobs, oldest first."""

    id: DispatchId
    room: RoomName
    request: AgentRequest
    created_at: float
    deleted_at: float | None
    waits_for: JobReason
    """Why it has no job at all: `no_worker`, or nothing."""
    jobs: tuple[JobInfo, ...]


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """An agent worker that is connected."""

    id: AgentWorkerId
    agent_name: str
    type: JobType
    version: str
    load: float
    jobs: tuple[JobId, ...]
    capacity: int | None
    region: str
    available: bool
    draining: bool
    registered_at: float


def job_info(job: Job, wall_offset_s: float) -> JobInfo:
    """The offset is wall clock less monotonic."""

    def wall(at: float | None) -> float | None:
        return None if at is None else at + wall_offset_s

    return JobInfo(
        id=job.id,
        type=job.type,
        room=job.room_name,
        dispatch=job.dispatch,
        agent_name=job.agent_name,
        status=job.status,
        reason=job.reason,
        error=job.error,
        worker=job.worker,
        identity=job.identity,
        subject=job.subject,
        attempts=job.attempts,
        needed_at=job.needed_at + wall_offset_s,
        updated_at=job.updated_at + wall_offset_s,
        started_at=wall(job.started_at),
        ended_at=wall(job.ended_at),
    )


def dispatch_info(
    dispatch: Dispatch, room: RoomName, waits_for: JobReason, wall_offset_s: float
) -> DispatchInfo:
    """As `job_info`."""
    return DispatchInfo(
        id=dispatch.id,
        room=room,
        request=dispatch.request,
        created_at=dispatch.created_at + wall_offset_s,
        deleted_at=None if dispatch.deleted_at is None else dispatch.deleted_at + wall_offset_s,
        waits_for=waits_for,
        jobs=tuple(job_info(job, wall_offset_s) for job in dispatch.jobs.values()),
    )


def worker_info(worker: Worker, wall_offset_s: float) -> WorkerInfo:
    """As `job_info`."""
    return WorkerInfo(
        id=worker.id,
        agent_name=worker.profile.agent_name,
        type=worker.profile.type,
        version=worker.profile.version,
        load=worker.load,
        jobs=tuple(sorted(worker.jobs)),
        capacity=worker.profile.capacity,
        region=worker.profile.region,
        available=worker.report.available,
        draining=worker.report.draining,
        registered_at=worker.registered_at + wall_offset_s,
    )
