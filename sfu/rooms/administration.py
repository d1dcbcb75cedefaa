"""Changes to what a participant is called and what it may do, by itself or by the server API."""

from __future__ import annotations

from sfu.participants.participant import Participant
from sfu.participants.permissions import Permissions
from sfu.participants.requests import ParticipantUpdate
from sfu.participants.sink import PermissionsChanged
from sfu.participants.validation import check_attributes, check_update
from sfu.rooms import downlinks
from sfu.rooms.publications import unpublish_forbidden
from sfu.rooms.room import Room


def update(room: Room, member: Participant, change: ParticipantUpdate) -> None:
    """Apply the fields that are given. Raises LimitExceededError, then nothing changed."""
    limits = room.context.settings.limits
    check_update(change, limits)
    attributes = dict(member.attributes)
    for key, value in (change.attributes or {}).items():
        if value:
            attributes[key] = value
        else:
            attributes.pop(key, None)
    check_attributes(attributes, limits)
    name = member.name if change.name is None else change.name
    metadata = member.metadata if change.metadata is None else change.metadata
    if (name, metadata, attributes) == (member.name, member.metadata, member.attributes):
        return
    member.name, member.metadata, member.attributes = name, metadata, attributes
    room.changed(member)


def set_permissions(room: Room, member: Participant, permissions: Permissions) -> None:
    """What is no longer allowed ends at once: tracks are unpublished, subscriptions taken away."""
    before = member.permissions
    if permissions == before:
        return
    member.permissions = permissions
    room.broadcast.tell(member, PermissionsChanged(permissions))
    unpublish_forbidden(room, member)
    if permissions.can_subscribe != before.can_subscribe:
        room.planner.mark(member)
        if permissions.can_subscribe and member.shape.two_connections and member.downlink is None:
            downlinks.start(room, member)
    room.occupancy_changed()
    if _data_rights(permissions) != _data_rights(before):
        room.update_data(member)
    room.data_tracks.permissions_changed(room, member)
    if permissions.recorder != before.recorder:
        room.metadata_changed()
    room.changed(member)


def _data_rights(permissions: Permissions) -> tuple[bool, ...]:
    now = permissions
    return now.can_publish_data, now.can_subscribe_metrics, now.hidden, now.agent
