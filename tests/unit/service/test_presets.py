"""Rooms made by the name of a configuration."""

from __future__ import annotations

import pytest

from sfu.core.errors import InvalidRequestError
from sfu.core.ids import RoomName
from sfu.dataplane.commands import SetRemote
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


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (0, 0, None),
        (100, 0, (10, 4095)),
        (100, 250, (10, 25)),
        (300, 200, (30, 30)),
        (99_999, 0, (4095, 4095)),
    ],
)
def test_playout_delay(world: World, least: int, most: int, expected: tuple[int, int] | None) -> None:
    options = RoomOptions(min_playout_delay_ms=least, max_playout_delay_ms=most)
    world.service.create_room(world.room, options)
    world.client("ada").receive(1, 1).join()
    remotes = [item for item in world.plane.commands if isinstance(item, SetRemote)]
    assert remotes[-1].playout_delay == expected
