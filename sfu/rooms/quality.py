"""How well media arrives, told to those it concerns: connection quality, streams held back, layers wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfu.core.clock import Clock, Timer
from sfu.core.ids import ParticipantSid
from sfu.core.quality import QualityClass
from sfu.core.shared import Shared
from sfu.dataplane.events import Quality, SlotAllocation, WantedLayers
from sfu.participants.info import ParticipantQuality
from sfu.participants.participant import Participant
from sfu.participants.quality import Verdict
from sfu.participants.sink import QualityChanged, StreamStateChanged, WantedLayer, WantedLayersChanged
from sfu.rooms import backups
from sfu.rooms.broadcast import LARGE_ROOM, Broadcast
from sfu.tracks.track import Track

if TYPE_CHECKING:
    from sfu.rooms.room import Room

INTERVAL_S = 1.0
"""Between two messages about people's connections; what changes meanwhile goes out in one."""
LARGE_INTERVAL_S = 5.0
"""The same in a room of more than `LARGE_ROOM`: one message costs 20 us for each member."""


class QualityNews:
    """Changes of class in one room, on their way to its members. Owns one timer."""

    def __init__(self, clock: Clock, broadcast: Broadcast) -> None:
        self._clock = clock
        self._broadcast = broadcast
        self._changed: dict[ParticipantSid, Participant] = {}
        self._timer: Timer | None = None
        self._last_s = float("-inf")

    def changed(self, member: Participant, members: int) -> None:
        """A member's connection is in another class; there are so many members."""
        self._changed[member.sid] = member
        if self._timer is None:
            interval_s = LARGE_INTERVAL_S if members > LARGE_ROOM else INTERVAL_S
            due = self._last_s + interval_s
            self._timer = self._clock.call_later(max(0.0, due - self._clock.monotonic()), self._flush)

    def discard(self, member: Participant) -> None:
        """It is in another room."""
        self._changed.pop(member.sid, None)

    def close(self) -> None:
        """The room is gone."""
        self._changed.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._timer = None
        self._last_s = self._clock.monotonic()
        changed, self._changed = self._changed, {}
        present = [member for member in changed.values() if member.present]
        for member in present:
            if not member.visible:
                own = QualityChanged(Shared((_described(member),)))
                self._broadcast.tell(member, own)
        visible = tuple(_described(member) for member in present if member.visible)
        if visible:
            self._broadcast.quality_changed(visible)


def connection_reported(room: Room, member: Participant, event: Quality) -> None:
    """The plane has a verdict about one direction of one transport."""
    if member.quality.report(event.transport, event.direction, Verdict(event.quality, event.score)):
        room.quality.changed(member, len(room.members))


def allocation_changed(room: Room, member: Participant, event: SlotAllocation) -> None:
    """The plane has decided anew what the network allows a section, or why."""
    before = member.subscriber.allocations.get(event.slot)
    member.subscriber.allocations[event.slot] = event
    was_paused = before is not None and before.paused
    if event.paused and not was_paused:
        room.context.observer.stream_paused()
    if before != event:
        _tell_stream(room, member, event)


def layers_wanted(room: Room, owner: Participant, track: Track, event: WantedLayers) -> None:
    """The plane knows what anybody takes of a track: its publisher may leave out the rest."""
    track.wanted_layers = 0 if event.best is None else event.best + 1
    room.broadcast.tell(owner, _wanted(track, track.wanted_layers))


def tell_all(room: Room, member: Participant) -> None:
    """Everything of this to somebody who knows nothing of it: it is new here, or has missed too much."""
    worse = tuple(
        _described(other)
        for other in room.members.values()
        if (other.visible or other is member) and other.quality.verdict.quality is not QualityClass.EXCELLENT
    )
    if worse:
        room.broadcast.tell(member, QualityChanged(Shared(worse)))
    for allocation in member.subscriber.allocations.values():
        _tell_stream(room, member, allocation)
    for track in member.tracks:
        for version in (track, track.backup):
            if version is not None and version.wanted_layers is not None:
                room.broadcast.tell(member, _wanted(version, version.wanted_layers))
        if track.backup_wanted and track.backup is None:
            room.broadcast.tell(member, backups.wanted(track))


def move_in(room: Room, member: Participant) -> None:
    """It comes from another room: both sides learn what they may not know."""
    tell_all(room, member)
    if member.quality.verdict.quality is not QualityClass.EXCELLENT:
        room.quality.changed(member, len(room.members))


def _described(member: Participant) -> ParticipantQuality:
    verdict = member.quality.verdict
    return ParticipantQuality(member.sid, member.identity, verdict.quality, verdict.score)


def _tell_stream(room: Room, member: Participant, event: SlotAllocation) -> None:
    item = member.subscriber.applied.get(event.slot)
    track = room.catalog.get(item.sid) if item is not None else None
    if track is None:
        return
    state = StreamStateChanged(
        track=track.sid,
        participant=track.info.participant,
        paused=event.paused,
        height_px=_height_px(track, event.target),
        reason=event.reason,
        text=event.text,
        estimate_bps=event.estimate_bps,
        available_bps=event.available_bps,
        needed_bps=event.needed_bps,
    )
    room.broadcast.tell(member, state, about=track.info.participant)


def _height_px(track: Track, target: tuple[int, int] | None) -> int:
    if target is None:
        return 0
    # With SVC one stream holds all layers, and only the publisher's words have their heights.
    layers = track.info.layers if track.info.simulcast else track.info.hints.layers or track.info.layers
    return layers[min(target[0], len(layers) - 1)].height_px


def _wanted(track: Track, count: int) -> WantedLayersChanged:
    layers = tuple(
        WantedLayer(layer.rid or "", index < count) for index, layer in enumerate(track.info.layers)
    )
    return WantedLayersChanged(track.sid, track.info.mime, layers)
