"""The receiving half of a participant: what it wants beside what its sections carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sfu.core.codecs import MediaKind
from sfu.core.errors import CodecMismatchError
from sfu.core.ids import Mid, ParticipantSid, SlotId, TrackSid
from sfu.dataplane.commands import Subscribe, Unsubscribe, UpdateSubscription
from sfu.dataplane.events import SlotAllocation
from sfu.participants.sink import (
    DomainEvent,
    SectionsNeeded,
    SubscriptionBound,
    SubscriptionFailed,
    SubscriptionUnbound,
)
from sfu.router.plan import Assignment, Failure, Slot
from sfu.router.reconcile import reconcile
from sfu.router.router import plan
from sfu.tracks.catalog import TrackCatalog
from sfu.tracks.subscription import DEFAULT_WISH, Demand, SubscriptionWish
from sfu.tracks.track import Track

ASK_AT_ONCE = 16
"""Most sections asked for in one go, per kind. A client that needs more is asked again after it offered
these; one in a room of a thousand is not told a new number with every track."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one run of the planner leads to."""

    commands: tuple[Subscribe | Unsubscribe | UpdateSubscription, ...]
    events: tuple[tuple[DomainEvent, ParticipantSid | None], ...]
    """Each with the publisher it is about."""
    bound: tuple[Track, ...]
    unbound: tuple[MediaKind, ...]
    needed: SectionsNeeded | None
    """More sections than were asked for before."""
    backups: tuple[Track, ...] = ()
    """Tracks that can be had only in the second codec that their publishers offered to send."""


class Subscriber:
    """Holds no timer and speaks to nobody: its owner calls `replan` and acts on the step."""

    def __init__(
        self,
        sid: ParticipantSid,
        auto: bool,
        default: SubscriptionWish = DEFAULT_WISH,
        attentive: bool = False,
    ) -> None:
        self.demand = Demand(sid, auto, default, attentive)
        self.applied: dict[SlotId, Assignment] = {}
        self.layers: dict[SlotId, int | None] = {}
        """What the plane forwards of each bound slot; missing: it has not said."""
        self.allocations: dict[SlotId, SlotAllocation] = {}
        """What the network allows each bound slot; missing: the plane has not said."""
        self._slot_by_track: dict[TrackSid, SlotId] = {}
        self._asked = dict.fromkeys(MediaKind, 0)
        self._failed: set[TrackSid] = set()
        self._saturated = dict.fromkeys(MediaKind, False)

    def concerns(self, track: Track) -> bool:
        """Whether a new track could change anything here. Cheap: asked of everyone in the room."""
        return self.demand.auto and not self._saturated[track.kind]

    def ask(self, track: TrackSid, wish: SubscriptionWish) -> None:
        """The client asks for a track by name: it hears again why it fails, or what is missing."""
        self.demand.want(track, wish)
        self._failed.discard(track)
        self.sections_changed()

    def sections_changed(self) -> None:
        """An offer was answered: what is still missing is asked for again."""
        self._asked = dict.fromkeys(MediaKind, 0)

    def drop(self, track: Track, slots: Mapping[SlotId, Slot]) -> SubscriptionUnbound | None:
        """A track ended and the plane forgot it. What to say, if it was bound."""
        self.demand.forget(track.sid)
        self._failed.discard(track.sid)
        slot = self._slot_by_track.pop(track.sid, None)
        if slot is None:
            return None
        del self.applied[slot]
        self._forget(slot)
        return SubscriptionUnbound(track.sid, slots[slot].mid)

    def lose(self, slot: SlotId) -> None:
        """The plane took from a section what it carried."""
        item = self.applied.pop(slot)
        self._slot_by_track.pop(item.sid, None)
        self._forget(slot)

    def move(self, old: SlotId, new: SlotId) -> Assignment | None:
        """A section has another slot now; what it carries, if anything."""
        item = self.applied.pop(old, None)
        self.layers.pop(old, None)
        if item is not None:
            self.applied[new] = item
            self._slot_by_track[item.sid] = new
        return item

    def begin_anew(self) -> None:
        """It is in another room: nothing that was asked for or declined is there."""
        before = self.demand
        self.demand = Demand(before.subscriber, before.auto, before.default, before.attentive)
        self._failed.clear()
        self.sections_changed()

    def release(self) -> None:
        """All slots are gone, with the transport."""
        self.applied.clear()
        self.layers.clear()
        self.allocations.clear()
        self._slot_by_track.clear()

    def replan(
        self, catalog: TrackCatalog, slots: Mapping[SlotId, Slot], allowed: bool, more_sections: int
    ) -> Step:
        """Move what is applied towards what is wanted. May run at any time, and twice.

        Args:
            catalog: The room's tracks.
            slots: This participant's sections.
            allowed: `canSubscribe`.
            more_sections: How many its transport may still get.
        """
        planned = plan(self.demand, catalog, slots.values(), self.applied, allowed)
        difference = reconcile(self.applied, planned)
        mids = {slot: slots[slot].mid if slot in slots else Mid("") for slot, _ in difference.unbound}
        events: list[tuple[DomainEvent, ParticipantSid | None]] = [
            (SubscriptionUnbound(old.sid, mids[slot]), old.participant) for slot, old in difference.unbound
        ]
        events += [
            (SubscriptionBound(new.sid, new.participant, slots[slot].mid), new.participant)
            for slot, new in difference.bound
        ]
        backups = tuple(
            track
            for item in planned.failures
            if (track := catalog.get(item.track)) is not None and track.info.backup_mime in item.accepted
        )
        waiting = {track.sid for track in backups}
        failures = tuple(item for item in planned.failures if item.track not in waiting)
        events += self._report_failures(failures, catalog)
        needed = self._ask(planned.missing, more_sections)
        for slot, _ in difference.unbound:
            self._forget(slot)
        self.applied = dict(planned.assignments)
        self._slot_by_track = {item.sid: slot for slot, item in self.applied.items()}
        self._failed -= {new.sid for _, new in difference.bound}
        for kind in MediaKind:
            self._saturated[kind] = not planned.free[kind] and self._asked[kind] >= min(
                ASK_AT_ONCE, more_sections
            )
        bound = tuple(track for _, new in difference.bound if (track := catalog.get(new.sid)) is not None)
        unbound = tuple(slots[slot].kind for slot, _ in difference.unbound if slot in slots)
        return Step(difference.commands, tuple(events), bound, unbound, needed, backups)

    def _forget(self, slot: SlotId) -> None:
        self.layers.pop(slot, None)
        self.allocations.pop(slot, None)

    def _report_failures(
        self, failures: tuple[Failure, ...], catalog: TrackCatalog
    ) -> list[tuple[DomainEvent, ParticipantSid | None]]:
        events: list[tuple[DomainEvent, ParticipantSid | None]] = []
        for failure in failures:
            if failure.track in self._failed:
                continue
            error = CodecMismatchError(failure.track, failure.published, failure.accepted)
            track = catalog.get(failure.track)
            owner = track.info.participant if track is not None else None
            events.append((SubscriptionFailed(failure.track, error.code, error.text), owner))
            self._failed.add(failure.track)
        return events

    def _ask(self, missing: Mapping[MediaKind, int], more_sections: int) -> SectionsNeeded | None:
        audio = min(missing[MediaKind.AUDIO], ASK_AT_ONCE, more_sections)
        video = min(missing[MediaKind.VIDEO], ASK_AT_ONCE, more_sections - audio)
        if audio <= self._asked[MediaKind.AUDIO] and video <= self._asked[MediaKind.VIDEO]:
            return None
        self._asked = {
            MediaKind.AUDIO: max(audio, self._asked[MediaKind.AUDIO]),
            MediaKind.VIDEO: max(video, self._asked[MediaKind.VIDEO]),
        }
        return SectionsNeeded(self._asked[MediaKind.AUDIO], self._asked[MediaKind.VIDEO])
