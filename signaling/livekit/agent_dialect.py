"""LiveKit's worker protocol: one worker's conversation, frames to calls of the agency and back.

Our own SDK speaks it too. What it adds is in the URL: `capacity`, the most jobs at once, and `region`.
"""

import logging
from dataclasses import dataclass, field, replace

from google.protobuf.message import DecodeError
from livekit.protocol import agent

from sfu.core.errors import AirsideError
from sfu.core.ids import Identity, JobId
from sfu.dispatch.agency import WorkerSession
from sfu.dispatch.job import JobReason
from sfu.dispatch.outputs import Answer
from sfu.dispatch.pictures import JobInfo
from sfu.dispatch.workers import AGENT_PERMISSIONS, WorkerProfile, WorkerReport
from sfu.participants.info import AgentRequest, ParticipantKind, RoomInfo
from sfu.participants.permissions import Grant
from sfu.participants.validation import check_attributes, check_metadata, check_name
from sfu.settings.models import Settings
from signaling.auth import Token, create_token
from signaling.closing import CloseCode
from signaling.dialect import Outgoing
from signaling.livekit import agent_mapping, requests
from signaling.livekit.bounds import parse
from signaling.livekit.context import LiveKitContext

log = logging.getLogger(__name__)

TOKEN_VALIDITY_S = 3600.0  # as in LiveKit; the agent's own session renews it
NAME_ATTRIBUTE = "lk.agent_name"
MAX_MIGRATED = 10_000


@dataclass(slots=True)
class AgentDialect:
    """Speaks with one worker. The first message has to register it."""

    context: LiveKitContext
    settings: Settings
    token: Token
    out: Outgoing
    capacity: int | None = None
    region: str = ""
    binary: bool = field(default=True, init=False)
    session: WorkerSession | None = field(default=None, init=False)
    profile: WorkerProfile = field(default=WorkerProfile(), init=False)

    # signaling.dialect.Dialect

    async def handle_frame(self, frame: str | bytes) -> None:
        """As `Dialect.handle_frame`."""
        try:
            message = parse(agent.WorkerMessage, frame if isinstance(frame, bytes) else frame.encode())
        except DecodeError:
            self._fail("a frame is no WorkerMessage")
            return
        kind = message.WhichOneof("message")
        if self.session is None:
            if kind == "register":
                self._register(message.register)
            else:
                self._fail("the first message must be register")
        elif kind == "register":
            self._fail("registered already")
        else:
            self._act(self.session, kind, message)

    def encode_error(self, code: str, text: str) -> bytes:  # noqa: ARG002
        """As `Dialect.encode_error`: this protocol has no errors, the close frame says why."""
        return b""

    def handle_disconnect(self) -> None:
        """As `Dialect.handle_disconnect`."""
        if self.session is not None:
            self.session.close()
            self.session = None

    # sfu.dispatch.agency.WorkerPort

    def ask(self, job: JobInfo, request: AgentRequest, room: RoomInfo) -> None:
        """As `WorkerPort.ask`."""
        self._send(
            agent.ServerMessage(
                availability=agent.AvailabilityRequest(job=agent_mapping.job(job, request, room))
            )
        )

    def assign(self, job: JobInfo, request: AgentRequest, room: RoomInfo, answer: Answer) -> None:
        """As `WorkerPort.assign`."""
        message = agent_mapping.job(job, request, room)
        token = self._agent_token(room, answer)
        self._send(agent.ServerMessage(assignment=agent.JobAssignment(job=message, token=token)))

    def terminate(self, job: JobId) -> None:
        """As `WorkerPort.terminate`."""
        self._send(agent.ServerMessage(termination=agent.JobTermination(job_id=job)))

    # What workers say.

    def _register(self, request: agent.RegisterWorkerRequest) -> None:
        kind = agent_mapping.TYPES.get(request.type)
        if kind is None:
            self._fail("no such type of job")
            return
        try:
            check_name("agent's name", request.agent_name, self.settings.limits)
            check_name("version", request.version, self.settings.limits)
        except AirsideError as error:
            self._fail(error.text)
            return
        permissions = AGENT_PERMISSIONS
        if request.HasField("allowed_permissions"):
            permissions = replace(requests.permissions(request.allowed_permissions, permissions), agent=True)
        self.profile = WorkerProfile(
            agent_name=request.agent_name,
            type=kind,
            version=request.version,
            permissions=permissions,
            capacity=self.capacity,
            region=self.region,
            api_key=self.token.api_key,
        )
        self.session = self.context.service.agents.register(self.profile, self)
        self._send(
            agent.ServerMessage(
                register=agent.RegisterWorkerResponse(
                    worker_id=self.session.id, server_info=self.context.server_info
                )
            )
        )

    def _act(self, session: WorkerSession, kind: str | None, message: agent.WorkerMessage) -> None:
        match kind:
            case "availability":
                self._answered(session, message.availability)
            case "update_worker":
                update = message.update_worker
                load = update.load if 0.0 <= update.load <= 1.0 else 1.0
                full = update.status == agent.WorkerStatus.WS_FULL
                session.report(WorkerReport(available=not full, load=load, draining=update.draining))
            case "update_job":
                self._job_updated(session, message.update_job)
            case "migrate_job":
                ids = [*message.migrate_job.job_ids, *(job.id for job in message.migrate_job.jobs)]
                session.migrate(JobId(id_) for id_ in ids[:MAX_MIGRATED])
            case "ping":
                now_ms = int(self.context.clock.wall() * 1000)
                pong = agent.WorkerPong(last_timestamp=message.ping.timestamp, timestamp=now_ms)
                self._send(agent.ServerMessage(pong=pong))
            case _:
                # A newer worker may say more; a simulated job is for LiveKit's own tests.
                self.context.service.agents.ignored("unknown_message")

    def _answered(self, session: WorkerSession, answer: agent.AvailabilityResponse) -> None:
        job = JobId(answer.job_id)
        if not answer.available:
            session.decline(job, JobReason.REFUSED if answer.terminate else JobReason.DECLINED)
            return
        identity = answer.participant_identity or f"agent-{job}"
        attributes = {**answer.participant_attributes, NAME_ATTRIBUTE: self.profile.agent_name}
        limits = self.settings.limits
        try:
            check_name("identity", identity, limits)
            check_name("name", answer.participant_name, limits)
            check_metadata(answer.participant_metadata, limits)
            check_attributes(attributes, limits)
        except AirsideError as error:
            log.warning("%s: answer to %s: %s", session.id, job, error.text)
            session.decline(job, JobReason.BAD_ANSWER)
            return
        session.take(
            job, Answer(Identity(identity), answer.participant_name, answer.participant_metadata, attributes)
        )

    def _job_updated(self, session: WorkerSession, update: agent.UpdateJobStatus) -> None:
        job = JobId(update.job_id)
        match update.status:
            case agent.JobStatus.JS_SUCCESS:
                session.finish(job)
            case agent.JobStatus.JS_FAILED:
                session.fail(job, update.error)
            case agent.JobStatus.JS_RUNNING | agent.JobStatus.JS_PENDING:
                # The agent in its room says that it runs.
                return
            case _:
                self.context.service.agents.ignored("unknown_status")

    # How it is said.

    def _agent_token(self, room: RoomInfo, answer: Answer) -> str:
        may = self.profile.permissions
        grant = Grant(
            room=room.name,
            room_join=True,
            can_publish=may.can_publish,
            can_subscribe=may.can_subscribe,
            can_publish_data=may.can_publish_data,
            can_publish_sources=may.can_publish_sources,
            can_update_own_metadata=may.can_update_metadata,
            hidden=may.hidden,
            agent=True,
        )
        return create_token(
            self.token.api_key,
            self.settings.keys[self.token.api_key],
            grant,
            now=self.context.clock.wall(),
            identity=answer.identity,
            name=answer.name,
            metadata=answer.metadata,
            attributes=answer.attributes,
            kind=ParticipantKind.AGENT,
            validity_s=TOKEN_VALIDITY_S,
        )

    def _send(self, message: agent.ServerMessage) -> None:
        self.out.send(message.SerializeToString())

    def _fail(self, text: str) -> None:
        self.context.service.agents.ignored("protocol_error")
        self.out.close(CloseCode.PROTOCOL_ERROR, text)
