"""The dispatcher as a table of stories: what happened, who is asked, and why a job waits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfu.core.ids import AgentWorkerId, Identity, JobId, ParticipantSid, RoomName, RoomSid
from sfu.dispatch.demand import ENDED_KEPT
from sfu.dispatch.dispatcher import RETRY_S, Dispatcher, Patience
from sfu.dispatch.job import Job, JobReason, JobStatus, JobType
from sfu.dispatch.outputs import Answer, Ask, Assign, Moved, Output, RemoveAgent, Terminate
from sfu.dispatch.workers import Worker, WorkerProfile, WorkerReport
from sfu.participants.info import (
    AgentRequest,
    ParticipantInfo,
    ParticipantKind,
    ParticipantState,
    RoomInfo,
)
from sfu.participants.permissions import Permissions
from sfu.participants.sink import LeaveCode

PATIENCE = Patience(answer_s=10.0, join_s=60.0, lost_s=15.0, leave_s=5.0, attempts=3)
numbers = itertools.count(1)


def room_info(name: str = "lobby", *agents: AgentRequest) -> RoomInfo:
    return RoomInfo(
        sid=RoomSid(f"RM_{name}"),
        name=RoomName(name),
        metadata="",
        created_at=0.0,
        empty_timeout_s=300.0,
        departure_timeout_s=20.0,
        max_participants=0,
        num_participants=0,
        num_publishers=0,
        recording=False,
        agents=agents,
    )


def person(identity: str, kind: ParticipantKind = ParticipantKind.STANDARD) -> ParticipantInfo:
    return ParticipantInfo(
        sid=ParticipantSid(f"PA_{next(numbers)}"),
        identity=Identity(identity),
        name=identity,
        metadata="",
        attributes={},
        kind=kind,
        state=ParticipantState.ACTIVE,
        permissions=Permissions(),
        joined_at=0.0,
        version=1,
        tracks=(),
    )


@dataclass
class Node:
    """A dispatcher with a clock in hand, and what it wanted."""

    now: float = 100.0
    machine: Dispatcher = field(default_factory=lambda: Dispatcher(PATIENCE))
    outputs: list[Output] = field(default_factory=list)
    present: dict[str, ParticipantInfo] = field(default_factory=dict)

    def drain(self) -> list[Output]:
        new: list[Output] = []
        while (output := self.machine.poll_output()) is not None:
            new.append(output)
        self.outputs += new
        return new

    def worker(
        self, name: str = "", type_: JobType = JobType.ROOM, capacity: int | None = None, region: str = ""
    ) -> Worker:
        return self.machine.worker_registered(
            WorkerProfile(agent_name=name, type=type_, capacity=capacity, region=region), self.now
        )

    def report(self, worker: Worker, **fields: object) -> None:
        self.machine.worker_reported(worker.id, WorkerReport(**fields), self.now)  # type: ignore[arg-type]

    def room(self, name: str = "lobby", *agents: AgentRequest) -> RoomInfo:
        info = room_info(name, *agents)
        self.machine.room_started(info, self.now)
        return info

    def join(self, room: RoomInfo, who: str, kind: ParticipantKind = ParticipantKind.STANDARD) -> None:
        self.present[who] = person(who, kind)
        self.machine.person_joined(room.sid, self.present[who], self.now)

    def leave(self, room: RoomInfo, who: str, code: LeaveCode = LeaveCode.CLIENT_LEFT) -> None:
        self.machine.person_left(room.sid, self.present.pop(who), code, self.now)

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.machine.next_timeout()) is not None and due <= end:
            self.now = max(self.now, due)
            self.machine.handle_timeout(self.now)
        self.now = end

    @property
    def jobs(self) -> list[Job]:
        return list(self.machine.jobs.values())

    @property
    def job(self) -> Job:
        (job,) = self.jobs
        return job

    def asked(self) -> list[tuple[AgentWorkerId, JobId]]:
        return [(each.worker, each.job.id) for each in self.drain() if isinstance(each, Ask)]

    def take(self, job: Job, identity: str | None = None) -> bool:
        assert job.worker is not None
        who = Identity(identity or f"agent-{job.id}")
        return self.machine.answered(job.worker, job.id, Answer(who, "", "", {}), self.now)

    def run(self, room: RoomInfo, job: Job) -> str:
        """Let a worker take it and its agent come."""
        assert self.take(job)
        assert job.identity is not None
        self.join(room, job.identity, ParticipantKind.AGENT)
        assert job.status is JobStatus.RUNNING
        return job.identity

    def of(self, kind: type[Output]) -> list[Output]:
        self.drain()
        return [each for each in self.outputs if isinstance(each, kind)]


@pytest.fixture
def node() -> Node:
    return Node()


class TestWhoGetsOne:
    def test_a_room_worker_is_asked_once_per_room(self, node: Node) -> None:
        worker = node.worker()
        rooms = [node.room(f"room{index}") for index in range(100)]
        assert len(node.asked()) == len({job.room for job in node.jobs}) == len(rooms)
        assert {job.worker for job in node.jobs} == {worker.id}

    def test_people_get_their_own_jobs_and_agents_none(self, node: Node) -> None:
        node.worker(type_=JobType.PARTICIPANT)
        room = node.room()
        node.join(room, "alice")
        node.join(room, "other-agent", ParticipantKind.AGENT)
        assert [job.subject.identity for job in node.jobs if job.subject] == ["alice"]

    def test_publishers_get_theirs_at_their_first_track(self, node: Node) -> None:
        node.worker(type_=JobType.PUBLISHER)
        room = node.room()
        node.join(room, "alice")
        assert not node.jobs
        for _ in range(2):
            node.machine.person_published(room.sid, Identity("alice"), node.now)
        assert node.job.subject is not None

    def test_named_workers_get_only_what_names_them(self, node: Node) -> None:
        node.worker("scribe")
        room = node.room()
        assert not node.jobs
        node.machine.create_dispatch(room.sid, AgentRequest("scribe", "notes"), node.now)
        assert node.job.agent_name == "scribe"

    def test_a_room_that_names_agents_gets_no_other(self, node: Node) -> None:
        node.worker()
        named = node.worker("scribe")
        node.room("lobby", AgentRequest("scribe"))
        assert [worker for worker, _ in node.asked()] == [named.id]

    def test_the_least_loaded_is_asked(self, node: Node) -> None:
        busy, idle = node.worker(), node.worker()
        node.report(busy, load=0.6)
        node.report(idle, load=0.1)
        node.room()
        assert [worker for worker, _ in node.asked()] == [idle.id]

    def test_one_in_our_region_is_asked_before_an_idle_one_elsewhere(self) -> None:
        node = Node(machine=Dispatcher(PATIENCE, "eu"))
        far, near = node.worker(region="us"), node.worker(region="eu", capacity=1)
        node.report(near, load=0.9)
        node.room("first")
        node.room("second")
        assert [worker for worker, _ in node.asked()] == [near.id, far.id], "and another when it is full"

    def test_a_hundred_rooms_in_a_second_get_one_each(self, node: Node) -> None:
        workers = [node.worker(), node.worker()]
        rooms = []
        for index in range(100):
            rooms.append(node.room(f"room{index}"))
            node.pass_time(0.01)
        jobs = node.jobs
        for room, job in zip(rooms, jobs, strict=True):
            node.run(room, job)
        assert [job.room for job in jobs] == [room.sid for room in rooms]
        assert len(node.of(Ask)) == len(node.of(Assign)) == 100
        assert [len(worker.jobs) for worker in workers] == [50, 50]

    def test_a_storm_is_spread(self, node: Node) -> None:
        workers = [node.worker(), node.worker()]
        for index in range(100):
            node.room(f"room{index}")
        assert [len(worker.jobs) for worker in workers] == [50, 50]

    def test_one_who_comes_again_gets_a_new_job(self, node: Node) -> None:
        node.worker(type_=JobType.PARTICIPANT)
        room = node.room()
        for _ in range(2):
            node.join(room, "alice")
            node.leave(room, "alice")
        assert [job.status for job in node.jobs] == [JobStatus.CANCELLED] * 2
        assert {job.reason for job in node.jobs} == {JobReason.PARTICIPANT_LEFT}


class TestWaiting:
    def test_nobody_for_ten_seconds_and_then_at_once(self, node: Node) -> None:
        room = node.room("lobby", AgentRequest("scribe"))
        (dispatch,) = node.machine.rooms[room.sid].dispatches.values()
        node.pass_time(10.0)
        assert node.machine.waits_for(dispatch) is JobReason.NO_WORKER
        worker = node.worker("scribe")
        assert node.asked() == [(worker.id, node.job.id)]
        assert node.now - node.job.needed_at == 10.0

    def test_names_that_nobody_uses_any_more_are_forgotten(self, node: Node) -> None:
        for index in range(10):
            worker = node.worker(f"name{index}", capacity=1)
            room = node.room(f"room{index}", *[AgentRequest(f"name{index}")] * 2)
            node.machine.worker_lost(worker.id, node.now)
            node.machine.room_ended(room.sid, node.now)
        assert not node.machine._by_key
        assert not node.machine._waiting

    def test_a_worker_that_comes_later_gets_what_waits(self, node: Node) -> None:
        room = node.room()
        (dispatch,) = node.machine.rooms[room.sid].dispatches.values()
        assert node.machine.waits_for(dispatch) is JobReason.NO_WORKER
        node.pass_time(10)
        worker = node.worker()
        assert node.asked() == [(worker.id, node.job.id)]
        assert node.now - node.job.needed_at == 10
        assert node.machine.waits_for(dispatch) is JobReason.NONE

    def test_a_worker_of_people_gets_those_that_are_there(self, node: Node) -> None:
        room = node.room()
        node.join(room, "alice")
        node.join(room, "bob")
        node.worker(type_=JobType.PARTICIPANT)
        assert len(node.asked()) == 2

    def test_the_reason_is_said_and_follows(self, node: Node) -> None:
        worker = node.worker()
        node.report(worker, available=False)
        node.room()
        assert (node.job.status, node.job.reason) == (JobStatus.WAITING, JobReason.NO_CAPACITY)
        node.report(worker, available=False, draining=True)
        node.machine.worker_lost(worker.id, node.now)
        assert node.job.reason is JobReason.NO_WORKER
        second = node.worker()
        assert node.job.worker == second.id

    def test_a_worker_that_drains_takes_no_more(self, node: Node) -> None:
        worker = node.worker()
        node.report(worker, draining=True)
        node.room()
        assert node.job.reason is JobReason.DRAINING
        node.report(worker)
        assert node.job.status is JobStatus.OFFERED

    def test_capacity_is_kept_and_used_again(self, node: Node) -> None:
        worker = node.worker(capacity=1)
        first = node.room("one")
        node.room("two")
        one, two = node.jobs
        assert two.reason is JobReason.NO_CAPACITY
        node.run(first, one)
        assert node.machine.finished(worker.id, one.id, node.now)
        assert two.status is JobStatus.OFFERED


class TestOtherWorkers:
    def test_declined_goes_to_another_and_later_to_the_first(self, node: Node) -> None:
        first, second = node.worker(), node.worker()
        node.room()
        job = node.job
        asked = []
        for _ in range(2):
            assert job.worker is not None
            asked.append(job.worker)
            assert node.machine.declined(job.worker, job.id, node.now)
        assert set(asked) == {first.id, second.id}
        assert (job.status, job.reason) == (JobStatus.WAITING, JobReason.DECLINED)
        node.pass_time(RETRY_S)
        assert job.status is JobStatus.OFFERED

    def test_refused_goes_to_nobody(self, node: Node) -> None:
        worker, _ = node.worker(), node.worker()
        node.room()
        job = node.job
        node.machine.declined(job.worker or worker.id, job.id, node.now, JobReason.REFUSED)
        assert (job.status, job.reason) == (JobStatus.CANCELLED, JobReason.REFUSED)

    def test_no_answer(self, node: Node) -> None:
        node.worker()
        node.worker()
        node.room()
        before = node.job.worker
        node.pass_time(PATIENCE.answer_s)
        assert node.job.worker not in (None, before)

    def test_an_answer_that_comes_too_late(self, node: Node) -> None:
        node.worker()
        node.worker()
        node.room()
        late = node.job.worker
        assert late is not None
        node.pass_time(PATIENCE.answer_s)
        answer = Answer(Identity("x"), "", "", {})
        assert not node.machine.answered(late, node.job.id, answer, node.now)
        assert node.take(node.job)

    def test_an_agent_that_never_comes(self, node: Node) -> None:
        node.worker()
        node.worker()
        node.room()
        before = node.job.worker
        node.take(node.job)
        node.pass_time(PATIENCE.join_s)
        assert node.job.worker not in (None, before)
        assert node.of(Terminate) == [Terminate(before, node.job)]  # type: ignore[arg-type]

    def test_a_worker_that_dies_before_its_agent_came(self, node: Node) -> None:
        first, second = node.worker(), node.worker()
        node.room()
        job = node.job
        node.take(job)
        other = second if job.worker == first.id else first
        assert job.worker is not None
        node.machine.worker_lost(job.worker, node.now)
        assert (job.status, job.worker, job.attempts) == (JobStatus.OFFERED, other.id, 1)

    def test_a_worker_that_dies_with_its_agent(self, node: Node) -> None:
        first = node.worker()
        room = node.room()
        agent = node.run(room, node.job)
        second = node.worker()
        node.machine.worker_lost(first.id, node.now)
        assert node.job.status is JobStatus.LOST
        node.leave(room, agent, LeaveCode.SIGNAL_LOST)
        assert node.asked()[-1] == (second.id, node.job.id)

    def test_an_agent_that_outlives_its_worker_is_removed(self, node: Node) -> None:
        first = node.worker()
        room = node.room()
        agent = node.run(room, node.job)
        node.machine.worker_lost(first.id, node.now)
        node.worker()
        node.pass_time(PATIENCE.lost_s)
        assert node.job.status is JobStatus.OFFERED
        assert node.of(RemoveAgent) == [RemoveAgent(room.sid, room.name, Identity(agent))]

    def test_a_worker_that_comes_back_keeps_its_job(self, node: Node) -> None:
        first = node.worker()
        room = node.room()
        node.run(room, node.job)
        node.machine.worker_lost(first.id, node.now)
        again = node.worker()
        assert node.machine.migrated(again.id, [node.job.id, JobId("AJ_other")], node.now) == 1
        assert (node.job.status, node.job.worker) == (JobStatus.RUNNING, again.id)
        node.pass_time(100)
        assert node.job.status is JobStatus.RUNNING

    def test_nobody_takes_up_a_job_that_is_not_lost(self, node: Node) -> None:
        node.worker()
        room = node.room()
        node.run(room, node.job)
        thief = node.worker()
        assert node.machine.migrated(thief.id, [node.job.id], node.now) == 0

    def test_failed_is_tried_so_often(self, node: Node) -> None:
        worker = node.worker()
        room = node.room()
        for attempt in range(1, PATIENCE.attempts + 1):
            agent = node.run(room, node.job)
            assert node.machine.failed(worker.id, node.job.id, "it broke", node.now)
            assert node.job.attempts == attempt
            node.leave(room, agent)
            node.pass_time(RETRY_S)
        assert (node.job.status, node.job.error) == (JobStatus.FAILED, "it broke")

    def test_failed_once_when_it_is_not_to_be_restarted(self, node: Node) -> None:
        worker = node.worker()
        room = node.room("lobby", AgentRequest(restart=False))
        node.run(room, node.job)
        node.machine.failed(worker.id, node.job.id, "", node.now)
        assert node.job.status is JobStatus.FAILED


class TestEnds:
    def test_the_worker_says_done(self, node: Node) -> None:
        worker = node.worker()
        room = node.room()
        node.run(room, node.job)
        assert node.machine.finished(worker.id, node.job.id, node.now)
        assert (node.job.status, node.job.reason) == (JobStatus.SUCCEEDED, JobReason.DONE)
        assert not node.of(Terminate)
        assert not node.machine.finished(worker.id, node.job.id, node.now), "a second time"

    def test_an_agent_that_leaves_is_done(self, node: Node) -> None:
        node.worker()
        room = node.room()
        agent = node.run(room, node.job)
        node.leave(room, agent)
        node.pass_time(PATIENCE.leave_s)
        assert (node.job.status, node.job.reason) == (JobStatus.SUCCEEDED, JobReason.AGENT_LEFT)

    def test_an_agent_whose_connection_broke_is_replaced(self, node: Node) -> None:
        node.worker()
        room = node.room()
        agent = node.run(room, node.job)
        node.leave(room, agent, LeaveCode.SIGNAL_LOST)
        node.pass_time(PATIENCE.leave_s + RETRY_S)
        assert node.job.status is JobStatus.OFFERED

    def test_an_agent_that_joins_anew_goes_on(self, node: Node) -> None:
        node.worker()
        room = node.room()
        agent = node.run(room, node.job)
        node.leave(room, agent, LeaveCode.DUPLICATE_IDENTITY)
        node.join(room, agent, ParticipantKind.AGENT)
        node.pass_time(100)
        assert node.job.status is JobStatus.RUNNING

    def test_with_the_room(self, node: Node) -> None:
        worker = node.worker()
        room = node.room()
        node.run(room, node.job)
        job = node.job
        node.machine.room_ended(room.sid, node.now)
        assert node.of(Terminate) == [Terminate(worker.id, job)]
        assert (job.status, job.reason) == (JobStatus.CANCELLED, JobReason.ROOM_CLOSED)
        assert not node.machine.jobs
        assert not node.machine.rooms
        assert not worker.jobs

    def test_with_the_dispatch(self, node: Node) -> None:
        node.worker()
        room = node.room()
        node.run(room, node.job)
        job = node.job
        assert node.machine.delete_dispatch(room.sid, job.dispatch, node.now) is not None
        assert job.reason is JobReason.DISPATCH_DELETED
        assert node.machine.delete_dispatch(room.sid, job.dispatch, node.now) is None

    def test_by_request_and_an_agent_that_stays_is_removed(self, node: Node) -> None:
        worker = node.worker()
        room = node.room()
        agent = node.run(room, node.job)
        assert node.machine.end_job(RoomSid("RM_other"), node.job.id, node.now) is None
        assert node.machine.end_job(room.sid, node.job.id, node.now) is node.job
        assert node.job.reason is JobReason.REQUESTED
        assert node.of(Terminate) == [Terminate(worker.id, node.job)]
        assert not node.of(RemoveAgent)
        node.pass_time(PATIENCE.leave_s)
        assert node.of(RemoveAgent) == [RemoveAgent(room.sid, room.name, Identity(agent))]

    def test_an_agent_that_was_still_on_its_way_in_is_removed(self, node: Node) -> None:
        node.worker()
        room = node.room()
        node.take(node.job)
        agent = node.job.identity
        assert agent is not None
        node.machine.end_job(room.sid, node.job.id, node.now)
        node.pass_time(PATIENCE.leave_s)
        assert node.of(RemoveAgent) == [RemoveAgent(room.sid, room.name, agent)]

    def test_those_that_are_over_are_forgotten_at_last(self, node: Node) -> None:
        node.worker(type_=JobType.PARTICIPANT)
        room = node.room()
        for index in range(3 * ENDED_KEPT):
            node.join(room, f"guest{index}")
            node.leave(room, f"guest{index}")
        assert len(node.machine.jobs) == ENDED_KEPT
        (dispatch,) = node.machine.rooms[room.sid].dispatches.values()
        assert not dispatch.made


class TestWorkersThatAreWrong:
    def test_somebody_elses_job(self, node: Node) -> None:
        node.worker()
        room = node.room()
        node.run(room, node.job)
        other = node.worker()
        for call in (node.machine.declined, node.machine.finished):
            assert not call(other.id, node.job.id, node.now)
            assert not call(other.id, JobId("AJ_nothing"), node.now)
        assert not node.machine.failed(other.id, node.job.id, "", node.now)
        assert node.job.status is JobStatus.RUNNING

    def test_an_agent_that_would_push_a_person_out(self, node: Node) -> None:
        node.worker()
        room = node.room()
        node.join(room, "alice")
        assert node.take(node.job, "alice")
        assert (node.job.status, node.job.reason) == (JobStatus.WAITING, JobReason.BAD_ANSWER)
        assert not node.of(Assign)

    def test_an_error_without_end_is_cut(self, node: Node) -> None:
        worker = node.worker()
        node.run(node.room(), node.job)
        node.machine.failed(worker.id, node.job.id, "x" * 100_000, node.now)
        assert len(node.job.error) < 1000


STEPS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 3)), max_size=60)


@given(STEPS)
@settings(max_examples=200)
def test_whatever_happens_the_books_agree(steps: list[tuple[int, int]]) -> None:
    """Any order of events: no step fails, and workers, jobs and rooms say the same."""
    node = Node()
    workers: list[Worker] = []
    rooms: dict[int, RoomInfo] = {}
    for step, which in steps:
        worker = workers[which % len(workers)] if workers else None
        room = rooms.get(which)
        job = node.jobs[which % len(node.jobs)] if node.jobs else None
        match step:
            case 0:
                workers.append(node.worker(type_=list(JobType)[which % 3], capacity=2))
            case 1 if worker is not None:
                workers.remove(worker)
                node.machine.worker_lost(worker.id, node.now)
            case 2 if room is None:
                rooms[which] = node.room(f"room{which}")
            case 3 if room is not None:
                del rooms[which]
                node.machine.room_ended(room.sid, node.now)
                node.present.clear()
            case 4 if room is not None and f"p{which}" not in node.present:
                node.join(room, f"p{which}")
            case 5 if room is not None and f"p{which}" in node.present:
                node.leave(room, f"p{which}")
            case 6 if job is not None and job.worker is not None:
                node.take(job)
            case 7 if job is not None and job.identity is not None and not job.ended:
                present = person(job.identity, ParticipantKind.AGENT)
                node.machine.person_joined(job.room, present, node.now)
            case 8 if job is not None and job.worker is not None:
                node.machine.failed(job.worker, job.id, "", node.now)
            case 9 if job is not None:
                node.machine.end_job(job.room, job.id, node.now)
            case 10:
                node.pass_time(which * 10.0)
            case 11 if worker is not None:
                node.report(worker, available=which > 0, draining=which == 3)
            case _:
                continue
        check(node)


def check(node: Node) -> None:
    moved = {each.job.id for each in node.of(Moved)}  # type: ignore[union-attr]
    held = {JobStatus.OFFERED, JobStatus.ASSIGNED, JobStatus.RUNNING}
    for job in node.jobs:
        assert job.id in moved
        assert (job.status in held) == any(job.id in each.jobs for each in node.machine.workers.values())
        if job.status is JobStatus.WAITING:
            assert job.reason is not JobReason.NONE
            assert job.worker is None
    for worker in node.machine.workers.values():
        assert len(worker.jobs) <= 2
        assert worker.jobs <= set(node.machine.jobs)
