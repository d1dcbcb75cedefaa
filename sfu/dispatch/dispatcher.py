"""Workers on one side, what rooms ask for on the other, jobs between them. Sans-IO.

Feed it with `worker_*`, `room_*`, `person_*` and the calls of the API; then drain `poll_output`, and call
`handle_timeout` when `next_timeout` has come. A job waits as long as its room lives, and says why.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sfu.core.ids import (
    AgentWorkerId,
    DispatchId,
    Identity,
    JobId,
    RoomSid,
    new_agent_worker_id,
    new_dispatch_id,
    new_job_id,
)
from sfu.dispatch.demand import Dispatch, Person, RoomDemand
from sfu.dispatch.job import ENDED, Job, JobReason, JobSignal, JobStatus, JobType
from sfu.dispatch.outputs import Answer, Ask, Assign, Moved, Output, RemoveAgent, Terminate
from sfu.dispatch.workers import Worker, WorkerProfile, WorkerReport, choose, why_none
from sfu.participants.info import AgentRequest, ParticipantInfo, RoomInfo
from sfu.participants.sink import LeaveCode

RETRY_S = 3.0
"""Until workers that had a job, and declined or failed, are asked again."""
MAX_ERROR_CHARACTERS = 500
"""Of what a worker says went wrong; it goes into the journal."""
WENT = frozenset({LeaveCode.CLIENT_LEFT, LeaveCode.REMOVED, LeaveCode.MEDIA_CLOSED})
"""An agent that leaves so means it; any other end is a broken connection."""

SAID_SO = frozenset({JobReason.DONE, JobReason.FAILED})
"""Reasons that come from the worker itself: it need not be told."""

Key = tuple[str, JobType]
DEFAULT_REQUEST = AgentRequest()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one waits for others; the settings' section `agents`."""

    answer_s: float
    join_s: float
    lost_s: float
    leave_s: float
    attempts: int


class Dispatcher:
    """All rooms and all workers of a node. Time is monotonic seconds."""

    def __init__(self, patience: Patience, region: str = "") -> None:
        self._patience = patience
        self._region = region
        self.workers: dict[AgentWorkerId, Worker] = {}
        self.rooms: dict[RoomSid, RoomDemand] = {}
        self.jobs: dict[JobId, Job] = {}
        """All that can still be read about."""
        # A name is kept as long as a worker has it or a job waits for it: names are made up by clients.
        self._by_key: dict[Key, dict[AgentWorkerId, Worker]] = {}
        self._waiting: dict[Key, dict[JobId, Job]] = {}
        self._deadlines: list[tuple[float, int, Job]] = []
        self._leaving: list[tuple[float, int, Job, Identity]] = []
        self._order = itertools.count()
        self._outputs: deque[Output] = deque()

    def poll_output(self) -> Output | None:
        """The next thing to do."""
        return self._outputs.popleft() if self._outputs else None

    # Workers. What they say about jobs that are not theirs changes nothing: those calls give False.

    def worker_registered(self, profile: WorkerProfile, now: float) -> Worker:
        """A worker came. Whatever waits for one like it is offered."""
        worker = Worker(new_agent_worker_id(), profile, now)
        self.workers[worker.id] = worker
        key = (profile.agent_name, profile.type)
        self._by_key.setdefault(key, {})[worker.id] = worker
        for room in self.rooms.values():
            for dispatch in room.dispatches.values():
                if dispatch.request.agent_name == profile.agent_name:
                    self._make_jobs(room, dispatch, profile.type, now)
        self._serve(key, now)
        return worker

    def worker_reported(self, id_: AgentWorkerId, report: WorkerReport, now: float) -> None:
        """It said how it is."""
        worker = self.workers[id_]
        worker.report, worker.given = report, 0
        if worker.able:
            self._serve((worker.profile.agent_name, worker.profile.type), now)

    def worker_lost(self, id_: AgentWorkerId, now: float) -> None:
        """Its connection ended. Agents that are in their rooms may be taken up again for a while."""
        worker = self.workers.pop(id_)
        key = (worker.profile.agent_name, worker.profile.type)
        del self._by_key[key][id_]
        if not self._by_key[key]:
            del self._by_key[key]
        for job in [self.jobs[job] for job in sorted(worker.jobs)]:
            if job.status is JobStatus.RUNNING and job.identity in self.rooms[job.room].people:
                self._move(job, JobSignal.LOSE, JobReason.WORKER_LOST, now)
                self._set_deadline(job, now + self._patience.lost_s)
            elif job.status is JobStatus.OFFERED:
                self._give_back(job, JobReason.WORKER_LOST, now)
            else:
                self._give_up(job, JobReason.WORKER_LOST, now)
        self._explain(key, now)

    def answered(self, id_: AgentWorkerId, job_id: JobId, answer: Answer, now: float) -> bool:
        """It takes a job. Its agent has to come within the patience for joins."""
        job = self._held(id_, job_id, JobStatus.OFFERED)
        if job is None:
            return False
        room = self.rooms[job.room]
        there = room.people.get(answer.identity)
        if answer.identity in room.agents or (there is not None and not there.info.dependent):
            # It would push somebody else out of the room.
            self._give_back(job, JobReason.BAD_ANSWER, now)
            return True
        self._move(job, JobSignal.ACCEPT, JobReason.NONE, now)
        job.identity = answer.identity
        room.agents[answer.identity] = job
        self._set_deadline(job, now + self._patience.join_s)
        self._outputs.append(Assign(id_, job, room.dispatches[job.dispatch], answer))
        return True

    def declined(
        self, id_: AgentWorkerId, job_id: JobId, now: float, reason: JobReason = JobReason.DECLINED
    ) -> bool:
        """It does not take a job. `JobReason.REFUSED`: and nobody shall."""
        job = self._held(id_, job_id, JobStatus.OFFERED)
        if job is None:
            return False
        if reason is JobReason.REFUSED:
            self._end(job, JobSignal.CANCEL, reason, now)
        else:
            self._give_back(job, reason, now)
        return True

    def finished(self, id_: AgentWorkerId, job_id: JobId, now: float) -> bool:
        """It says that a job is done."""
        job = self._held(id_, job_id, JobStatus.ASSIGNED, JobStatus.RUNNING)
        if job is None:
            return False
        self._end(job, JobSignal.SUCCEED, JobReason.DONE, now)
        return True

    def failed(self, id_: AgentWorkerId, job_id: JobId, error: str, now: float) -> bool:
        """It says that a job went wrong. Others may try."""
        job = self._held(id_, job_id, JobStatus.ASSIGNED, JobStatus.RUNNING)
        if job is None:
            return False
        self._give_up(job, JobReason.FAILED, now, error)
        return True

    def migrated(self, id_: AgentWorkerId, job_ids: Iterable[JobId], now: float) -> int:
        """It came back, and still runs these; how many of them could be taken up."""
        count = 0
        for job in (self.jobs.get(job_id) for job_id in job_ids):
            worker = self.workers[id_]
            if job is None or job.status is not JobStatus.LOST:
                continue
            if (job.agent_name, job.type) != (worker.profile.agent_name, worker.profile.type):
                continue
            job.worker = id_
            worker.jobs.add(job.id)
            self._move(job, JobSignal.REGAIN, JobReason.NONE, now)
            count += 1
        return count

    # Rooms.

    def room_started(self, info: RoomInfo, now: float) -> None:
        """A room came to be, with what it asks for."""
        room = self.rooms[info.sid] = RoomDemand(info, now)
        for request in info.agents or (DEFAULT_REQUEST,):
            self._add_dispatch(room, request, now)

    def room_ended(self, sid: RoomSid, now: float) -> None:
        """It is over, and all its jobs with it."""
        room = self.rooms.get(sid)
        if room is None:
            return
        for dispatch in room.dispatches.values():
            for job in list(dispatch.jobs.values()):
                if not job.ended:
                    self._cancel(job, JobReason.ROOM_CLOSED, now)
            for job_id in dispatch.jobs:
                del self.jobs[job_id]
        del self.rooms[sid]

    def person_joined(self, sid: RoomSid, info: ParticipantInfo, now: float) -> None:
        """Somebody is in the room."""
        room = self.rooms.get(sid)
        if room is None:
            return
        room.people[info.identity] = Person(info, now)
        job = room.agents.get(info.identity)
        if job is not None:
            if job.status is JobStatus.ASSIGNED:
                self._move(job, JobSignal.JOIN, JobReason.NONE, now)
            elif job.status is JobStatus.RUNNING:
                # It had gone, and came back before anybody drew a conclusion.
                job.deadline, job.reason = None, JobReason.NONE
        self._make_all(room, JobType.PARTICIPANT, now)

    def person_published(self, sid: RoomSid, identity: Identity, now: float) -> None:
        """Somebody has a track."""
        room = self.rooms.get(sid)
        person = room.people.get(identity) if room is not None else None
        if room is not None and person is not None and person.published_at is None:
            person.published_at = now
            self._make_all(room, JobType.PUBLISHER, now)

    def person_left(self, sid: RoomSid, info: ParticipantInfo, code: LeaveCode | None, now: float) -> None:
        """Somebody is gone."""
        room = self.rooms.get(sid)
        person = room.people.get(info.identity) if room is not None else None
        if room is None or person is None or person.info.sid != info.sid:
            return
        del room.people[info.identity]
        self._subject_left(room, info, now)
        job = room.agents.get(info.identity)
        if job is None:
            return
        if job.status is JobStatus.LOST:
            self._give_up(job, JobReason.WORKER_LOST, now)
        elif job.status is JobStatus.RUNNING:
            # Its worker has the first word on how it ended.
            job.reason = JobReason.AGENT_LEFT if code in WENT else JobReason.AGENT_LOST
            self._set_deadline(job, now + self._patience.leave_s)

    def _subject_left(self, room: RoomDemand, info: ParticipantInfo, now: float) -> None:
        for dispatch in room.dispatches.values():
            for kind in (JobType.PARTICIPANT, JobType.PUBLISHER):
                job = dispatch.jobs.get(dispatch.made.pop((kind, info.sid), JobId("")))
                if job is not None and job.status in (JobStatus.WAITING, JobStatus.OFFERED):
                    self._cancel(job, JobReason.PARTICIPANT_LEFT, now)

    # The API.

    def create_dispatch(self, sid: RoomSid, request: AgentRequest, now: float) -> Dispatch:
        """An agent is asked for in a room that is there. KeyError: it is not."""
        return self._add_dispatch(self.rooms[sid], request, now)

    def delete_dispatch(self, sid: RoomSid, id_: DispatchId, now: float) -> Dispatch | None:
        """End its jobs and forget it; None: there is none."""
        room = self.rooms.get(sid)
        dispatch = room.dispatches.get(id_) if room is not None else None
        if room is None or dispatch is None:
            return None
        dispatch.deleted_at = now
        for job in list(dispatch.jobs.values()):
            if not job.ended:
                self._cancel(job, JobReason.DISPATCH_DELETED, now)
        for job_id in dispatch.jobs:
            del self.jobs[job_id]
        del room.dispatches[id_]
        return dispatch

    def end_job(self, sid: RoomSid, id_: JobId, now: float) -> Job | None:
        """End one; None: the room has none such. Does nothing if it is over."""
        job = self.jobs.get(id_)
        if job is None or job.room != sid:
            return None
        if not job.ended:
            self._cancel(job, JobReason.REQUESTED, now)
        return job

    def waits_for(self, dispatch: Dispatch) -> JobReason:
        """Why a dispatch has no job at all."""
        name = dispatch.request.agent_name
        served = any(self._by_key.get((name, kind)) for kind in JobType)
        return JobReason.NONE if dispatch.jobs or served else JobReason.NO_WORKER

    # Time.

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is due."""
        while self._deadlines and self._deadlines[0][2].deadline != self._deadlines[0][0]:
            heapq.heappop(self._deadlines)
        due = [heap[0][0] for heap in (self._deadlines, self._leaving) if heap]
        return min(due, default=None)

    def handle_timeout(self, now: float) -> None:
        """Act on what is overdue; an early or extra call does nothing."""
        while self._deadlines and self._deadlines[0][0] <= now:
            due, _, job = heapq.heappop(self._deadlines)
            if job.deadline == due:
                job.deadline = None
                self._overdue(job, now)
        while self._leaving and self._leaving[0][0] <= now:
            _, _, job, identity = heapq.heappop(self._leaving)
            room = self.rooms.get(job.room)
            # Not if the same identity is another job's by now, or this one's again.
            if room is not None and identity not in room.agents:
                self._outputs.append(RemoveAgent(job.room, job.room_name, identity))

    def _overdue(self, job: Job, now: float) -> None:
        match job.status:
            case JobStatus.WAITING:
                job.tried.clear()
                self._place(job, now)
            case JobStatus.OFFERED:
                self._give_back(job, JobReason.NO_ANSWER, now)
            case JobStatus.ASSIGNED:
                self._give_up(job, JobReason.NOT_JOINED, now)
            case JobStatus.LOST:
                self._give_up(job, JobReason.WORKER_LOST, now)
            case JobStatus.RUNNING if job.reason is JobReason.AGENT_LEFT:
                self._end(job, JobSignal.SUCCEED, JobReason.AGENT_LEFT, now)
            case _:
                self._give_up(job, JobReason.AGENT_LOST, now)

    # How it is done.

    def _add_dispatch(self, room: RoomDemand, request: AgentRequest, now: float) -> Dispatch:
        dispatch = Dispatch(new_dispatch_id(), request, now)
        room.dispatches[dispatch.id] = dispatch
        for kind in JobType:
            self._make_jobs(room, dispatch, kind, now)
        return dispatch

    def _make_all(self, room: RoomDemand, kind: JobType, now: float) -> None:
        for dispatch in room.dispatches.values():
            self._make_jobs(room, dispatch, kind, now)

    def _make_jobs(self, room: RoomDemand, dispatch: Dispatch, kind: JobType, now: float) -> None:
        """Only a worker says of which type an agent is: without one the dispatch itself waits."""
        if not self._by_key.get((dispatch.request.agent_name, kind)):
            return
        for subject, since in list(room.missing(dispatch, kind)):
            job = Job(
                id=new_job_id(),
                type=kind,
                room=room.info.sid,
                room_name=room.info.name,
                dispatch=dispatch.id,
                agent_name=dispatch.request.agent_name,
                subject=subject,
                restart=dispatch.request.restart,
                needed_at=since,
                updated_at=now,
            )
            dispatch.jobs[job.id] = self.jobs[job.id] = job
            dispatch.made[kind, None if subject is None else subject.sid] = job.id
            self._outputs.append(Moved(job, None, job.status, job.reason, ""))
            self._place(job, now)

    def _place(self, job: Job, now: float) -> None:
        """Offer a waiting job to the best worker, or say why it waits."""
        key = (job.agent_name, job.type)
        workers = self._by_key.get(key, {}).values()
        worker = choose(workers, job.tried, self._region)
        if worker is None:
            self._waiting.setdefault(key, {})[job.id] = job
            self._say_why(job, why_none(workers, job.reason), now)
            if job.tried and job.deadline is None:
                self._set_deadline(job, now + RETRY_S)
            return
        self._forget_waiting(job)
        job.tried.add(worker.id)
        job.worker = worker.id
        worker.jobs.add(job.id)
        worker.given += 1
        self._move(job, JobSignal.OFFER, JobReason.NONE, now)
        self._set_deadline(job, now + self._patience.answer_s)
        self._outputs.append(Ask(worker.id, job, self.rooms[job.room].dispatches[job.dispatch]))

    def _serve(self, key: Key, now: float) -> None:
        """Offer what waits to whoever is able now."""
        workers = self._by_key.get(key, {}).values()
        for job in list(self._waiting.get(key, {}).values()):
            if not any(worker.able for worker in workers):
                break
            if choose(workers, job.tried, self._region) is not None:
                self._place(job, now)
        self._explain(key, now)

    def _explain(self, key: Key, now: float) -> None:
        """The reason of what still waits may be another now."""
        workers = self._by_key.get(key, {}).values()
        for job in self._waiting.get(key, {}).values():
            self._say_why(job, why_none(workers, job.reason), now)

    def _say_why(self, job: Job, reason: JobReason, now: float) -> None:
        if job.reason is not reason:
            job.reason, job.updated_at = reason, now
            self._outputs.append(Moved(job, job.status, job.status, reason, job.error))

    def _give_back(self, job: Job, reason: JobReason, now: float, error: str = "") -> None:
        """A job leaves its worker, and is offered to another."""
        self._let_go(job, reason, now)
        self._move(job, JobSignal.RETURN, reason, now, error)
        self._place(job, now)
        self._serve((job.agent_name, job.type), now)

    def _give_up(self, job: Job, reason: JobReason, now: float, error: str = "") -> None:
        """The same after a worker had taken it: so often, and not for ever."""
        job.attempts += 1
        if job.restart and job.attempts < self._patience.attempts:
            self._give_back(job, reason, now, error)
        else:
            self._end(job, JobSignal.FAIL, reason, now, error)

    def _cancel(self, job: Job, reason: JobReason, now: float) -> None:
        self._end(job, JobSignal.CANCEL, reason, now)

    def _end(self, job: Job, signal: JobSignal, reason: JobReason, now: float, error: str = "") -> None:
        self._let_go(job, reason, now)
        self._forget_waiting(job)
        self._move(job, signal, reason, now, error)
        for old in self.rooms[job.room].dispatches[job.dispatch].keep_ended(job):
            del self.jobs[old.id]
        self._serve((job.agent_name, job.type), now)

    def _let_go(self, job: Job, reason: JobReason, now: float) -> None:
        """Take a job from its worker. An agent of it that is in the room later on is removed."""
        worker = self.workers.get(job.worker) if job.worker is not None else None
        if worker is not None:
            worker.jobs.discard(job.id)
            if reason not in SAID_SO and job.status in (JobStatus.ASSIGNED, JobStatus.RUNNING):
                self._outputs.append(Terminate(worker.id, job))
        room, identity = self.rooms[job.room], job.identity
        if identity is not None and room.agents.get(identity) is job:
            del room.agents[identity]
            # Also where nobody has seen it yet: it may be on its way in, and dead already.
            late = now if job.status is JobStatus.LOST else now + self._patience.leave_s
            heapq.heappush(self._leaving, (late, next(self._order), job, identity))

    def _held(self, id_: AgentWorkerId, job_id: JobId, *states: JobStatus) -> Job | None:
        job = self.jobs.get(job_id)
        return job if job is not None and job.worker == id_ and job.status in states else None

    def _move(self, job: Job, signal: JobSignal, reason: JobReason, now: float, error: str = "") -> None:
        before = job.handle(signal, reason, now)
        job.error = error[:MAX_ERROR_CHARACTERS]
        self._outputs.append(Moved(job, before, job.status, reason, job.error))

    def _forget_waiting(self, job: Job) -> None:
        key = (job.agent_name, job.type)
        waiting = self._waiting.get(key, {})
        waiting.pop(job.id, None)
        if not waiting:
            self._waiting.pop(key, None)

    def _set_deadline(self, job: Job, at: float) -> None:
        job.deadline = at
        heapq.heappush(self._deadlines, (at, next(self._order), job))

    def counts(self) -> Iterator[tuple[JobStatus, int]]:
        """Jobs by state, those that are over left out."""
        states = [job.status for job in self.jobs.values()]
        for status in JobStatus:
            if status not in ENDED:
                yield status, states.count(status)
