"""An offer in two steps: `prepare` may refuse and changes nothing, `commit` cannot fail."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sfu.core.codecs import MediaKind
from sfu.core.errors import InvalidRequestError, LimitExceededError, TrackNotFoundError
from sfu.core.ids import Mid, RoomId, SlotId, TrackSid, new_track_sid
from sfu.dataplane.commands import Command
from sfu.participants.connection import Connection
from sfu.participants.participant import Participant
from sfu.participants.permissions import Permissions
from sfu.participants.publishing import (
    Declarations,
    Publication,
    Publications,
    add_track,
    declared_info,
    make_track,
    match,
    other_codec,
    renew_track,
    request_kind,
    track_cid,
)
from sfu.participants.requests import NATIVE_SHAPE, JoinRequest, Shape, TrackRequest
from sfu.participants.sink import OfferResult, PublishedTrack
from sfu.participants.validation import check_offer, check_track
from sfu.rooms import backups, renewal, shown_tracks
from sfu.rooms.context import Context, Seat
from sfu.rooms.room import Room
from sfu.settings.models import LimitSettings
from sfu.tracks.track import Track, TrackInfo
from sfu.transport.peer import Considered
from sfu.transport.sdp.agreed import SlotRule
from sfu.transport.sdp.grammar import write
from sfu.transport.sdp.naming import name_sections
from sfu.transport.sdp.opus import SILENCE_LEFT_OUT, STEREO_WANTED, state_opus


@dataclass(frozen=True, slots=True)
class PreparedOffer:
    """An offer that was found good."""

    connection: Connection
    considered: Considered
    publications: Publications


def prepare(
    context: Context,
    room: RoomId,
    sdp: str,
    requests: Sequence[TrackRequest],
    permissions: Permissions,
    connection: Connection | None = None,
    publications: Mapping[Mid, Publication] | None = None,
    retired: Collection[Mid] = (),
    shape: Shape = NATIVE_SHAPE,
    declared: Mapping[str, TrackRequest] | None = None,
    playout_delay: tuple[int, int] | None = None,
    local_ring: str = "",
) -> PreparedOffer:
    """Find the answer to an offer, and what it publishes.

    Args:
        context: The node.
        room: Where.
        sdp: The offer.
        requests: What its sending sections are.
        permissions: Of whoever offers.
        connection: Its transport; None: the offer begins one.
        publications: What it publishes already.
        retired: Sections whose track was ended here.
        shape: How its dialect negotiates.
        declared: Tracks it announced before.
        playout_delay: Of the room, for a transport that begins.
        local_ring: Secret of the process beside ours that it leads to.

    Raises:
        SdpError, NegotiationError, TrackUndeclaredError, TrackSectionError, InvalidRequestError,
        PermissionDeniedError, LimitExceededError, LocalRingRefusedError: Nothing has changed.
    """
    limits = context.settings.limits
    check_offer(sdp, tuple(requests), limits)
    if connection is None:
        connection = Connection(
            context.plane,
            room,
            context.policy,
            _slot_rule(shape),
            congestion_control=context.settings.rtc.congestion_control,
            playout_delay=playout_delay,
            local_ring=local_ring,
        )
    preferred = {
        mid: item.section.codecs[0].codec
        for mid, item in (publications or {}).items()
        if item.section.kind is MediaKind.VIDEO
    }
    considered = connection.consider(sdp, preferred=preferred)
    if len(considered.negotiation.agreed.sections) > limits.sections:
        raise LimitExceededError("the number of media sections", limits.sections)
    announced = Declarations(declared or {}) if shape.declares else None
    found = match(considered.negotiation.plan.receive, requests, publications or {}, retired, announced)
    for _, request in found.new:
        permissions.require_publish(request.source)
    if len(found.new) + len(found.kept) > limits.tracks_per_participant:
        raise LimitExceededError("the number of tracks published at once", limits.tracks_per_participant)
    plain = found.plain()
    named = {section.mid: codec for section, request in found.new if (codec := other_codec(section, request))}
    if found.refused or plain or named:
        # Which sections those are is known only from a first answer: a track's name may be in the offer.
        considered = connection.consider(sdp, found.refused, plain, preferred | named)
        found = found.agreed(considered.negotiation.plan.receive)
    return PreparedOffer(connection, considered, found)


def commit(
    room: Room, member: Participant, prepared: PreparedOffer, *, snapshot: bool = False
) -> OfferResult:
    """Make it true, for the plane and for the room.

    Args:
        room: Where.
        member: Whose offer it is.
        prepared: From `prepare`.
        snapshot: The member gets to know everyone here beside the answer.
    """
    connection, found = prepared.connection, prepared.publications
    first, had_data, old_slots = member.connection is None, connection.has_data, set(connection.slots)
    commands = connection.commit(prepared.considered)
    member.connection = connection
    if first:
        _register(room, member, connection)
    for item in found.ended:
        del member.publications[item.section.mid]
        if item.track.original is None:
            shown_tracks.end(room, item.track)
        else:
            backups.drop(room, item.track)
    commands += _renew(room, member, found, connection)
    # Sections that no longer send need not be remembered: used again, they come with an entry.
    member.retired = set(found.refused)
    new = _publish(room, member, found, connection, commands)
    room.context.plane.apply(commands)
    for item in new:
        _announce(room, member, item.track)
    _index_slots(room, member, old_slots)
    if connection.has_data != had_data:
        room.update_data(member)
    if new or found.ended:
        room.changed(member)
    member.subscriber.sections_changed()
    published = tuple(
        PublishedTrack(item.section.mid, item.cid or None, item.track.info)
        for item in new
        if item.track.original is None
    )
    answer = state_opus(prepared.considered.negotiation.answer, _opus_wanted(member))
    if member.shape.names is None or member.shape.two_connections:
        room.planner.mark(member)
        return OfferResult(write(answer), published)
    names = renewal.answer_names(room, member, snapshot=snapshot)
    return OfferResult(
        write(name_sections(answer, names)),
        published,
        tuple((track, mid) for mid, track in member.described.items()),
    )


def _opus_wanted(member: Participant) -> dict[Mid, tuple[str, ...]]:
    """What to ask of the sound that it publishes, by what it said about it."""
    wanted: dict[Mid, tuple[str, ...]] = {}
    for mid, item in member.publications.items():
        info = item.track.info
        if info.kind is MediaKind.AUDIO:
            # Other dialects say nothing about silence.
            quiet = (SILENCE_LEFT_OUT,) if member.shape.declares and info.hints.dtx else ()
            wanted[mid] = (*quiet, *(STEREO_WANTED if info.stereo else ()))
    return wanted


def declare(room: Room, member: Participant, request: TrackRequest) -> TrackInfo:
    """A track whose section comes later, or has come already and waits. The same name twice is one track.

    Raises:
        InvalidRequestError: It has no name of the client's own, or no kind.
        PermissionDeniedError, LimitExceededError.
    """
    cid = _check_declaration(request, member.permissions, room.context.settings.limits)
    limits = room.context.settings.limits
    known = member.declared.get(cid)
    if known is None:
        if len(member.declared) + len(member.publications) >= limits.tracks_per_participant:
            raise LimitExceededError("the number of tracks published at once", limits.tracks_per_participant)
        known = member.declared[cid] = replace(request, sid=new_track_sid())
    info = declared_info(known, member.sid, member.identity)
    _publish_waiting(room, member, known)
    return info


def declare_backup(room: Room, member: Participant, sid: TrackSid, request: TrackRequest) -> TrackInfo:
    """The second codec of an own track, whose section comes later or waits.

    Raises:
        TrackNotFoundError: No such track, or no second codec was offered for it.
        InvalidRequestError, PermissionDeniedError, LimitExceededError: As `declare`.
    """
    track = member.track(sid)
    if not track.info.backup_mime or track.backup is not None:
        raise TrackNotFoundError(sid, "one that waits for a backup codec")
    limits = room.context.settings.limits
    whole = replace(
        request, source=track.info.source, encryption=track.info.encryption, muted=track.info.muted
    )
    cid = _check_declaration(whole, member.permissions, limits)
    if len(member.declared) + len(member.publications) >= limits.tracks_per_participant:
        raise LimitExceededError("the number of tracks published at once", limits.tracks_per_participant)
    known = member.declared[cid] = replace(whole, sid=sid, backup=True)
    _publish_waiting(room, member, known)
    return track.info


def declared_at_join(
    request: JoinRequest, permissions: Permissions, limits: LimitSettings
) -> dict[str, TrackRequest]:
    """Tracks declared in the join itself. Raises as `declare`."""
    if not request.shape.declares:
        return {}
    if len(request.tracks) > limits.tracks_per_participant:
        raise LimitExceededError("the number of tracks published at once", limits.tracks_per_participant)
    return {
        _check_declaration(track, permissions, limits): replace(track, sid=new_track_sid())
        for track in request.tracks
    }


def _check_declaration(request: TrackRequest, permissions: Permissions, limits: LimitSettings) -> str:
    """The client's own name of it."""
    if not request.cid:
        raise InvalidRequestError("cid", "a track needs a name of its own")
    kind = request_kind(request)
    if kind is None:
        raise InvalidRequestError("type", "a track is audio or video")
    if request.kind not in (None, kind):
        raise InvalidRequestError("source", f"{request.source.value} is {kind.value}")
    check_track(request, limits)
    permissions.require_publish(request.source)
    return request.cid


def _publish_waiting(room: Room, member: Participant, request: TrackRequest) -> None:
    connection = member.connection
    plan = connection.peer.plan if connection is not None else None
    if connection is None or plan is None:
        return
    for section in plan.receive:
        free = section.mid not in member.publications and section.mid not in member.retired
        if free and section.cid == request.cid and section.kind is request_kind(request):
            commands: list[Command] = []
            found = Publications(((section, request),), (), (), frozenset())
            new = _publish(room, member, found, connection, commands)
            room.context.plane.apply(commands)
            for item in new:
                _announce(room, member, item.track)
            room.changed(member)
            return


def _announce(room: Room, member: Participant, track: Track) -> None:
    if track.original is None:
        shown_tracks.publish(room, member, track)
    else:
        backups.add(room, member, track)


def _slot_rule(shape: Shape) -> SlotRule:
    if shape.two_connections:
        return SlotRule.NONE
    return SlotRule.ANY if shape.names is None else SlotRule.RECEIVING


def _publish(
    room: Room, member: Participant, found: Publications, connection: Connection, commands: list[Command]
) -> list[Publication]:
    new: list[Publication] = []
    for section, request in found.new:
        track_id = room.context.plane.new_track_id()
        track = make_track(section, request, track_id, member.sid, member.identity)
        if request.backup:
            member.track(track.sid).attach(track)
        item = Publication(track, section, track_cid(section, request))
        member.publications[section.mid] = item
        if request.sid is not None:
            member.declared.pop(request.cid or "", None)
        commands.append(add_track(track, section, connection.transport, room.id))
        new.append(item)
    return new


def _renew(room: Room, member: Participant, found: Publications, connection: Connection) -> list[Command]:
    commands: list[Command] = []
    for section, item in found.kept:
        if section == item.section:
            continue
        member.publications[section.mid] = Publication(item.track, section, item.cid)
        if (section.codecs, section.layers) == (item.section.codecs, item.section.layers):
            continue
        renew_track(item.track, section)
        commands.append(add_track(item.track, section, connection.transport, room.id))
        room.changed(member)
        room.replan_receivers(item.track)
    return commands


def _register(room: Room, member: Participant, connection: Connection) -> None:
    context = room.context
    context.directory.transports[connection.transport] = Seat(room, member)

    if member.downlink is None:
        room.await_connection(member)


def _index_slots(room: Room, member: Participant, old: set[SlotId]) -> None:
    slots = room.context.directory.slots
    for slot in member.slots.keys() - old:
        slots[slot] = member
    for slot in old - member.slots.keys():
        slots.pop(slot, None)
