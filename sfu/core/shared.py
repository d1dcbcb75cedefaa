"""State that goes to many clients is encoded once per dialect, by whoever needs it first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """One immutable value beside its encodings.

    The same object is handed to every receiver in a room, so that a dialect pays for encoding once:
    `shared.encoded("native", encode)` calls `encode(shared.value)` the first time only. What differs
    per receiver (a sequence number) is spliced around the bytes by the dialect.
    """

    __slots__ = ("_encoded", "value")

    def __init__(self, value: T) -> None:
        self.value = value
        self._encoded: dict[str, bytes] = {}

    def encoded(self, dialect: str, encode: Callable[[T], bytes]) -> bytes:
        """The value in a dialect's bytes. One name must always mean the same encoder."""
        found = self._encoded.get(dialect)
        if found is None:
            found = self._encoded[dialect] = encode(self.value)
        return found
