"""Rooms by name: made on first join or by the server API, ended when nobody needs them."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from sfu.core.errors import OverloadedError, RoomNotFoundError
from sfu.core.ids import RoomName
from sfu.participants.happenings import Kind
from sfu.participants.requests import RoomOptions
from sfu.participants.sink import LeaveCode, Reconnect
from sfu.rooms.context import Context
from sfu.rooms.room import Room

log = logging.getLogger(__name__)


class RoomRegistry:
    """Owns the expiry timer of each room."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rooms: dict[RoomName, Room] = {}

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[Room]:
        return iter(list(self._rooms.values()))

    def find(self, name: RoomName) -> Room | None:
        """The room of that name, if it is open."""
        return self._rooms.get(name)

    def get(self, name: RoomName) -> Room:
        """Raises RoomNotFoundError."""
        room = self._rooms.get(name)
        if room is None:
            raise RoomNotFoundError(name)
        return room

    def check_capacity(self) -> None:
        """Raises OverloadedError if no further room may be opened."""
        limit = self._context.settings.limits.rooms
        if limit and len(self._rooms) >= limit:
            raise OverloadedError("rooms", limit)

    def make(self, name: RoomName, options: RoomOptions) -> Room:
        """A room nobody knows of yet: `open` it, or drop it."""
        return Room(self._context, name, options, self._emptied)

    def open(self, room: Room) -> None:
        """From now on it is found by its name, until it expires or is closed."""
        self._rooms[room.name] = room
        self._context.directory.rooms[room.id] = room
        self._context.observer.room_opened()
        room.note(Kind.ROOM_STARTED)
        log.info("%s: opened as %r", room, room.name)
        if not room.members:
            self._expire_after(room, room.empty_timeout_s, "empty")

    def close(
        self,
        room: Room,
        code: LeaveCode,
        text: str,
        reconnect: Reconnect = Reconnect.NO,
        reason: str = "deleted",
        *,
        at_once: bool = False,
    ) -> None:
        """End a room with everybody in it, as `Room.close`. `reason` is for statistics."""
        if self._rooms.get(room.name) is room:
            del self._rooms[room.name]
            room.close(code, text, reconnect, at_once=at_once)
            self._context.observer.room_closed(reason)
            log.info("%s: closed: %s", room, reason)

    def _emptied(self, room: Room) -> None:
        self._expire_after(room, room.departure_timeout_s, "departed")

    def _expire_after(self, room: Room, delay_s: float, reason: str) -> None:
        def expire() -> None:
            room.expiry = None
            self.close(room, LeaveCode.ROOM_CLOSED, "nobody was here", reason=reason)

        room.expiry = self._context.clock.call_later(delay_s, expire)
