"""Workers on a whole control plane with a virtual clock, as they see it: LiveKit's worker protocol."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.protocol import agent, agent_dispatch, models

from sfu.core.errors import AirsideError
from sfu.core.ids import Identity
from sfu.participants.happenings import Kind
from sfu.participants.info import AgentRequest, ParticipantKind
from sfu.participants.permissions import Grant
from sfu.settings.models import Settings
from signaling.auth import Authenticator, Token
from signaling.livekit.agent_dialect import AgentDialect
from signaling.livekit.agent_endpoint import _capacity
from signaling.livekit.agent_service import AgentDispatchService
from signaling.livekit.webhooks import encode_body
from tests.support.domain import ROOM, World, run
from tests.unit.livekit.support import KEYS, context

ADMIN = Token("devkey", Identity(""), Grant(room=ROOM, room_admin=True), 0.0)


class FakeWorker:
    """One worker's end of the WebSocket."""

    def __init__(self, world: World, *, capacity: int | None = None) -> None:
        self.world = world
        self.heard: list[agent.ServerMessage] = []
        self.closed: tuple[int, str] | None = None
        token = Token("devkey", Identity(""), Grant(agent=True), world.clock.wall() + 3600)
        self.dialect = AgentDialect(
            context(world), Settings.model_validate({"keys": KEYS}), token, self, capacity
        )

    def send(self, frame: bytes) -> None:
        self.heard.append(agent.ServerMessage.FromString(frame))

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)

    def say(self, **message: Any) -> FakeWorker:
        return self.raw(agent.WorkerMessage(**message).SerializeToString())

    def raw(self, frame: bytes) -> FakeWorker:
        run(self.dialect.handle_frame(frame))
        self.world.settle()
        return self

    def register(self, **fields: Any) -> FakeWorker:
        return self.say(register=agent.RegisterWorkerRequest(version="1.8.9", **fields))

    def take(self, job: agent.Job, **fields: Any) -> None:
        self.say(availability=agent.AvailabilityResponse(job_id=job.id, available=True, **fields))

    def of(self, kind: str) -> list[Any]:
        return [getattr(each, kind) for each in self.heard if each.WhichOneof("message") == kind]

    @property
    def offered(self) -> agent.Job:
        job: agent.Job = self.of("availability")[-1].job
        return job


@pytest.fixture
def world() -> World:
    return World()


def enter(world: World, token: str, kind: ParticipantKind = ParticipantKind.AGENT) -> Any:
    """Join as the bearer of a token, with a transport that comes up."""
    found = Authenticator(KEYS).verify(token, world.clock.wall())
    client = world.client(found.identity).receive(1)
    client.join(grant=found.grant, kind=found.kind, attributes=found.attributes)
    return client.connect()


def statuses(world: World) -> list[str]:
    return [job.status.value for item in world.service.agents.dispatches(ROOM) for job in item.jobs]


class TestJob:
    def test_from_registration_to_termination(self, world: World) -> None:
        worker = FakeWorker(world).register()
        assert worker.heard[0].register.worker_id.startswith("AW_")
        world.client("alice").receive(1).join().connect()
        job = worker.offered
        assert (job.room.name, job.type, job.state.status) == (ROOM, agent.JT_ROOM, agent.JS_PENDING)
        worker.take(job, participant_identity="helper", participant_attributes={"a": "b"})
        (assignment,) = worker.of("assignment")
        assert statuses(world) == ["assigned"]
        client = enter(world, assignment.token)
        assert statuses(world) == ["running"]
        info = world.service.get_participant(ROOM, Identity("helper"))
        assert info.kind is ParticipantKind.AGENT
        assert info.attributes == {"a": "b", "lk.agent_name": ""}
        assert info.permissions.agent
        assert info.permissions.can_update_metadata
        assert world.service.get_room(ROOM).num_participants == 1, "agents are not counted"
        dispatches = world.service.agents.dispatches(ROOM)
        world.service.agents.delete(ROOM, dispatches[0].id)
        assert worker.of("termination")[0].job_id == job.id
        client.session.leave()
        world.settle()
        assert not world.service.agents.dispatches(ROOM)

    def test_every_step_is_in_the_journal_and_measured(self, world: World) -> None:
        worker = FakeWorker(world).register()
        world.client("alice").receive(1).join().connect()
        worker.take(worker.offered)
        enter(world, worker.of("assignment")[0].token)
        entries = [(seq, entry) for seq, entry in world.service.journal.after(0, 100)]
        jobs = [entry.details for _, entry in entries if entry.kind is Kind.AGENT_JOB]
        assert [each["status"] for each in jobs if each] == ["waiting", "offered", "assigned", "running"]
        assert world.observer.moves[-1] == ("assigned", "running", "")
        assert len(world.observer.waits) == len(world.observer.joined_after) == 1
        seq, entry = entries[-1]
        assert b'"airsideDetails":{"id":"AJ_' in encode_body(seq, entry)

    def test_a_token_asks_for_an_agent(self, world: World) -> None:
        claims = {"agents": [{"agentName": "scribe", "metadata": "notes"}]}
        found = Authenticator(KEYS)._read("devkey", {"exp": 2e9, "roomConfig": claims}, 0.0)
        worker = FakeWorker(world).register(agent_name="scribe")
        world.client("alice").join(room_options=found.room_options)
        assert (worker.offered.metadata, worker.offered.agent_name) == ("notes", "scribe")

    def test_a_room_that_is_gone_ends_its_jobs(self, world: World) -> None:
        worker = FakeWorker(world).register()
        world.client("alice").receive(1).join().connect()
        worker.take(worker.offered)
        enter(world, worker.of("assignment")[0].token)
        world.service.delete_room(ROOM)
        world.settle()
        assert len(worker.of("termination")) == 1
        assert not world.service.agents.machine.jobs

    def test_a_participant_worker_hears_of_whom(self, world: World) -> None:
        worker = FakeWorker(world).register(type=agent.JT_PARTICIPANT)
        world.client("alice").receive(1).join().connect()
        assert worker.offered.participant.identity == "alice"

    def test_a_worker_that_goes_leaves_its_jobs_to_another(self, world: World) -> None:
        first = FakeWorker(world).register()
        world.client("alice").receive(1).join().connect()
        first.take(first.offered)
        agent_client = enter(world, first.of("assignment")[0].token)
        second = FakeWorker(world).register()
        first.dialect.handle_disconnect()
        agent_client.session.leave()
        world.settle()
        assert second.offered.id == first.offered.id

    def test_an_agent_that_ignores_its_end_is_removed(self, world: World) -> None:
        worker = FakeWorker(world).register()
        world.client("alice").receive(1).join().connect()
        worker.take(worker.offered)
        enter(world, worker.of("assignment")[0].token)
        (dispatch,) = world.service.agents.dispatches(ROOM)
        world.service.agents.end_job(ROOM, dispatch.jobs[0].id)
        assert len(world.service.list_participants(ROOM)) == 2
        world.settle(world.settings.agents.leave_timeout_s + 1)
        assert [who.identity for who in world.service.list_participants(ROOM)] == ["alice"]

    def test_a_hundred_rooms_at_once(self, world: World) -> None:
        workers = [FakeWorker(world).register() for _ in range(2)]
        for index in range(100):
            world.room = type(ROOM)(f"room{index}")
            world.create_room()
        world.settle()
        offered = [each.job.room.name for worker in workers for each in worker.of("availability")]
        assert len(offered) == len(set(offered)) == 100


class TestDispatchService:
    def call(self, world: World, name: str, request: Any, token: Token = ADMIN) -> Any:
        method = AgentDispatchService(world.service).methods()["livekit.AgentDispatchService", name]
        assert isinstance(request, method.request)
        return run(method.handle(request, token))  # type: ignore[arg-type]

    def test_create_list_delete(self, world: World) -> None:
        worker = FakeWorker(world).register(agent_name="scribe")
        request = agent_dispatch.CreateAgentDispatchRequest(
            agent_name="scribe", room=ROOM, metadata="m", attributes={"x": "y"}
        )
        made = self.call(world, "CreateDispatch", request)
        assert (worker.offered.dispatch_id, worker.offered.metadata) == (made.id, "m")
        listing = agent_dispatch.ListAgentDispatchRequest(room=ROOM, dispatch_id=made.id)
        (found,) = self.call(world, "ListDispatch", listing).agent_dispatches
        assert found.state.jobs[0].state.status == agent.JS_PENDING
        gone = agent_dispatch.DeleteAgentDispatchRequest(room=ROOM, dispatch_id=made.id)
        assert self.call(world, "DeleteDispatch", gone).state.deleted_at > 0
        with pytest.raises(AirsideError, match="is not in this room"):
            self.call(world, "DeleteDispatch", gone)

    def test_a_waiting_dispatch_says_why(self, world: World) -> None:
        world.create_room()
        found = world.service.agents.create(ROOM, AgentRequest("nobody"))
        assert found.waits_for == "no_worker"

    def test_needs_the_rooms_administrator(self, world: World) -> None:
        token = Token("devkey", Identity(""), Grant(room_list=True), 0.0)
        request = agent_dispatch.ListAgentDispatchRequest(room=ROOM)
        with pytest.raises(AirsideError, match="roomAdmin"):
            self.call(world, "ListDispatch", request, token)

    def test_not_without_end(self, world: World) -> None:
        world.create_room()
        there = len(world.service.agents.dispatches(ROOM))
        for _ in range(world.settings.agents.per_room - there):
            world.service.agents.create(ROOM, AgentRequest())
        with pytest.raises(AirsideError, match="number of agents"):
            world.service.agents.create(ROOM, AgentRequest())


class TestWorkersThatAreWrong:
    def test_first_message(self, world: World) -> None:
        worker = FakeWorker(world).say(ping=agent.WorkerPing(timestamp=1))
        assert worker.closed is not None
        assert "register" in worker.closed[1]

    @pytest.mark.parametrize("frame", [b"\xff\xff\xff", b"\x0a\xff", bytes(40)])
    def test_no_message(self, world: World, frame: bytes) -> None:
        assert FakeWorker(world).raw(frame).closed is not None

    def test_twice(self, world: World) -> None:
        assert FakeWorker(world).register().register().closed is not None

    def test_wrong_jobs_and_double_answers_change_nothing(self, world: World) -> None:
        worker = FakeWorker(world).register()
        world.client("alice").receive(1).join().connect()
        worker.take(agent.Job(id="AJ_other"))
        for _ in range(2):
            worker.take(worker.offered)
        worker.say(update_job=agent.UpdateJobStatus(job_id="AJ_other", status=agent.JS_FAILED))
        worker.say(update_job=agent.UpdateJobStatus(job_id=worker.offered.id, status=77))  # type: ignore[arg-type]
        assert len(worker.of("assignment")) == 1
        assert world.observer.ignored == ["not_its_job", "not_its_job", "not_its_job", "unknown_status"]

    def test_huge_metadata_is_declined_for_it(self, world: World) -> None:
        worker = FakeWorker(world).register()
        world.client("alice").receive(1).join().connect()
        worker.take(worker.offered, participant_metadata="x" * 600_000)
        assert statuses(world) == ["waiting"]
        (dispatch,) = world.service.agents.dispatches(ROOM)
        assert dispatch.jobs[0].reason == "bad_answer"

    def test_strange_reports(self, world: World) -> None:
        worker = FakeWorker(world).register()
        for load in (float("nan"), float("inf"), -1.0):
            worker.say(update_worker=agent.UpdateWorkerStatus(load=load))
        assert world.service.agents.workers()[0].load == 1.0

    def test_permissions_of_its_agents_are_those_it_registered(self, world: World) -> None:
        wanted = models.ParticipantPermission(can_subscribe=True, hidden=True)
        worker = FakeWorker(world).register(allowed_permissions=wanted)
        world.client("alice").receive(1).join().connect()
        worker.take(worker.offered)
        token = Authenticator(KEYS).verify(worker.of("assignment")[0].token, world.clock.wall())
        assert token.grant.hidden
        assert token.grant.can_publish is False

    @pytest.mark.parametrize(
        "text", ["0", "-1", "x", "1e3", "²", "9" * 100, "1" + "0" * 12, "1" + "9" * 5000]
    )
    def test_capacity(self, text: str) -> None:
        with pytest.raises(AirsideError, match="capacity"):
            _capacity(text)

    @given(st.lists(st.binary(max_size=60), max_size=10))
    @settings(max_examples=100)
    def test_any_bytes(self, frames: list[bytes]) -> None:
        world = World()
        worker = FakeWorker(world).register()
        world.create_room()
        for frame in frames:
            worker.raw(frame)
        world.settle(100)
