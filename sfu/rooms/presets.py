"""Named configurations of rooms. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sfu.core.errors import InvalidRequestError
from sfu.participants.requests import RoomOptions
from sfu.settings.models import RoomPreset


def resolve(options: RoomOptions, presets: Mapping[str, RoomPreset]) -> RoomOptions:
    """Fill what the options leave out from the preset that they name.

    Raises:
        InvalidRequestError: There is no such preset.
    """
    if not options.preset:
        return options
    preset = presets.get(options.preset)
    if preset is None:
        raise InvalidRequestError("room_preset", f"there is no preset {options.preset!r}")
    return replace(
        options,
        preset="",
        metadata=options.metadata or preset.metadata,
        empty_timeout_s=_or(options.empty_timeout_s, preset.empty_timeout_s),
        departure_timeout_s=_or(options.departure_timeout_s, preset.departure_timeout_s),
        max_participants=preset.max_participants
        if options.max_participants is None
        else options.max_participants,
        min_playout_delay_ms=options.min_playout_delay_ms or preset.min_playout_delay_ms,
        max_playout_delay_ms=options.max_playout_delay_ms or preset.max_playout_delay_ms,
        sync_streams=options.sync_streams or preset.sync_streams,
    )


def _or(value: float | None, default: float | None) -> float | None:
    return default if value is None else value
