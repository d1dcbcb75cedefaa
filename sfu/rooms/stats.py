"""One participant's rows out of the workers' tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from sfu.core.codecs import MediaKind
from sfu.core.ids import SlotId
from sfu.core.quality import Direction, QualityClass
from sfu.dataplane.events import WorkerStats
from sfu.participants.connection import Connection
from sfu.participants.participant import Participant

CLASSES = tuple(QualityClass)
"""By the number that stands for each in the table `quality`, as `Class::rank` in quality/class.rs."""


def participant_stats(member: Participant, workers: Sequence[WorkerStats]) -> dict[str, object]:
    """Figures of its transport, of the layers it publishes and of the sections it receives in.

    `quality` has both directions: class and score, and the loss, jitter, round trip, bitrate, freezes and
    concealment of the newest window of 5 s. Each video subscription says in `allocation` what the network
    allows it, and why; None where no limit is known.
    """
    tracks: dict[int, dict[str, object]] = {
        track.id: {"track": track.sid, "mid": track.info.mid} for track in member.tracks
    }
    slots: dict[int, dict[str, object]] = {
        slot: {"track": item.sid, "mid": member.slots[slot].mid, **_allocation(member, slot)}
        for slot, item in member.subscriber.applied.items()
    }
    transports: dict[int, dict[str, object]] = {}
    if member.receiving is not None:
        transports[member.receiving.transport] = {}
    home = member.connection.worker if member.connection is not None else None
    return {
        "identity": member.identity,
        "sid": member.sid,
        "state": member.lifecycle.state.value,
        "join_s": {step.value: seconds for step, seconds in member.trace.steps.items()},
        "quality": _quality(member, workers),
        "transport": next(iter(_rows(workers, "transports", "transport", transports)), None),
        # Other workers have mirrors of its tracks, which measure nothing.
        "published": [row for row in _rows(workers, "layers", "track", tracks) if row["worker"] == home],
        "subscribed": _rows(workers, "slots", "slot", slots),
    }


def _quality(member: Participant, workers: Sequence[WorkerStats]) -> dict[str, object]:
    """By direction; None where nothing is published, or received, or no window is over yet."""
    return {
        Direction.UP.value: _window(workers, member.connection, up=True),
        Direction.DOWN.value: _window(workers, member.receiving, up=False),
    }


def _window(
    workers: Sequence[WorkerStats], connection: Connection | None, *, up: bool
) -> dict[str, object] | None:
    if connection is None:
        return None
    for row in _rows(workers, "quality", "transport", {connection.transport: {}}):
        if bool(row.pop("up")) is up:
            number = row.pop("class")
            return {"quality": CLASSES[number].value if isinstance(number, int) else None, **row}
    return None


def _allocation(member: Participant, slot: SlotId) -> dict[str, object]:
    if member.slots[slot].kind is MediaKind.AUDIO:
        return {}
    event = member.subscriber.allocations.get(slot)
    if event is None:
        return {"allocation": None}
    decision = {
        "spatial": None if event.target is None else event.target[0],
        "temporal": None if event.target is None else event.target[1],
        "paused": event.paused,
        "reason": event.reason.value,
        "message": event.text,
        "estimate_bps": event.estimate_bps,
        "available_bps": event.available_bps,
        "needed_bps": event.needed_bps,
    }
    return {"allocation": decision}


def _rows(
    workers: Sequence[WorkerStats], table: str, key: str, names: Mapping[int, Mapping[str, object]]
) -> list[dict[str, object]]:
    """Rows whose id is in `names`, with the plane's id replaced by the names clients know."""
    found: list[dict[str, object]] = []
    for worker, number, figures in _figures(workers, table, key):
        if number in names:
            found.append({**names[number], "worker": worker, **figures})
    return found


def _figures(
    workers: Sequence[WorkerStats], table: str, key: str
) -> Iterator[tuple[int, int, Mapping[str, object]]]:
    for worker in workers:
        columns = worker.tables.get(table, {})
        for row, number in enumerate(columns.get(key, ())):
            figures = {name: _plain(values[row]) for name, values in columns.items() if name != key}
            yield worker.worker, int(number), figures


def _plain(value: float) -> int | float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
