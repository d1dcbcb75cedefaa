"""Whom a publisher lets have its tracks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sfu.core.ids import Identity, ParticipantSid, TrackSid

ALL_TRACKS: frozenset[TrackSid] | None = None
"""Every track of the publisher, those to come included."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Everyone, or those named, each with some tracks or with all (`ALL_TRACKS`)."""

    everyone: bool = True
    identities: Mapping[Identity, frozenset[TrackSid] | None] = field(default_factory=dict)
    participants: Mapping[ParticipantSid, frozenset[TrackSid] | None] = field(default_factory=dict)

    def admits(self, identity: Identity, sid: ParticipantSid, track: TrackSid) -> bool:
        """Whether that participant may have that track."""
        if self.everyone:
            return True
        granted = [self.identities[identity]] if identity in self.identities else []
        if sid in self.participants:
            granted.append(self.participants[sid])
        return any(tracks is None or track in tracks for tracks in granted)

    @property
    def size(self) -> int:
        """Names and tracks listed."""
        lists = (*self.identities.values(), *self.participants.values())
        return len(lists) + sum(len(tracks) for tracks in lists if tracks is not None)


EVERYONE = Audience()
