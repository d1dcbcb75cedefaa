"""All tracks of a room, in the order in which subscribers should get them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sfu.core.codecs import MediaKind, TrackSource
from sfu.core.ids import ParticipantSid, TrackSid
from sfu.tracks.track import Track

SCREEN_SOURCES = frozenset({TrackSource.SCREEN_SHARE, TrackSource.SCREEN_SHARE_AUDIO})
"""First in line for a section: what is presented is what people came for."""


class TrackCatalog:
    """Indexed so that nobody has to look at every track to find the next one or to count them."""

    def __init__(self) -> None:
        self._tracks: dict[TrackSid, Track] = {}
        self._screens: dict[MediaKind, dict[TrackSid, Track]] = {kind: {} for kind in MediaKind}
        self._others: dict[MediaKind, dict[TrackSid, Track]] = {kind: {} for kind in MediaKind}
        self._owned: Counter[tuple[ParticipantSid, MediaKind]] = Counter()

    def __len__(self) -> int:
        return len(self._tracks)

    def get(self, sid: TrackSid) -> Track | None:
        """The track, if it is published."""
        return self._tracks.get(sid)

    def add(self, track: Track) -> None:
        """A track was published."""
        self._tracks[track.sid] = track
        self._row(track)[track.sid] = track
        self._owned[track.info.participant, track.kind] += 1

    def remove(self, track: Track) -> None:
        """A track ended. KeyError if it was not here."""
        del self._tracks[track.sid]
        del self._row(track)[track.sid]
        owner = (track.info.participant, track.kind)
        self._owned[owner] -= 1
        if not self._owned[owner]:
            del self._owned[owner]

    def of(self, kind: MediaKind) -> Iterator[Track]:
        """Screens first, then by age."""
        yield from self._screens[kind].values()
        yield from self._others[kind].values()

    def count(self, kind: MediaKind, without: ParticipantSid) -> int:
        """How many tracks of a kind others than `without` publish."""
        return len(self._screens[kind]) + len(self._others[kind]) - self._owned.get((without, kind), 0)

    def _row(self, track: Track) -> dict[TrackSid, Track]:
        rows = self._screens if track.info.source in SCREEN_SOURCES else self._others
        return rows[track.kind]
