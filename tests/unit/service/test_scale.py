import gc
import random
import weakref
from collections import Counter
from typing import ClassVar

import pytest

from sfu.core.codecs import TrackSource
from sfu.dataplane.events import CloseReason, TransportState
from sfu.participants.info import ParticipantInfo
from sfu.participants.permissions import Permissions
from sfu.participants.sink import DomainEvent, Joined, Leave, ParticipantsChange, ParticipantsChanged
from tests.support.domain import ROOM, Client, World

CAMERA, MICROPHONE, SCREEN = TrackSource.CAMERA, TrackSource.MICROPHONE, TrackSource.SCREEN_SHARE


class EncodingSink:
    """What a dialect does: encodes through the shared values, and counts how often it really has to."""

    people: ClassVar[Counter[tuple[str, int]]] = Counter()
    changes = 0

    def __init__(self) -> None:
        self.events = 0

    def send(self, seq: int, event: DomainEvent) -> None:
        self.events += 1
        if isinstance(event, ParticipantsChanged):
            event.change.encoded("test", self._encode_change)
        elif isinstance(event, Joined):
            for person in event.state.participants.value:
                person.encoded("test", self._encode_person)

    @classmethod
    def _encode_change(cls, change: ParticipantsChange) -> bytes:
        cls.changes += 1
        for person in (*change.joined, *change.updated):
            person.encoded("test", cls._encode_person)
        return b"change"

    @classmethod
    def _encode_person(cls, info: ParticipantInfo) -> bytes:
        cls.people[info.sid, info.version] += 1
        return b"person"


def test_many_joins_encode_each_participant_once_and_coalesce() -> None:
    world, joins = World(), 300
    EncodingSink.people.clear()
    EncodingSink.changes = 0
    sinks = []
    for index in range(joins):
        client = world.client(f"p{index}").receive(1)
        sink = EncodingSink()
        client.inbox = sink  # type: ignore[assignment]
        world.settle = lambda delay_s=0.0: None  # type: ignore[method-assign]
        client.join()
        world.clock.advance(0.002)
        sinks.append(sink)
    world.clock.advance(1)
    assert max(EncodingSink.people.values()) == 1
    # 0.6 s of joins at 50 ms each, and one more when it is quiet.
    assert EncodingSink.changes <= 16
    assert max(sink.events for sink in sinks) <= 20


def test_a_participant_that_left_is_freed_without_the_garbage_collector() -> None:
    world = World()
    watcher = world.client("watcher").receive(1, 1).join()
    alice = world.client("alice").receive(1, 1)
    alice.join(alice.send_in(CAMERA))
    member = weakref.ref(world.service._registry.get(ROOM).members[alice.identity].subscriber)
    transport = alice.transport
    gc.collect()
    gc.disable()
    try:
        alice.session.leave()
        world.settle()
        assert member() is not None, "until the plane has let go of its transport"
        world.plane.transport_state(transport, TransportState.CLOSED, CloseReason.REMOVED)
        del alice
        assert member() is None
    finally:
        gc.enable()
    assert watcher.session.alive


class Crowd:
    """Clients that do whatever a die says."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(workers=2, session={"replay_events": 20, "connect_timeout_s": 1e6})
        self.clients: dict[str, Client] = {}
        self.actions = [self.join, self.leave, self.kick, self.drop, self.wait, self.permit, self.mute]
        self.actions += [self.lose_media]
        self.actions += [self.publish, self.publish, self.unpublish, self.stop_sending]
        self.actions += [self.more, self.subscribe, self.unsubscribe]

    def step(self) -> None:
        self.random.choice(self.actions)()

    def pick(self) -> Client | None:
        return self.random.choice(list(self.clients.values())) if self.clients else None

    def join(self) -> None:
        name = f"p{self.random.randrange(6)}"
        client = self.world.client(name).receive(self.random.randrange(3), self.random.randrange(3))
        entries = [client.send_in(MICROPHONE, f"{name}-mic")] if self.random.random() < 0.5 else []
        client.join(*entries, auto_subscribe=self.random.random() < 0.8)
        self.clients[name] = client

    def leave(self) -> None:
        if (client := self.pick()) is not None:
            client.session.leave()
            del self.clients[client.identity]

    def kick(self) -> None:
        if self.random.random() < 0.3 and (client := self.pick()) is not None:
            self.world.service.remove_participant(ROOM, client.identity)
            assert client.inbox.of(Leave)
            del self.clients[client.identity]

    def may(self, client: Client, source: TrackSource) -> bool:
        info = self.world.service.get_participant(ROOM, client.identity)
        return info.permissions.may_publish(source) and len(client.sections) < 40

    def publish(self) -> None:
        client, source = self.pick(), self.random.choice([CAMERA, MICROPHONE, SCREEN])
        if client is not None and self.may(client, source):
            client.publish(source, f"{client.identity}-{len(client.sections)}")

    def unpublish(self) -> None:
        client = self.pick()
        if client is not None and client.debug["tracks"]:
            client.session.unpublish(self.random.choice(client.debug["tracks"]))

    def stop_sending(self) -> None:
        client = self.pick()
        if client is not None and client.sections:
            index = self.random.randrange(len(client.sections))
            if "a=sendonly" in client.sections[index]:
                client.set_direction(str(index), "inactive")
                client.offer()

    def more(self) -> None:
        client = self.pick()
        if client is not None and len(client.sections) < 40:
            client.receive(1, 1).offer()

    def a_track_for(self, client: Client) -> str | None:
        people = self.world.service.list_participants(ROOM)
        tracks = [track.sid for each in people if each.sid != client.session.sid for track in each.tracks]
        return self.random.choice(tracks) if tracks else None

    def subscribe(self) -> None:
        client = self.pick()
        if client is not None and (track := self.a_track_for(client)) is not None:
            client.session.subscribe(track)  # type: ignore[arg-type]

    def unsubscribe(self) -> None:
        client = self.pick()
        if client is not None and (track := self.a_track_for(client)) is not None:
            client.session.unsubscribe(track)  # type: ignore[arg-type]

    def lose_media(self) -> None:
        client = self.pick()
        if client is not None and client.debug["transport"] is not None and self.random.random() < 0.3:
            lost = TransportState.CLOSED, CloseReason.CONSENT_EXPIRED
            self.world.plane.transport_state(client.transport, *lost)
            assert client.inbox.of(Leave)
            del self.clients[client.identity]

    def mute(self) -> None:
        client = self.pick()
        if client is not None and client.debug["tracks"]:
            client.session.mute(self.random.choice(client.debug["tracks"]), self.random.random() < 0.5)

    def permit(self) -> None:
        if self.random.random() < 0.3 and (client := self.pick()) is not None:
            allowed = Permissions(
                can_publish_sources=self.random.choice([None, frozenset({MICROPHONE})]),
                hidden=self.random.random() < 0.2,
            )
            self.world.service.update_participant(ROOM, client.identity, permissions=allowed)

    def drop(self) -> None:
        if (client := self.pick()) is not None:
            old, knowledge = client.inbox, client.inbox
            client.detach()
            self.world.settle(self.random.choice([0.0, 1.0]))
            client.inbox = knowledge
            knowledge.received = [item for item in knowledge.received if not isinstance(item[1], Leave)]
            client.resume(old.last_seq)

    def wait(self) -> None:
        self.world.settle(self.random.choice([0.0, 0.01, 0.3]))

    def check(self) -> None:
        """What every client believes is what the server and the plane hold."""
        self.world.settle()
        if not self.clients:
            return
        people = self.world.service.list_participants(ROOM)
        shown = {
            each.identity: tuple(track.name for track in each.tracks)
            for each in people
            if not each.permissions.hidden
        }
        for client in self.clients.values():
            assert client.session.alive
            assert client.inbox.people == shown
            bound = {item["track"] for item in client.debug["subscriptions"]}
            assert set(client.inbox.bound.values()) == bound
            assert len(client.inbox.bound) == len(bound)
            if client.debug["transport"] is not None:
                assert set(client.carried()) == set(client.inbox.bound)
        counts = self.world.service.counts()
        assert counts.tracks == len(self.world.plane.tracks) == self.world.observer.tracks
        assert counts.subscriptions == len(self.world.plane.carries) == self.world.observer.subscriptions
        assert counts.participants == len(self.clients) == self.world.observer.participants

    def end(self) -> None:
        for client in self.clients.values():
            client.session.leave()
        self.world.settle(1000)
        assert self.world.service.counts().rooms == 0
        assert self.world.plane.transports == {}
        placement = self.world.plane.placement
        assert [placement._transports, placement._tracks, placement._slots, placement._rooms] == [{}] * 4
        assert self.world.plane.tracks == {}
        assert self.world.plane.slots == {}
        assert self.world.plane.carries == {}
        assert self.world.clock.pending == 0
        assert self.world.observer.subscriptions == 0


@pytest.mark.parametrize("seed", range(12))
def test_whatever_clients_do_everybody_agrees(seed: int) -> None:
    crowd = Crowd(seed)
    for turn in range(150):
        crowd.step()
        if turn % 5 == 0:
            crowd.check()
    crowd.check()
    crowd.end()
