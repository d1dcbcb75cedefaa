"""A session description as data (RFC 8866): what the grammar reads and writes, nothing interpreted.

Lines that WebRTC gives no meaning (i=, u=, e=, p=, t=, r=, z=, k=) are not kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum


class Direction(StrEnum):
    """Direction attribute of a section, from the writer's side (RFC 8866 section 6.7)."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @staticmethod
    def of(*, sends: bool, receives: bool) -> Direction:
        """The direction with these two halves."""
        if sends:
            return Direction.SENDRECV if receives else Direction.SENDONLY
        return Direction.RECVONLY if receives else Direction.INACTIVE

    @property
    def sends(self) -> bool:
        """The writer sends."""
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def receives(self) -> bool:
        """The writer receives."""
        return self in (Direction.SENDRECV, Direction.RECVONLY)

    @property
    def reversed(self) -> Direction:
        """The same as the other side sees it."""
        return Direction.of(sends=self.receives, receives=self.sends)


@dataclass(frozen=True, slots=True)
class Attribute:
    """`a=name` or `a=name:value`."""

    name: str
    value: str | None = None
    line: int = field(default=0, compare=False)
    """Where it was read, for errors; 0 when it was not."""


@dataclass(frozen=True, slots=True)
class Origin:
    """`o=`: which session, which version of its description."""

    session_id: int
    version: int
    username: str = "-"
    address_type: str = "IP4"
    address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Connection:
    """`c=`. WebRTC ignores it in favour of candidates, but the line must be there."""

    address: str = "0.0.0.0"
    address_type: str = "IP4"


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """`b=`: a limit the writer sets, in the unit of its kind."""

    kind: str
    value: int


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One `m=` section."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    connection: Connection | None = None
    bandwidths: tuple[Bandwidth, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    line: int = field(default=0, compare=False)

    def values(self, name: str) -> Iterator[str]:
        """Values of every attribute of that name, "" for those without."""
        return (item.value or "" for item in self.attributes if item.name == name)

    def value(self, name: str) -> str | None:
        """The first such value; None when there is no such attribute."""
        return next(self.values(name), None)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description."""

    origin: Origin
    name: str = "-"
    connection: Connection | None = None
    bandwidths: tuple[Bandwidth, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    media: tuple[MediaDescription, ...] = ()

    def values(self, name: str) -> Iterator[str]:
        """Values of every session-level attribute of that name, "" for those without."""
        return (item.value or "" for item in self.attributes if item.name == name)

    def value(self, name: str) -> str | None:
        """The first such value; None when there is no such attribute."""
        return next(self.values(name), None)
