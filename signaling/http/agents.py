"""`/api/v1` on agents: who could work, what rooms ask for, and what became of it.

What a room asks for is administered like the room (`roomAdmin`); workers are listed like rooms (`roomList`).
"""

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Path
from pydantic import AfterValidator, BaseModel

from sfu.core.ids import DispatchId, JobId
from sfu.dispatch.pictures import DispatchInfo, JobInfo, WorkerInfo
from signaling.http import models
from signaling.http.admin import PREFIX, AdministeredRoom, AGrant, AService

router = APIRouter(prefix=PREFIX, responses=models.PROBLEMS, tags=["agents"])

DispatchParam = Annotated[DispatchId, Path(alias="dispatch"), AfterValidator(unquote)]
JobParam = Annotated[JobId, Path(alias="job"), AfterValidator(unquote)]


class Job(BaseModel):
    """An agent's task in one room. Times are seconds since 1970."""

    id: str
    type: str
    """`room`, `publisher` or `participant`: as its worker registered."""
    room: str
    dispatch_id: str
    agent_name: str
    status: str
    """`waiting`, `offered`, `assigned`, `running`, `lost`; `succeeded`, `failed`, `cancelled`."""
    reason: str
    """Why it waits, or why it ended, as `no_worker`; the agents page lists them."""
    error: str
    """What its worker said went wrong."""
    worker_id: str | None
    identity: str | None
    """Of its agent."""
    for_identity: str | None
    """Whom it is for; none: the room."""
    attempts: int
    """Times that a worker took it and did not finish."""
    needed_at: float
    updated_at: float
    started_at: float | None
    """When its agent was there first."""
    ended_at: float | None


class Dispatch(BaseModel):
    """An agent that a room asks for."""

    id: str
    room: str
    agent_name: str
    metadata: str
    attributes: dict[str, str]
    restart: bool
    created_at: float
    deleted_at: float | None
    waits_for: str
    """`no_worker` while no worker of that name is connected and there is no job yet."""
    jobs: list[Job]


class DispatchList(BaseModel):
    """All that a room asks for."""

    dispatches: list[Dispatch]


class Worker(BaseModel):
    """An agent worker that is connected."""

    id: str
    agent_name: str
    type: str
    version: str
    load: float
    """What it said, and a guess for jobs it was given since: 0 idle, 1 as much as it can."""
    jobs: list[str]
    capacity: int | None
    region: str
    """Where it is; of those that can, one in the server's own region is asked first."""
    available: bool
    draining: bool
    registered_at: float


class WorkerList(BaseModel):
    """All that are connected to this node."""

    workers: list[Worker]


@router.get("/agents/workers", summary="List agent workers")
async def list_workers(service: AService, grant: AGrant) -> WorkerList:
    """Those that are connected now. Needs `roomList`."""
    grant.require_room_list()
    return WorkerList(workers=[_worker(worker) for worker in service.agents.workers()])


@router.get("/rooms/{room}/dispatches", summary="List what a room asks for")
async def list_dispatches(service: AService, room: AdministeredRoom) -> DispatchList:
    """With the jobs that came of it. Needs `roomAdmin`."""
    return DispatchList(dispatches=[_dispatch(each) for each in service.agents.dispatches(room)])


@router.post("/rooms/{room}/dispatches", summary="Ask for an agent")
async def create_dispatch(service: AService, room: AdministeredRoom, body: models.CreateDispatch) -> Dispatch:
    """It comes as soon as a worker can take it. Needs `roomAdmin`."""
    return _dispatch(service.agents.create(room, body.request()))


@router.delete("/rooms/{room}/dispatches/{dispatch}", summary="Take a request for an agent back")
async def delete_dispatch(service: AService, room: AdministeredRoom, dispatch: DispatchParam) -> Dispatch:
    """Its jobs end. Needs `roomAdmin`."""
    return _dispatch(service.agents.delete(room, dispatch))


@router.delete("/rooms/{room}/jobs/{job}", summary="End a job")
async def end_job(service: AService, room: AdministeredRoom, job: JobParam) -> Job:
    """Its agent leaves, and no other takes its place. Needs `roomAdmin`."""
    return _job(service.agents.end_job(room, job))


def _job(job: JobInfo) -> Job:
    return Job.model_validate(job.describe())


def _dispatch(dispatch: DispatchInfo) -> Dispatch:
    request = dispatch.request
    return Dispatch(
        id=dispatch.id,
        room=dispatch.room,
        agent_name=request.agent_name,
        metadata=request.metadata,
        attributes=dict(request.attributes),
        restart=request.restart,
        created_at=dispatch.created_at,
        deleted_at=dispatch.deleted_at,
        waits_for=dispatch.waits_for.value,
        jobs=[_job(job) for job in dispatch.jobs],
    )


def _worker(worker: WorkerInfo) -> Worker:
    return Worker(
        id=worker.id,
        agent_name=worker.agent_name,
        type=worker.type.value,
        version=worker.version,
        load=worker.load,
        jobs=list(worker.jobs),
        capacity=worker.capacity,
        region=worker.region,
        available=worker.available,
        draining=worker.draining,
        registered_at=worker.registered_at,
    )
