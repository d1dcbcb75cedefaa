"""The immutable answer to "who gets which track on which section, and how much of it"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sfu.core.codecs import MediaKind
from sfu.core.ids import Mid, ParticipantSid, SlotId, TrackId, TrackSid
from sfu.dataplane.commands import Wish


@dataclass(frozen=True, slots=True)
class Slot:
    """One section we send in, as far as routing cares."""

    id: SlotId
    mid: Mid
    kind: MediaKind
    formats: frozenset[int]
    """Format numbers it takes."""
    codec_names: tuple[str, ...]
    """The same for people."""
    active: bool = True
    """The client wants to receive in it now."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A track on a slot."""

    track: TrackId
    sid: TrackSid
    participant: ParticipantSid
    wish: Wish


@dataclass(frozen=True, slots=True)
class Failure:
    """A wanted track that no section of this subscriber could carry."""

    track: TrackSid
    published: tuple[str, ...]
    accepted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """One subscriber's routes."""

    assignments: Mapping[SlotId, Assignment]
    failures: tuple[Failure, ...]
    missing: Mapping[MediaKind, int]
    """Sections that wanted tracks wait for."""
    free: Mapping[MediaKind, int]
    """Active sections that carry nothing."""
