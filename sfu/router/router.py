"""Wishes, grants and sections to a RoutePlan. Pure.

The cost is that of the subscriber's sections, not of the room: a track that waits is not looked at once
all sections are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sfu.core.codecs import MediaKind, TrackSource
from sfu.core.ids import SlotId, TrackSid
from sfu.dataplane.commands import Wish
from sfu.router.plan import Assignment, Failure, RoutePlan, Slot
from sfu.tracks.catalog import TrackCatalog
from sfu.tracks.subscription import MAX_TEMPORAL, Demand, SubscriptionWish
from sfu.tracks.track import Track

AUDIO_PRIORITY = 100
"""Sound comes first whatever it has here. From 200 on a voice is forwarded however many others speak."""
ATTENTIVE_PRIORITY = 255
KEYFRAME_FPS = 2
"""Up to here only keyframes are sent: the publisher is asked for them, which costs the others a little."""
FULL_FPS, HALF_FPS = 24, 12
VIDEO_PRIORITIES = {TrackSource.SCREEN_SHARE: 200, TrackSource.CAMERA: 100}
"""1..255. Text on a shared screen must stay readable when faces get small."""
OTHER_VIDEO_PRIORITY = 80
"""A video that does not say what it is."""


def plan(
    demand: Demand,
    catalog: TrackCatalog,
    slots: Iterable[Slot],
    applied: Mapping[SlotId, Assignment],
    allowed: bool,
) -> RoutePlan:
    """Who gets what, given what it has now: a track never moves from a section that still suits it.

    Args:
        demand: What the subscriber wants.
        catalog: What there is.
        slots: The subscriber's sections.
        applied: What they carry now.
        allowed: `canSubscribe`. If false the plan is empty, and nothing is missing.
    """
    if not allowed:
        return RoutePlan({}, (), dict.fromkeys(MediaKind, 0), dict.fromkeys(MediaKind, 0))
    by_kind: dict[MediaKind, list[Slot]] = {kind: [] for kind in MediaKind}
    for slot in slots:
        by_kind[slot.kind].append(slot)
    assignments: dict[SlotId, Assignment] = {}
    failures: list[Failure] = []
    missing: dict[MediaKind, int] = {}
    free: dict[MediaKind, int] = {}
    for kind, own_slots in by_kind.items():
        placed, failed, left = _plan_kind(kind, demand, catalog, own_slots, applied)
        assignments |= placed
        failures += failed
        free[kind] = left
        missing[kind] = max(0, demand.count(catalog, kind) - len(placed) - len(failed))
    return RoutePlan(assignments, tuple(failures), missing, free)


def _plan_kind(
    kind: MediaKind,
    demand: Demand,
    catalog: TrackCatalog,
    slots: list[Slot],
    applied: Mapping[SlotId, Assignment],
) -> tuple[dict[SlotId, Assignment], list[Failure], int]:
    placed: dict[SlotId, Assignment] = {}
    settled: set[TrackSid] = set()
    free: list[Slot] = []
    for slot in slots:
        kept = _keep(slot, applied.get(slot.id), demand, catalog)
        if kept is not None:
            placed[slot.id] = kept
            settled.add(kept.sid)
        elif slot.active:
            free.append(slot)
    failures: list[Failure] = []
    if free:
        accepted = tuple(dict.fromkeys(name for slot in slots for name in slot.codec_names))
        for track in demand.wanted(catalog, kind):
            if track.sid in settled:
                continue
            settled.add(track.sid)
            chosen = next((slot for slot in free if track.carried_by(slot.formats) is not None), None)
            if chosen is not None:
                free.remove(chosen)
                placed[chosen.id] = _assign(track, chosen, demand)
            elif not any(track.carried_by(slot.formats) is not None for slot in slots):
                failures.append(Failure(track.sid, (track.codec_names[track.sent],), accepted))
            if not free:
                break
    return placed, failures, len(free)


def _keep(slot: Slot, current: Assignment | None, demand: Demand, catalog: TrackCatalog) -> Assignment | None:
    if current is None or not slot.active:
        return None
    track = catalog.get(current.sid)
    if track is None or track.carried_by(slot.formats) is None or demand.wish(track) is None:
        return None
    return _assign(track, slot, demand)


def _assign(track: Track, slot: Slot, demand: Demand) -> Assignment:
    wish, carried = demand.wish(track), track.carried_by(slot.formats)
    if wish is None or carried is None:
        raise ValueError(f"track {track.sid} is not wanted, or nothing of it fits")
    wanted = _plane_wish(track, wish, demand.attentive)
    return Assignment(carried.id, track.sid, track.info.participant, wanted)


def _plane_wish(track: Track, wish: SubscriptionWish, attentive: bool) -> Wish:
    return Wish(
        max_height_px=wish.max_height_px,
        max_temporal=min(wish.max_temporal, _temporal(wish.max_fps)),
        priority=wish.priority or _priority(track, attentive),
        may_pause=wish.may_pause and track.kind is MediaKind.VIDEO,
        paused=wish.paused or track.server_muted,
        keyframe_interval_ms=1000 // wish.max_fps if 0 < wish.max_fps <= KEYFRAME_FPS else 0,
    )


def _temporal(max_fps: int) -> int:
    """Highest temporal layer for so many pictures a second: each layer doubles them, up to 30 as a rule."""
    if not max_fps or max_fps >= FULL_FPS:
        return MAX_TEMPORAL
    return 1 if max_fps >= HALF_FPS else 0


def _priority(track: Track, attentive: bool) -> int:
    if track.kind is MediaKind.AUDIO:
        return ATTENTIVE_PRIORITY if attentive else AUDIO_PRIORITY
    return VIDEO_PRIORITIES.get(track.info.source, OTHER_VIDEO_PRIORITY)
