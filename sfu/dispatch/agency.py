"""The dispatcher at work: fed by the node's journal, by workers and by the API; timed by the clock.

What the journal brings is handled in a turn of its own, so that nobody who notes something there waits for
workers, and the order of entries stays the order of events.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from sfu.core.clock import Timer
from sfu.core.errors import DispatchNotFoundError, JobNotFoundError
from sfu.core.ids import AgentWorkerId, DispatchId, JobId, RoomName, RoomSid
from sfu.dispatch.dispatcher import Dispatcher, Patience
from sfu.dispatch.job import JobReason, JobStatus
from sfu.dispatch.outputs import Answer, Ask, Assign, Moved, Output, RemoveAgent, Terminate
from sfu.dispatch.pictures import (
    DispatchInfo,
    JobInfo,
    WorkerInfo,
    dispatch_info,
    job_info,
    worker_info,
)
from sfu.dispatch.workers import WorkerProfile, WorkerReport
from sfu.participants.happenings import Happening, Kind
from sfu.participants.info import AgentRequest, RoomInfo
from sfu.participants.sink import LeaveCode
from sfu.participants.validation import check_agent_count, check_agent_request
from sfu.rooms.context import Context
from sfu.rooms.registry import RoomRegistry

log = logging.getLogger(__name__)


class WorkerPort(Protocol):
    """The way to one worker, whatever it speaks. Returns at once."""

    def ask(self, job: JobInfo, request: AgentRequest, room: RoomInfo) -> None:
        """Does it take this job?"""

    def assign(self, job: JobInfo, request: AgentRequest, room: RoomInfo, answer: Answer) -> None:
        """It has it; its agent may join."""

    def terminate(self, job: JobId) -> None:
        """End it."""


class WorkerSession:
    """A registered worker's way in. What it says of others' jobs is counted, and changes nothing."""

    def __init__(self, agency: Agency, id_: AgentWorkerId) -> None:
        self.id = id_
        self._agency = agency

    def report(self, report: WorkerReport) -> None:
        """How it is."""
        self._agency.machine.worker_reported(self.id, report, self._agency.now())
        self._agency.pump()

    def take(self, job: JobId, answer: Answer) -> None:
        """It takes a job it was asked about."""
        self._done(self._agency.machine.answered(self.id, job, answer, self._agency.now()))

    def decline(self, job: JobId, reason: JobReason = JobReason.DECLINED) -> None:
        """It does not."""
        self._done(self._agency.machine.declined(self.id, job, self._agency.now(), reason))

    def finish(self, job: JobId) -> None:
        """A job is done."""
        self._done(self._agency.machine.finished(self.id, job, self._agency.now()))

    def fail(self, job: JobId, error: str) -> None:
        """A job went wrong."""
        self._done(self._agency.machine.failed(self.id, job, error, self._agency.now()))

    def migrate(self, jobs: Iterable[JobId]) -> None:
        """It was here before, and still runs these."""
        self._done(bool(self._agency.machine.migrated(self.id, jobs, self._agency.now())))

    def close(self) -> None:
        """Its connection ended. Nothing else may be called then."""
        self._agency.lost(self.id)

    def _done(self, heard: bool) -> None:
        if not heard:
            self._agency.ignored("not_its_job")
        self._agency.pump()


class Agency:
    """Agents of one node."""

    def __init__(self, context: Context, registry: RoomRegistry) -> None:
        limits = context.settings.agents
        self._context = context
        self._registry = registry
        self.machine = Dispatcher(
            Patience(
                answer_s=limits.answer_timeout_s,
                join_s=limits.join_timeout_s,
                lost_s=limits.lost_timeout_s,
                leave_s=limits.leave_timeout_s,
                attempts=limits.attempts,
            ),
            limits.region,
        )
        self._ports: dict[AgentWorkerId, WorkerPort] = {}
        self._infos: dict[RoomSid, RoomInfo] = {}
        self._inbox: deque[Happening] = deque()
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._pumping = False
        self._closed = False
        context.journal.listen(self._noted)

    # Workers.

    def register(self, profile: WorkerProfile, port: WorkerPort) -> WorkerSession:
        """A worker came. Jobs may be offered to it before its own messages are read."""
        worker = self.machine.worker_registered(profile, self.now())
        self._ports[worker.id] = port
        self._context.observer.agent_workers(len(self._ports))
        log.info("%s: worker for %r registered, %s jobs", worker.id, profile.agent_name, profile.type.value)
        # Its own answer to the registration has to come first.
        self._wake_at(self.now())
        return WorkerSession(self, worker.id)

    def lost(self, worker: AgentWorkerId) -> None:
        """A worker's connection ended."""
        del self._ports[worker]
        self._context.observer.agent_workers(len(self._ports))
        log.info("%s: worker gone", worker)
        self.machine.worker_lost(worker, self.now())
        self.pump()

    def ignored(self, reason: str) -> None:
        """A worker said something that makes no sense; a bounded set of reasons."""
        self._context.observer.agent_message_ignored(reason)

    def workers(self) -> list[WorkerInfo]:
        """All that are connected."""
        return [worker_info(worker, self._offset_s) for worker in self.machine.workers.values()]

    # The API. Raises RoomNotFoundError where there is no such room.

    def create(self, room: RoomName, request: AgentRequest) -> DispatchInfo:
        """Ask for an agent in a room."""
        check_agent_request(request, self._context.settings.limits)
        sid = self._sid(room)
        check_agent_count(len(self.machine.rooms[sid].dispatches) + 1, self._context.settings.agents)
        dispatch = self.machine.create_dispatch(sid, request, self.now())
        self.pump()
        return dispatch_info(dispatch, room, self.machine.waits_for(dispatch), self._offset_s)

    def dispatches(self, room: RoomName) -> list[DispatchInfo]:
        """What a room asks for."""
        demand = self.machine.rooms[self._sid(room)]
        return [
            dispatch_info(dispatch, room, self.machine.waits_for(dispatch), self._offset_s)
            for dispatch in demand.dispatches.values()
        ]

    def delete(self, room: RoomName, id_: DispatchId) -> DispatchInfo:
        """Take a request back; its jobs end. Raises DispatchNotFoundError."""
        dispatch = self.machine.delete_dispatch(self._sid(room), id_, self.now())
        if dispatch is None:
            raise DispatchNotFoundError(id_)
        self.pump()
        return dispatch_info(dispatch, room, JobReason.NONE, self._offset_s)

    def end_job(self, room: RoomName, id_: JobId) -> JobInfo:
        """End one job. Raises JobNotFoundError."""
        job = self.machine.end_job(self._sid(room), id_, self.now())
        if job is None:
            raise JobNotFoundError(id_)
        self.pump()
        return job_info(job, self._offset_s)

    # How it is driven.

    def now(self) -> float:
        """Monotonic seconds."""
        return self._context.clock.monotonic()

    @property
    def _offset_s(self) -> float:
        return self._context.clock.wall() - self._context.clock.monotonic()

    def _sid(self, room: RoomName) -> RoomSid:
        sid = self._registry.get(room).sid
        # It may have been made in this very turn.
        self.pump()
        return sid

    def _noted(self, _seq: int, happening: Happening) -> None:
        if happening.kind not in (Kind.AGENT_JOB, Kind.AGENT_TURN):
            self._inbox.append(happening)
            self._wake_at(self.now())

    def _wake_at(self, at: float) -> None:
        if self._closed:
            return
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._context.clock.call_later(max(0.0, at - self.now()), self._woken)

    def _woken(self) -> None:
        self._timer = None
        self.machine.handle_timeout(self.now())
        self.pump()

    def pump(self) -> None:
        """Hear what happened, and do what is to be done."""
        if self._pumping:
            return
        self._pumping = True
        try:
            while self._inbox:
                self._hear(self._inbox.popleft())
                self._act_all()
            self._act_all()
        finally:
            self._pumping = False
        due = self.machine.next_timeout()
        if due is not None:
            self._wake_at(due)

    def close(self) -> None:
        """Tell workers what ended with the last rooms, and keep no timer from now on."""
        self.pump()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hear(self, event: Happening) -> None:
        machine, now, sid, who = self.machine, self.now(), event.room.sid, event.participant
        self._infos[sid] = event.room
        match event.kind:
            case Kind.ROOM_STARTED:
                machine.room_started(event.room, now)
            case Kind.ROOM_FINISHED:
                machine.room_ended(sid, now)
                self._act_all()
                del self._infos[sid]
            case Kind.PARTICIPANT_JOINED if who is not None:
                machine.person_joined(sid, who, now)
            case Kind.TRACK_PUBLISHED if who is not None:
                machine.person_published(sid, who.identity, now)
            case Kind.PARTICIPANT_LEFT | Kind.PARTICIPANT_ABORTED if who is not None:
                machine.person_left(sid, who, event.reason, now)
            case _:
                return

    def _act_all(self) -> None:
        while (output := self.machine.poll_output()) is not None:
            self._act(output)

    def _act(self, output: Output) -> None:
        match output:
            case Ask():
                if (port := self._ports.get(output.worker)) is not None:
                    room = self._infos[output.job.room]
                    port.ask(job_info(output.job, self._offset_s), output.dispatch.request, room)
            case Assign():
                self._context.observer.job_waited(self.now() - output.job.needed_at)
                if (port := self._ports.get(output.worker)) is not None:
                    room = self._infos[output.job.room]
                    job = job_info(output.job, self._offset_s)
                    port.assign(job, output.dispatch.request, room, output.answer)
            case Terminate():
                if (port := self._ports.get(output.worker)) is not None:
                    port.terminate(output.job.id)
            case RemoveAgent():
                self._remove(output)
            case Moved():
                self._note(output)

    def _remove(self, output: RemoveAgent) -> None:
        room = self._registry.find(output.room_name)
        member = room.members.get(output.identity) if room is not None else None
        if room is not None and room.sid == output.room and member is not None and member.dependent:
            log.warning("%s: agent %s did not leave when its job ended", room, member)
            room.remove(member, LeaveCode.REMOVED, "the job of this agent has ended")

    def _note(self, moved: Moved) -> None:
        job, before = moved.job, moved.before
        self._context.observer.job_moved(
            None if before is None else before.value, moved.after.value, moved.reason.value
        )
        if moved.after is JobStatus.RUNNING and before is JobStatus.ASSIGNED:
            self._context.observer.job_joined(self.now() - job.needed_at)
        log.info(
            "%s: %s in %r: %s -> %s %s", job.id, job.agent_name or "agent", job.room_name,
            before.value if before is not None else "new", moved.after.value, moved.reason.value,
        )  # fmt: skip
        details = {
            **job_info(job, self._offset_s).describe(),
            "before": None if before is None else before.value,
            "status": moved.after.value,
            "reason": moved.reason.value,
            "error": moved.error,
        }
        self._context.journal.record(
            Happening(
                kind=Kind.AGENT_JOB,
                at=self._context.clock.wall(),
                room=self._infos[job.room],
                details=details,
            )
        )
