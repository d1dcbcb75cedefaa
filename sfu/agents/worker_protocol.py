"""The worker's half of LiveKit's worker protocol: words of this package to messages and back. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from google.protobuf.message import DecodeError
from livekit.protocol import agent, models

from sfu import __version__
from sfu.agents.job import Accept, JobInfo, Outcome

JobKind = Literal["room", "publisher", "participant"]
_TYPES = {
    "room": agent.JobType.JT_ROOM,
    "publisher": agent.JobType.JT_PUBLISHER,
    "participant": agent.JobType.JT_PARTICIPANT,
}
_KINDS = {number: kind for kind, number in _TYPES.items()}


@dataclass(frozen=True, slots=True)
class Registered:
    """The server knows us."""

    worker_id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """Do we take this job?"""

    job: JobInfo


@dataclass(frozen=True, slots=True)
class Assigned:
    """It is ours."""

    job: JobInfo
    url: str
    """Empty: the one we are connected to."""
    token: str


@dataclass(frozen=True, slots=True)
class Terminated:
    """End it."""

    job_id: str


Event = Registered | Asked | Assigned | Terminated


def decode(frame: bytes) -> Event | None:
    """What the server says; None: something newer.

    Raises:
        ValueError: It is no message.
    """
    try:
        message = agent.ServerMessage.FromString(frame)
    except DecodeError:
        raise ValueError("the server sent what is no ServerMessage") from None
    match message.WhichOneof("message"):
        case "register":
            return Registered(message.register.worker_id)
        case "availability":
            return Asked(_job(message.availability.job))
        case "assignment":
            assignment = message.assignment
            return Assigned(_job(assignment.job), assignment.url, assignment.token)
        case "termination":
            return Terminated(message.termination.job_id)
        case _:
            return None


def _job(job: agent.Job) -> JobInfo:
    return JobInfo(
        id=job.id,
        room=job.room.name,
        agent_name=job.agent_name,
        type=_KINDS.get(job.type, "room"),
        metadata=job.metadata,
        attributes=dict(job.attributes),
        participant=job.participant.identity,
    )


def register(agent_name: str, kind: JobKind, *, hidden: bool) -> bytes:
    """The first message."""
    allowed = models.ParticipantPermission(
        can_publish=not hidden,
        can_subscribe=True,
        can_publish_data=True,
        can_update_metadata=True,
        hidden=hidden,
        agent=True,
    )
    request = agent.RegisterWorkerRequest(
        type=_TYPES[kind], agent_name=agent_name, version=__version__, allowed_permissions=allowed
    )
    return agent.WorkerMessage(register=request).SerializeToString()


def status(*, jobs: int, load: float, full: bool, draining: bool) -> bytes:
    """How we are."""
    words = agent.WorkerStatus
    update = agent.UpdateWorkerStatus(
        status=words.WS_FULL if full or draining else words.WS_AVAILABLE,
        load=load,
        job_count=jobs,
        draining=draining,
    )
    return agent.WorkerMessage(update_worker=update).SerializeToString()


def answer(job_id: str, accept: Accept | None) -> bytes:
    """We take it, or not."""
    response = agent.AvailabilityResponse(job_id=job_id, available=accept is not None)
    if accept is not None:
        response.participant_identity = accept.identity or f"agent-{job_id}"
        response.participant_name = accept.name
        response.participant_metadata = accept.metadata
        response.participant_attributes.update(accept.attributes)
    return agent.WorkerMessage(availability=response).SerializeToString()


def ended(job_id: str, outcome: Outcome) -> bytes:
    """How a job went."""
    words = agent.JobStatus
    update = agent.UpdateJobStatus(
        job_id=job_id, status=words.JS_FAILED if outcome.error else words.JS_SUCCESS, error=outcome.error
    )
    return agent.WorkerMessage(update_job=update).SerializeToString()


def migrate(job_ids: list[str]) -> bytes:
    """We were here before, and still run these."""
    return agent.WorkerMessage(migrate_job=agent.MigrateJobRequest(job_ids=job_ids)).SerializeToString()
