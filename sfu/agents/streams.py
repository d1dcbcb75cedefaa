"""Bounded queues between what arrives and who iterates over it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Stream(AsyncIterator[T], Generic[T]):
    """Items as they come. A reader that is too slow loses the oldest; `dropped` counts them."""

    def __init__(self, limit: int, owner: set[Stream[T]]) -> None:
        """
        Args:
            limit: Items kept for a reader that is behind.
            owner: Where the stream is registered until it is closed.
        """
        self.dropped = 0
        self._items: deque[T] = deque(maxlen=limit)
        self._arrived = asyncio.Event()
        self._ended = False
        self._owner = owner
        owner.add(self)

    def push(self, item: T) -> None:
        """One more item."""
        self.dropped += len(self._items) == self._items.maxlen
        self._items.append(item)
        self._arrived.set()

    def end(self) -> None:
        """No more items: the reader gets what is queued, and then stops."""
        self._ended = True
        self._arrived.set()
        self._owner.discard(self)

    def close(self) -> None:
        """Stop reading."""
        self._items.clear()
        self.end()

    async def __anext__(self) -> T:
        while not self._items:
            if self._ended:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._items.popleft()

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
