"""When the collector looks at what, and that it finds garbage all the same."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from sfu.collector import FULL_INTERVAL_S, IDLE_FULL_INTERVAL_S, Collector


class Ring:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.me = self


class Server:
    def __init__(self) -> None:
        self.now = 0.0
        self.idle = False
        self.collector = Collector(lambda: self.idle, lambda: self.now)


@pytest.fixture
def server() -> Iterator[Server]:
    before = gc.get_threshold()
    server = Server()
    server.collector.start()
    yield server
    gc.unfreeze()
    gc.set_threshold(*before)


def test_young_cycles_go_at_every_turn(server: Server) -> None:
    ring = weakref.ref(Ring())
    assert not server.collector.turn()
    assert ring() is None


def test_survivors_are_not_looked_at_again(server: Server) -> None:
    kept = [Ring() for _ in range(1000)]
    frozen = gc.get_freeze_count()
    server.collector.turn()
    assert gc.get_freeze_count() >= frozen + len(kept)
    assert len(gc.get_objects()) < len(kept)


def test_what_dies_set_aside_is_freed_by_count_and_its_cycles_when_nobody_is_there(server: Server) -> None:
    ring, plain = Ring(), {"a": Ring()}
    seen = weakref.ref(ring), weakref.ref(plain["a"])
    plain["a"].me = None  # type: ignore[assignment]
    server.collector.turn()
    del ring, plain
    assert seen[0]() is not None
    assert seen[1]() is None
    server.now = IDLE_FULL_INTERVAL_S
    assert not server.collector.turn(), "somebody is there"
    server.idle = True
    assert server.collector.turn()
    assert seen[0]() is None
    assert not server.collector.turn(), "once"


def test_a_busy_server_looks_at_everything_once_an_hour(server: Server) -> None:
    server.now = FULL_INTERVAL_S - 1
    assert not server.collector.turn()
    server.now = FULL_INTERVAL_S
    assert server.collector.turn()
