"""Who speaks in a room, from what each worker says about its own publishers. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sfu.core.ids import TrackId, WorkerId

MAX_SPEAKERS = 10
"""Named at once. More voices than this are noise to a listener and to a user interface."""
MAX_LEVEL = 255


class SpeakerBoard:
    """Merges the workers' newest reports."""

    def __init__(self) -> None:
        self._reports: dict[WorkerId, tuple[tuple[TrackId, int], ...]] = {}
        self._shown: tuple[tuple[TrackId, int], ...] = ()

    def report(self, worker: WorkerId, speakers: Iterable[tuple[TrackId, int]]) -> bool:
        """One worker's list, loudest first, replaces its last; whether the merged list changed."""
        self._reports[worker] = tuple(speakers)
        return self._merge()

    def remove(self, track: TrackId) -> bool:
        """A track ended or was muted; whether the merged list changed. Its worker says so later."""
        for worker, speakers in self._reports.items():
            self._reports[worker] = tuple(item for item in speakers if item[0] != track)
        return self._merge()

    @property
    def speakers(self) -> tuple[tuple[TrackId, float], ...]:
        """Loudest first, level 0 to 1."""
        return tuple((track, level / MAX_LEVEL) for track, level in self._shown)

    def _merge(self) -> bool:
        merged = sorted(
            (item for speakers in self._reports.values() for item in speakers),
            key=lambda item: (-item[1], item[0]),
        )
        before, self._shown = self._shown, tuple(merged[:MAX_SPEAKERS])
        return before != self._shown
