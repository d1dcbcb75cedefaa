"""Rooms made by the name of a configuration."""

from __future__ import annotations

import pytest

from sfu.core.errors import InvalidRequestError
from sfu.core.ids import RoomName
from sfu.participants.requests import RoomOptions
from sfu.settings.models import RoomPreset, RoomSettings
from tests.support.domain import World

PRESET = RoomPreset(metadata="m", empty_timeout_s=7, max_participants=2, sync_streams=True)
ROOM = RoomName("small")


@pytest.fixture
def world() -> World:
    return World(room={"presets": {"small": PRESET}})


def test_a_preset_says_what_is_left_out(world: World) -> None:
    info = world.service.create_room(ROOM, RoomOptions(preset="small", max_participants=5))
    assert (info.metadata, info.empty_timeout_s, info.max_participants) == ("m", 7, 5)
    assert info.departure_timeout_s == RoomSettings().departure_timeout_s
    assert info.sync_streams


def test_an_unknown_preset_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequestError, match="preset"):
        world.service.create_room(ROOM, RoomOptions(preset="large"))
    assert not world.service.list_rooms()


def test_an_existing_room_is_changed_by_it(world: World) -> None:
    world.service.create_room(ROOM)
    assert world.service.configure_room(ROOM, RoomOptions(preset="small")).max_participants == 2
