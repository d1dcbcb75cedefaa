"""The rings by which the server that started this process feeds it, in place of a WebRTC connection."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from sfu.dataplane.local_rings import VARIABLE

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InheritedRing:
    """What this process was given."""

    secret: str = field(repr=False)
    descriptors: tuple[tuple[int, int], ...]
    """By packet worker of the server: memory and socket."""

    def join(self, join: Callable[[int, int], int]) -> tuple[int, ...]:
        """Take our side of each, once; what `join` gives for them. Raises OSError."""
        try:
            return tuple(join(memory, socket) for memory, socket in self.descriptors)
        finally:
            # The plane has its own; with these the end of a ring could not be told.
            for descriptor in (each for pair in self.descriptors for each in pair):
                with contextlib.suppress(OSError):
                    os.close(descriptor)

    @classmethod
    def parse(cls, handover: str) -> InheritedRing:
        """As `LocalRing.handover` wrote it. Raises ValueError."""
        secret, *pairs = handover.split()
        numbers = [pair.split(",") for pair in pairs]
        return cls(secret, tuple((int(memory), int(socket)) for memory, socket in numbers))


def take_inherited() -> InheritedRing | None:
    """Once: the processes of single jobs do not inherit the descriptors, and join as anybody does."""
    handover = os.environ.pop(VARIABLE, "")
    if not handover:
        return None
    try:
        return InheritedRing.parse(handover)
    except ValueError:
        _log.warning("%s is not what a server writes; media goes over the network", VARIABLE)
        return None
