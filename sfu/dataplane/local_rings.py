"""Rings to processes that this server starts: who may have a transport on one, and which.

A process gets one ring for each packet worker, and a secret by which its sessions ask for them. Nobody else
knows the secret, so nobody else's media ever travels without a cipher.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Protocol

from sfu.core.errors import PeerError
from sfu.core.ids import TransportId, WorkerId
from sfu.dataplane.commands import LocalPath

SECRET_BYTES = 32
VARIABLE = "AIRSIDE_LOCAL_RING"
"""Environment variable of such a process: `LocalRing.handover`."""

Descriptors = tuple[int, int]
"""Of one ring, for the other process: its memory, and the socket that wakes it."""


class LocalRingRefusedError(PeerError):
    """Somebody asked for a local ring whom this server did not give one."""

    code = "local_ring_refused"

    def __init__(self) -> None:
        super().__init__("local rings are for agents that this server started; join without local_ring")


@dataclass(slots=True)
class LocalRing:
    """What one process has: a ring to each worker."""

    secret: str = field(repr=False)
    numbers: Mapping[WorkerId, int]
    descriptors: tuple[Descriptors, ...]
    """By worker. Ours until `hand_over`."""

    @property
    def handover(self) -> str:
        """What the process has to know, for `InheritedRing.parse`."""
        return " ".join((self.secret, *(f"{memory},{socket}" for memory, socket in self.descriptors)))

    @property
    def inherited(self) -> tuple[int, ...]:
        """Descriptors that the process has to inherit."""
        return tuple(descriptor for pair in self.descriptors for descriptor in pair)

    def hand_over(self) -> None:
        """The process runs, or will not: close what was for it. Its end is then told by the ring's own."""
        for descriptor in self.inherited:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self.descriptors = ()


class NativeRings(Protocol):
    """What is needed of the native plane."""

    def create_local_ring(self, worker: int) -> tuple[int, Descriptors]: ...

    def close_local_ring(self, worker: int, number: int) -> None: ...


class LocalRings:
    """Those that are open."""

    def __init__(self, native: NativeRings, workers: Iterable[WorkerId]) -> None:
        self._native = native
        self._workers = tuple(workers)
        self._open: dict[str, LocalRing] = {}

    def create(self) -> LocalRing:
        """Rings for a process that is about to be started. Raises OSError."""
        numbers: dict[WorkerId, int] = {}
        descriptors: list[Descriptors] = []
        ring = LocalRing(secrets.token_urlsafe(SECRET_BYTES), numbers, ())
        try:
            for worker in self._workers:
                numbers[worker], pair = self._native.create_local_ring(worker)
                descriptors.append(pair)
                ring.descriptors = tuple(descriptors)
        except OSError:
            ring.hand_over()
            self.close(ring)
            raise
        self._open[ring.secret] = ring
        return ring

    def close(self, ring: LocalRing) -> None:
        """End them, with every transport on them. May be called twice."""
        self._open.pop(ring.secret, None)
        for worker, number in ring.numbers.items():
            self._native.close_local_ring(worker, number)

    def path(self, secret: str, worker: WorkerId, transport: TransportId) -> LocalPath:
        """The way of a transport to the process that knows the secret. Raises LocalRingRefusedError."""
        given = secret.encode()
        for known, ring in self._open.items():
            if compare_digest(known.encode(), given):
                return LocalPath(ring.numbers[worker], transport)
        raise LocalRingRefusedError

    def closed(self, worker: WorkerId, number: int) -> LocalRing | None:
        """A worker says that one is over: nobody joins by it any more. Whose it was, if that is open."""
        for ring in self._open.values():
            if ring.numbers[worker] == number:
                del self._open[ring.secret]
                return ring
        return None
