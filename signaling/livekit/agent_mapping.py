"""Jobs and dispatches as LiveKit's messages. Pure."""

from livekit.protocol import agent, agent_dispatch

from sfu.dispatch.job import JobReason, JobStatus, JobType
from sfu.dispatch.pictures import DispatchInfo, JobInfo
from sfu.participants.info import AgentRequest, RoomInfo
from signaling.livekit import mapping

NS_PER_S = 1_000_000_000

JOB_TYPES = {
    JobType.ROOM: agent.JobType.JT_ROOM,
    JobType.PUBLISHER: agent.JobType.JT_PUBLISHER,
    JobType.PARTICIPANT: agent.JobType.JT_PARTICIPANT,
}
TYPES = {number: kind for kind, number in JOB_TYPES.items()}

STATUS = {
    JobStatus.WAITING: agent.JobStatus.JS_PENDING,
    JobStatus.OFFERED: agent.JobStatus.JS_PENDING,
    JobStatus.ASSIGNED: agent.JobStatus.JS_RUNNING,
    JobStatus.RUNNING: agent.JobStatus.JS_RUNNING,
    JobStatus.LOST: agent.JobStatus.JS_RUNNING,
    JobStatus.SUCCEEDED: agent.JobStatus.JS_SUCCESS,
    JobStatus.FAILED: agent.JobStatus.JS_FAILED,
    JobStatus.CANCELLED: agent.JobStatus.JS_CANCELLED,
}
REASONS = {
    JobReason.NO_WORKER: agent.JobStateReason.JSR_NO_CAPACITY,
    JobReason.NO_CAPACITY: agent.JobStateReason.JSR_NO_CAPACITY,
    JobReason.DRAINING: agent.JobStateReason.JSR_NO_CAPACITY,
    JobReason.ROOM_CLOSED: agent.JobStateReason.JSR_ROOM_CLOSED,
    JobReason.DISPATCH_DELETED: agent.JobStateReason.JSR_DISPATCH_DELETED,
}
"""A job that waits for any other reason is tried again."""


def job(info: JobInfo, request: AgentRequest, room: RoomInfo) -> agent.Job:
    """As a worker is offered it."""
    message = job_state_only(info)
    message.room.CopyFrom(mapping.room(room))
    message.metadata = request.metadata
    message.attributes.update(request.attributes)
    if info.subject is not None:
        message.participant.CopyFrom(mapping.participant_info(info.subject))
    return message


def job_state_only(info: JobInfo) -> agent.Job:
    """Without what its dispatch says already."""
    return agent.Job(
        id=info.id,
        dispatch_id=info.dispatch,
        type=JOB_TYPES[info.type],
        agent_name=info.agent_name,
        state=_state(info),
    )


def _state(info: JobInfo) -> agent.JobState:
    reason = REASONS.get(info.reason, agent.JobStateReason.JSR_UNSPECIFIED)
    if info.status is JobStatus.WAITING and info.reason not in REASONS:
        reason = agent.JobStateReason.JSR_RETRYING
    return agent.JobState(
        status=STATUS[info.status],
        error=info.error,
        reason=reason,
        started_at=int((info.started_at or 0.0) * NS_PER_S),
        ended_at=int((info.ended_at or 0.0) * NS_PER_S),
        updated_at=int(info.updated_at * NS_PER_S),
        participant_identity=info.identity or "",
        worker_id=info.worker or "",
    )


def dispatch(info: DispatchInfo) -> agent_dispatch.AgentDispatch:
    """As the server API shows it."""
    policies = agent_dispatch.JobRestartPolicy
    return agent_dispatch.AgentDispatch(
        id=info.id,
        room=info.room,
        agent_name=info.request.agent_name,
        metadata=info.request.metadata,
        attributes=dict(info.request.attributes),
        restart_policy=policies.JRP_ON_FAILURE if info.request.restart else policies.JRP_NEVER,
        state=agent_dispatch.AgentDispatchState(
            jobs=[job_state_only(item) for item in info.jobs],
            created_at=int(info.created_at * NS_PER_S),
            deleted_at=int((info.deleted_at or 0.0) * NS_PER_S),
        ),
    )
