"""Who gets a ring, and who does not."""

from __future__ import annotations

import os

import pytest

from sfu.agents.plane.local_ring import InheritedRing, take_inherited
from sfu.core.ids import TransportId, WorkerId
from sfu.dataplane.commands import LocalPath
from sfu.dataplane.local_rings import VARIABLE, LocalRingRefusedError, LocalRings

ONE, TWO = WorkerId(0), WorkerId(1)


class Native:
    """Numbers rings, with pipes for what they have."""

    def __init__(self, fails_at: int = 1000) -> None:
        self.open: set[tuple[int, int]] = set()
        self.descriptors: list[int] = []
        self._next = 0
        self._fails_at = fails_at

    def create_local_ring(self, worker: int) -> tuple[int, tuple[int, int]]:
        if self._next == self._fails_at:
            raise OSError("no descriptor is left")
        self._next += 1
        self.open.add((worker, self._next))
        pair = os.pipe()
        self.descriptors += pair
        return self._next, pair

    def close_local_ring(self, worker: int, number: int) -> None:
        self.open.discard((worker, number))


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_a_secret_opens_the_rings_of_its_process_and_no_other() -> None:
    rings = LocalRings(Native(), (ONE, TWO))
    first, second = rings.create(), rings.create()
    transport = TransportId(9)
    assert rings.path(first.secret, TWO, transport) == LocalPath(first.numbers[TWO], 9)
    assert rings.path(second.secret, TWO, transport) == LocalPath(second.numbers[TWO], 9)
    for wrong in ("", "forged", first.secret[:-1], first.secret + "x", "\N{SNOWMAN}"):
        with pytest.raises(LocalRingRefusedError):
            rings.path(wrong, ONE, transport)
    assert first.secret not in repr(first)
    first.hand_over()
    second.hand_over()


def test_a_ring_that_is_over_is_nobodys() -> None:
    native = Native()
    rings = LocalRings(native, (ONE, TWO))
    first, second = rings.create(), rings.create()
    assert rings.closed(TWO, first.numbers[TWO]) is first
    assert rings.closed(TWO, first.numbers[TWO]) is None
    rings.close(second)
    rings.close(first)
    rings.close(first)
    for ring in (first, second):
        with pytest.raises(LocalRingRefusedError):
            rings.path(ring.secret, ONE, TransportId(1))
        ring.hand_over()
    assert native.open == set()


def test_what_was_for_the_process_is_closed_once_it_has_it() -> None:
    native = Native()
    ring = LocalRings(native, (ONE, TWO)).create()
    assert ring.inherited == tuple(native.descriptors)
    ring.hand_over()
    assert not any(is_open(descriptor) for descriptor in native.descriptors)
    assert ring.inherited == ()
    ring.hand_over()


def test_half_of_the_rings_are_none() -> None:
    native = Native(fails_at=1)
    with pytest.raises(OSError, match="descriptor"):
        LocalRings(native, (ONE, TWO)).create()
    assert native.open == set()
    assert not any(is_open(descriptor) for descriptor in native.descriptors)


def test_the_process_reads_what_was_written_for_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = LocalRings(Native(), (ONE, TWO)).create()
    monkeypatch.setenv(VARIABLE, ring.handover)
    assert take_inherited() == InheritedRing(ring.secret, ring.descriptors)
    assert take_inherited() is None
    ring.hand_over()


@pytest.mark.parametrize("nonsense", ["secret 1", "secret 1,x", "secret 1,2,3"])
def test_what_no_server_wrote_is_not_taken(nonsense: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, nonsense)
    assert take_inherited() is None
