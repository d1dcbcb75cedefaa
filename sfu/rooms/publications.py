"""Mute, unpublish, and what the plane learns about tracks."""

from __future__ import annotations

from dataclasses import replace

from sfu.core.ids import TrackSid
from sfu.dataplane.commands import SetTrackMuted
from sfu.participants.participant import Participant
from sfu.participants.publishing import Publication
from sfu.participants.sink import TrackMutedByServer, TrackUnpublishedByServer
from sfu.rooms import shown_tracks
from sfu.rooms.room import Room
from sfu.tracks.hints import AudioFeature
from sfu.tracks.track import Track, TrackInfo


def mute_own(room: Room, owner: Participant, sid: TrackSid, muted: bool) -> None:
    """Its owner says that a track is silent, or no longer. Raises TrackNotFoundError."""
    for cid, request in owner.declared.items():
        if request.sid == sid and not request.backup:
            owner.declared[cid] = replace(request, muted=muted)
            return
    track = owner.track(sid)
    if not muted:
        _hold_back(room, track, False)
    _set_muted(room, owner, track, muted)


def mute_by_server(room: Room, owner: Participant, sid: TrackSid, muted: bool) -> TrackInfo:
    """An administrator does. Muted, the track reaches nobody, whether its owner obeys or not.

    Raises TrackNotFoundError.
    """
    track = owner.track(sid)
    _hold_back(room, track, muted)
    if _set_muted(room, owner, track, muted):
        room.broadcast.tell(owner, TrackMutedByServer(sid, muted))
    return track.info


def describe(
    room: Room,
    owner: Participant,
    sid: TrackSid,
    audio_features: tuple[AudioFeature, ...] | None,
    size_px: tuple[int, int] | None,
) -> None:
    """Its owner says anew how a track is captured. Raises TrackNotFoundError."""
    track = owner.track(sid)
    info = track.info
    if audio_features is not None:
        info = replace(info, hints=replace(info.hints, audio_features=audio_features))
    if size_px is not None:
        top = replace(info.layers[-1], width_px=size_px[0], height_px=size_px[1])
        info = replace(info, layers=(*info.layers[:-1], top))
    if info != track.info:
        track.info = info
        room.changed(owner)


def unpublish_own(room: Room, owner: Participant, sid: TrackSid) -> None:
    """Its owner ends a track. Raises TrackNotFoundError."""
    _end(room, owner, owner.publication(sid))
    room.changed(owner)


def unpublish_forbidden(room: Room, owner: Participant) -> None:
    """End every track that its owner may publish no longer, and tell it."""
    forbidden = [
        item
        for item in owner.publications.values()
        if item.track.original is None and not owner.permissions.may_publish(item.track.info.source)
    ]
    for cid, request in list(owner.declared.items()):
        if not owner.permissions.may_publish(request.source):
            del owner.declared[cid]
    for item in forbidden:
        _end(room, owner, item)
        text = "the permission to publish it was withdrawn"
        event = TrackUnpublishedByServer(item.track.sid, "permission_denied", text)
        room.broadcast.tell(owner, event)
    if forbidden:
        room.changed(owner)


def layer_changed(room: Room, owner: Participant, track: Track, layer: int, active: bool, codec: int) -> None:
    """The plane says that a layer started or stopped, and what codec it really is."""
    changed = track.set_layer_active(layer, active)
    news = active and track.set_sent(codec)
    # Nobody is moved to a second codec before there is something to see.
    moves = active and not track.started and track.original is not None and track.original.regresses
    track.started = track.started or active
    if news or moves:
        room.replan_receivers(track)
    if changed or news:
        room.changed(owner)


def _end(room: Room, owner: Participant, item: Publication) -> None:
    sections = [
        mid for mid, each in owner.publications.items() if each.track in (item.track, item.track.backup)
    ]
    for mid in sections:
        del owner.publications[mid]
        # Its owner may still send: the next answer refuses the section, unless it comes with a new entry.
        owner.retired.add(mid)
    shown_tracks.end(room, item.track)


def _hold_back(room: Room, track: Track, held: bool) -> None:
    if track.server_muted != held:
        track.server_muted = held
        room.replan_receivers(track)


def _set_muted(room: Room, owner: Participant, track: Track, muted: bool) -> bool:
    if not track.set_muted(muted):
        return False
    versions = [track] if track.backup is None else [track, track.backup]
    room.context.plane.apply([SetTrackMuted(item.id, muted) for item in versions])
    if muted:
        room.speaking.silence(track)
    room.changed(owner)
    return True
