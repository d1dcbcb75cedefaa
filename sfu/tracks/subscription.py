"""What a subscriber wants of a track, beside what was applied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sfu.core.codecs import MediaKind
from sfu.core.ids import ParticipantSid, TrackSid
from sfu.tracks.catalog import TrackCatalog
from sfu.tracks.track import Track

MAX_HEIGHT_PX = 4320
"""8K: stands for "no limit"."""
MAX_TEMPORAL = 7
"""Three bits in every codec that has temporal layers: stands for "no limit"."""


@dataclass(frozen=True, slots=True)
class SubscriptionWish:
    """A client's words about one track. The network may give it less, never more."""

    max_height_px: int = MAX_HEIGHT_PX
    """Tallest picture wanted; 0 stops video and keeps the subscription."""
    paused: bool = False
    """Nothing is sent, audio included."""
    priority: int | None = None
    """1 (thumbnail) to 255 (what is looked at); None: by the track's source."""
    may_pause: bool = True
    """Video may be stopped when the network cannot take even its lowest layer."""
    max_temporal: int = MAX_TEMPORAL
    max_fps: int = 0
    """Pictures per second that are enough; 0: all. As few as one or two are keyframes alone."""


DEFAULT_WISH = SubscriptionWish()


class Demand:
    """Everything one subscriber has asked for, or declined. Says nothing of what it got."""

    def __init__(
        self,
        subscriber: ParticipantSid,
        auto: bool,
        default: SubscriptionWish = DEFAULT_WISH,
        attentive: bool = False,
    ) -> None:
        self.subscriber = subscriber
        self.default = default
        """The wish for tracks that come unasked."""
        self.attentive = attentive
        """Hears each voice it takes for its own sake, however many speak: an agent works for one person."""
        self.auto = auto
        """Tracks come unasked unless declined."""
        self._wishes: dict[TrackSid, SubscriptionWish] = {}
        self._declined: set[TrackSid] = set()
        self._barred: set[TrackSid] = set()
        """Published, but not for this subscriber."""

    def bar(self, track: TrackSid, barred: bool) -> bool:
        """Its publisher lets this subscriber have a track, or no longer; whether that is news."""
        if (track in self._barred) == barred:
            return False
        (self._barred.add if barred else self._barred.discard)(track)
        return True

    def want(self, track: TrackSid, wish: SubscriptionWish) -> None:
        """Ask for a track, or change what is wanted of it."""
        self._declined.discard(track)
        self._wishes[track] = wish

    def decline(self, track: TrackSid) -> None:
        """Do not bring this track, asked for or not."""
        self._wishes.pop(track, None)
        if self.auto:
            self._declined.add(track)

    def forget(self, track: TrackSid) -> None:
        """The track is gone for good."""
        self._wishes.pop(track, None)
        self._declined.discard(track)
        self._barred.discard(track)

    def wish(self, track: Track) -> SubscriptionWish | None:
        """What is wanted of a track; None: nothing."""
        if track.info.participant == self.subscriber or track.sid in self._barred:
            return None
        asked = self._wishes.get(track.sid)
        if asked is not None:
            return asked
        return self.default if self.auto and track.sid not in self._declined else None

    def wanted(self, catalog: TrackCatalog, kind: MediaKind) -> Iterator[Track]:
        """Tracks wanted, most urgent first: those asked for, then the rest. May name one twice."""
        for sid in self._wishes:
            track = catalog.get(sid)
            if track is not None and track.kind is kind and sid not in self._barred:
                yield track
        if self.auto:
            for track in catalog.of(kind):
                if self.wish(track) is not None:
                    yield track

    def count(self, catalog: TrackCatalog, kind: MediaKind) -> int:
        """How many tracks `wanted` names, each once, without walking through the room."""
        if not self.auto:
            return sum(_is(catalog, sid, kind) for sid in self._wishes.keys() - self._barred)
        declined = sum(_is(catalog, sid, kind) for sid in self._declined | self._barred)
        return catalog.count(kind, without=self.subscriber) - declined

    @property
    def size(self) -> int:
        """Entries held, for a look at memory."""
        return len(self._wishes) + len(self._declined) + len(self._barred)


def _is(catalog: TrackCatalog, sid: TrackSid, kind: MediaKind) -> bool:
    track = catalog.get(sid)
    return track is not None and track.kind is kind
