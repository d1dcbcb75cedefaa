"""One participant's rows out of the workers' tables. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from sfu.dataplane.events import WorkerStats
from sfu.participants.participant import Participant


def participant_stats(member: Participant, workers: Sequence[WorkerStats]) -> dict[str, object]:
    """Figures of its transport, of the layers it publishes and of the sections it receives in."""
    tracks: dict[int, dict[str, str]] = {
        track.id: {"track": track.sid, "mid": track.info.mid} for track in member.tracks
    }
    slots: dict[int, dict[str, str]] = {
        slot: {"track": item.sid, "mid": member.slots[slot].mid}
        for slot, item in member.subscriber.applied.items()
    }
    transports: dict[int, dict[str, str]] = {}
    if member.receiving is not None:
        transports[member.receiving.transport] = {}
    return {
        "identity": member.identity,
        "sid": member.sid,
        "state": member.lifecycle.state.value,
        "join_s": {step.value: seconds for step, seconds in member.trace.steps.items()},
        "transport": next(iter(_rows(workers, "transports", "transport", transports)), None),
        "published": _rows(workers, "layers", "track", tracks),
        "subscribed": _rows(workers, "slots", "slot", slots),
    }


def _rows(
    workers: Sequence[WorkerStats], table: str, key: str, names: Mapping[int, Mapping[str, str]]
) -> list[dict[str, object]]:
    """Rows whose id is in `names`, with the plane's id replaced by the names clients know."""
    found: list[dict[str, object]] = []
    for worker in workers:
        columns = worker.tables.get(table, {})
        for row, number in enumerate(columns.get(key, ())):
            if number in names:
                figures = {name: _plain(values[row]) for name, values in columns.items() if name != key}
                found.append({**names[int(number)], "worker": worker.worker, **figures})
    return found


def _plain(value: float) -> int | float | None:
    """JSON has no NaN."""
    return None if math.isnan(value) else value
