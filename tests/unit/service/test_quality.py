"""What the plane says about networks reaches whom it concerns, once and in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sfu.core.codecs import TrackSource
from sfu.core.ids import RoomName, SlotId, TrackId, WorkerId
from sfu.core.quality import Direction, QualityClass
from sfu.dataplane.events import AllocationReason, Quality, SlotAllocation, WantedLayers, WorkerStats
from sfu.participants.sink import QualityChanged, StreamStateChanged, WantedLayersChanged
from sfu.rooms.quality import INTERVAL_S
from tests.support.domain import Client, World, grant, run

W = WorkerId(0)
UP, DOWN = Direction.UP, Direction.DOWN
POOR, GOOD, EXCELLENT = QualityClass.POOR, QualityClass.GOOD, QualityClass.EXCELLENT


def report(client: Client, direction: Direction, quality: QualityClass, score: float) -> None:
    client.world.plane.emit(Quality(W, client.transport, direction, quality, score))
    client.world.settle(INTERVAL_S)


def heard(client: Client) -> list[list[tuple[str, QualityClass]]]:
    return [
        [(each.identity, each.quality) for each in event.qualities.value]
        for event in client.inbox.of(QualityChanged)
    ]


def a_call() -> tuple[World, Client, Client]:
    """Ada publishes a camera, Bob receives it."""
    world = World()
    ada = world.client("ada").receive(1, 1)
    bob = world.client("bob").receive(1, 1).join()
    ada.join(ada.send_in(TrackSource.CAMERA))
    for client in (ada, bob):
        client.connect()
    world.first_packet(ada)
    return world, ada, bob


def allocation(world: World, reason: AllocationReason, *, paused: bool = False) -> SlotAllocation:
    (slot,) = world.plane.carries
    target = None if paused else (0, 2)
    return SlotAllocation(W, SlotId(slot), target, paused, reason, "why", 500_000, 40_000, 71_000)


class TestConnectionQuality:
    def test_everyone_hears_of_the_worse_direction(self) -> None:
        _, ada, bob = a_call()
        report(ada, UP, GOOD, 3.5)
        report(ada, DOWN, POOR, 2.0)
        assert heard(bob) == heard(ada) == [[("ada", GOOD)], [("ada", POOR)]]
        (change,) = bob.inbox.of(QualityChanged)[-1].qualities.value
        assert change.score == 2.0

    def test_the_better_direction_is_no_news(self) -> None:
        _, ada, bob = a_call()
        report(ada, UP, POOR, 2.0)
        report(ada, DOWN, GOOD, 3.5)
        report(ada, UP, EXCELLENT, 4.5)
        assert heard(bob) == [[("ada", POOR)], [("ada", GOOD)]]

    def test_changes_within_a_second_are_one_message(self) -> None:
        world, ada, bob = a_call()
        report(ada, UP, GOOD, 3.5)
        world.settle(INTERVAL_S)
        for client, quality in ((ada, POOR), (bob, GOOD), (ada, GOOD), (ada, POOR)):
            world.plane.emit(Quality(W, client.transport, UP, quality, 2.0))
        world.settle(INTERVAL_S)
        later = heard(bob)[1:]
        assert len(later) <= 2, "the first goes out at once, the rest together"
        assert dict(item for news in later for item in news) == {"ada": POOR, "bob": GOOD}

    def test_newcomers_hear_of_those_who_are_not_excellent(self) -> None:
        world, ada, bob = a_call()
        report(ada, UP, POOR, 2.0)
        report(bob, UP, GOOD, 3.0)
        report(bob, UP, EXCELLENT, 4.5)
        eve = world.client("eve").join()
        assert heard(eve) == [[("ada", POOR)]]

    def test_a_hidden_one_hears_of_itself_alone(self) -> None:
        world, ada, bob = a_call()
        spy = world.client("spy").receive(1).join(grant=grant(hidden=True)).connect()
        report(spy, DOWN, POOR, 2.0)
        assert heard(spy) == [[("spy", POOR)]]
        assert heard(bob) == heard(ada) == []

    def test_who_moves_to_another_room_is_known_there_and_knows(self) -> None:
        world, ada, bob = a_call()
        report(ada, UP, POOR, 2.0)
        side = RoomName("side")
        world.room = side
        eve = world.client("eve").receive(1).join().connect()
        report(eve, DOWN, GOOD, 3.0)
        world.service.move_participant(RoomName("lobby"), ada.identity, side)
        world.settle(INTERVAL_S)
        assert heard(eve)[-1] == [("ada", POOR)]
        assert dict(item for news in heard(ada) for item in news) == {"ada": POOR, "eve": GOOD}
        assert heard(bob) == [[("ada", POOR)]]

    def test_nothing_follows_the_end(self) -> None:
        _, ada, bob = a_call()
        transport = ada.transport
        ada.session.leave()
        ada.world.plane.emit(Quality(W, transport, UP, POOR, 2.0))
        ada.world.settle(2 * INTERVAL_S)
        assert heard(bob) == []


class TestStreamState:
    def test_the_subscriber_is_told_why_once(self) -> None:
        world, ada, bob = a_call()
        for _ in range(3):
            world.plane.emit(allocation(world, AllocationReason.LINK))
        world.plane.emit(allocation(world, AllocationReason.PAUSED, paused=True))
        states = bob.inbox.of(StreamStateChanged)
        assert [(each.paused, each.reason.value) for each in states] == [(False, "link"), (True, "paused")]
        assert states[0].track == ada.debug["tracks"][0]
        assert (states[1].text, states[1].needed_bps, states[1].height_px) == ("why", 71_000, 0)
        assert ada.inbox.of(StreamStateChanged) == []
        assert world.observer.paused == 1

    def test_a_section_without_a_track_says_nothing(self) -> None:
        world, ada, bob = a_call()
        late = allocation(world, AllocationReason.LINK)
        ada.session.unpublish(ada.debug["tracks"][0])
        world.settle()
        world.plane.emit(late)
        assert bob.inbox.of(StreamStateChanged) == []

    def test_who_missed_too_much_is_told_again(self) -> None:
        world, ada, bob = a_call()
        world.plane.emit(allocation(world, AllocationReason.LINK))
        report(ada, UP, POOR, 2.0)
        bob.detach()
        bob.resume(last_seq=10_000)
        assert len(bob.inbox.of(StreamStateChanged)) == 1
        assert heard(bob) == [[("ada", POOR)]]


class TestStatistics:
    def test_both_directions_and_the_reason_of_each_subscription(self) -> None:
        world, ada, bob = a_call()
        world.plane.emit(allocation(world, AllocationReason.LINK))
        (track,), (slot,) = world.plane.tracks, world.plane.carries
        quality: dict[str, Sequence[int | float]] = {
            "transport": [ada.transport, ada.transport, bob.transport],
            "up": [1, 0, 0],
            "class": [1, 3, 2],
            "score": [2.1, 4.5, 3.3],
            "rtt_s": [0.24, 0.24, float("nan")],
        }
        layers: dict[str, Sequence[int | float]] = {"track": [track], "layer": [0], "packets": [50]}
        world.plane.worker_stats = (
            WorkerStats(W, {"quality": quality, "layers": layers, "slots": {"slot": [slot], "packets": [9]}}),
            WorkerStats(WorkerId(1), {"layers": {**layers, "packets": [0]}}),
        )
        mine: Any = run(world.service.participant_stats(world.room, ada.identity))
        assert mine["quality"]["up"] == {"quality": "poor", "worker": 0, "score": 2.1, "rtt_s": 0.24}
        assert mine["quality"]["down"]["quality"] == "excellent"
        assert [row["packets"] for row in mine["published"]] == [50], "a mirror measures nothing"
        others: Any = run(world.service.participant_stats(world.room, bob.identity))
        assert others["quality"]["up"] is None
        assert others["quality"]["down"] == {"quality": "good", "worker": 0, "score": 3.3, "rtt_s": None}
        (row,) = others["subscribed"]
        assert (row["allocation"]["reason"], row["allocation"]["message"]) == ("link", "why")


class TestWantedLayers:
    def test_the_publisher_is_told_what_anybody_takes(self) -> None:
        world, ada, bob = a_call()
        (track,) = world.plane.tracks
        for best in (None, 0):
            world.plane.emit(WantedLayers(W, TrackId(track), best))
        wanted = [[layer.wanted for layer in each.layers] for each in ada.inbox.of(WantedLayersChanged)]
        assert wanted == [[False], [True]]
        assert bob.inbox.of(WantedLayersChanged) == []
        ada.detach()
        ada.resume(last_seq=10_000)
        assert len(ada.inbox.of(WantedLayersChanged)) == 1
