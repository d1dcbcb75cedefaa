"""What happened on this node, in order and numbered: for webhooks, and for whoever asks later. Bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Journal(Generic[T]):
    """Keeps the newest entries. Readers name the last number they have seen."""

    def __init__(self, size: int) -> None:
        self.seq = 0
        """Of the newest entry; the first one is 1."""
        self._kept: deque[tuple[int, T]] = deque(maxlen=size)
        self._listeners: list[Callable[[int, T], None]] = []

    def listen(self, listener: Callable[[int, T], None]) -> None:
        """Call back for each entry from now on; must be quick and must not raise."""
        self._listeners.append(listener)

    def record(self, entry: T) -> None:
        """Add an entry."""
        self.seq += 1
        self._kept.append((self.seq, entry))
        for listener in self._listeners:
            listener(self.seq, entry)

    def after(self, seq: int, limit: int) -> list[tuple[int, T]]:
        """Entries with a higher number, oldest first. A gap after `seq` means that some are forgotten."""
        found = [item for item in self._kept if item[0] > seq]
        return found[:limit]
