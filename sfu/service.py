"""The one door for signaling: join, publish, subscribe, leave, and everything the server API does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sfu.core.ids import Identity, ParticipantSid, RoomName, SessionId, TrackSid
from sfu.participants.info import ParticipantInfo, RoomInfo
from sfu.participants.permissions import Permissions
from sfu.participants.requests import (
    JoinRequest,
    ParticipantUpdate,
    ResumeRequest,
    RoomOptions,
    TrackRequest,
)
from sfu.participants.sink import LeaveCode, ParticipantSink, PublishedTrack
from sfu.tracks.subscription import SubscriptionWish
from sfu.tracks.track import TrackInfo

DEFAULT_WISH = SubscriptionWish()
DEFAULT_OPTIONS = RoomOptions()
NO_UPDATE = ParticipantUpdate()


@dataclass(frozen=True, slots=True)
class OfferResult:
    """What a later offer led to."""

    answer_sdp: str
    tracks: tuple[PublishedTrack, ...]
    """Tracks that this offer published."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the node holds now."""

    rooms: int
    participants: int
    tracks: int
    subscriptions: int


class Session(Protocol):
    """One participant's door. Every method raises `PeerError`; a failed one changed nothing.

    After the session ended (its sink was given `Leave`) every method raises `SessionGoneError`, except
    `detach` and `leave`, which then do nothing.
    """

    @property
    def session_id(self) -> SessionId:
        """What a resume request names."""

    @property
    def sid(self) -> ParticipantSid:
        """The participant's public id."""

    @property
    def identity(self) -> Identity: ...

    @property
    def room_name(self) -> RoomName: ...

    @property
    def alive(self) -> bool:
        """Still in the room."""

    def offer(self, sdp: str, tracks: Sequence[TrackRequest] = ()) -> OfferResult:
        """Answer a client's offer: new and ended sections, or an ICE restart by a new ufrag.

        `tracks` describes sections that begin to send; those already published need no entry.
        Raises NegotiationError, TrackUndeclaredError, TrackSectionError, PermissionDeniedError,
        LimitExceededError.
        """

    def trickle(self, candidate: str, mid: str | None = None) -> None:
        """Accept a candidate. An ICE-lite server learns addresses from checks and needs none."""

    def mute(self, track: TrackSid, muted: bool) -> None:
        """Say that an own track is silent, or no longer."""

    def unpublish(self, track: TrackSid) -> None:
        """End an own track. Its section may be used again by a later offer."""

    def subscribe(self, track: TrackSid, wish: SubscriptionWish = DEFAULT_WISH) -> None:
        """Ask for a track. Answered by SubscriptionBound, SectionsNeeded or SubscriptionFailed."""

    def unsubscribe(self, track: TrackSid) -> None:
        """Decline a track, also one that auto-subscription would bring."""

    def update_subscription(self, track: TrackSid, wish: SubscriptionWish) -> None:
        """Change what is wanted of a subscribed track, as a whole."""

    def wish(self, track: TrackSid) -> SubscriptionWish:
        """What is wanted now: for an update of single fields by `dataclasses.replace`."""

    def update_metadata(self, update: ParticipantUpdate) -> None:
        """Change the participant's own name, metadata or attributes (`canUpdateOwnMetadata`)."""

    def send_data(
        self, payload: bytes, *, reliable: bool = True, topic: str = "", destinations: Sequence[Identity] = ()
    ) -> None:
        """Send data for a client that has no data channel. No destinations: everyone else."""

    def detach(self, sink: ParticipantSink, reason: str = "") -> None:
        """Its WebSocket is lost: media goes on, and the session may be resumed for a while.

        Does nothing if another sink has taken over meanwhile.
        """

    def leave(self, code: LeaveCode = LeaveCode.CLIENT_LEFT) -> None:
        """The client goes for good. Its sink is told nothing more."""

    def debug_state(self) -> dict[str, object]:
        """Plain JSON for people; no secrets, no addresses."""


class Service(Protocol):
    """Everything signaling and the server API may ask of this node."""

    async def join(self, request: JoinRequest, sink: ParticipantSink) -> Session:
        """Admit a participant. Its sink is given `Joined` before this returns.

        Raises PermissionDeniedError, InvalidRequestError, LimitExceededError, RoomNotFoundError,
        RoomFullError, DrainingError, OverloadedError, and what `Session.offer` raises. Then the sink
        was given nothing, and nobody else saw anything.
        """

    async def resume(self, request: ResumeRequest, sink: ParticipantSink) -> Session:
        """Take up a session. Its sink is given `Resumed`, then what was missed, before this returns.

        Raises SessionGoneError, or what `Session.offer` raises; the session then waits on.
        """

    def check_join(self, request: JoinRequest) -> None:
        """Everything that can refuse a join except its offer; raises as `join` does. Changes nothing."""

    # Rooms. Raise RoomNotFoundError where a room is named that is not there.

    def create_room(self, name: RoomName, options: RoomOptions = DEFAULT_OPTIONS) -> RoomInfo:
        """Make a room, or return the one of that name unchanged."""

    def list_rooms(self, names: Iterable[RoomName] = ()) -> list[RoomInfo]:
        """All rooms, or those of the given names that exist."""

    def get_room(self, name: RoomName) -> RoomInfo: ...

    def delete_room(self, name: RoomName) -> None:
        """Tell everyone in it and end it."""

    def update_room_metadata(self, name: RoomName, metadata: str) -> RoomInfo: ...

    # Participants, hidden ones included. Raise ParticipantNotFoundError too.

    def list_participants(self, room: RoomName) -> list[ParticipantInfo]: ...

    def get_participant(self, room: RoomName, identity: Identity) -> ParticipantInfo: ...

    def remove_participant(self, room: RoomName, identity: Identity) -> None:
        """End its session; it is told not to come back by itself."""

    def mute_track(self, room: RoomName, identity: Identity, track: TrackSid, muted: bool) -> TrackInfo:
        """Mute or unmute somebody's track; its owner is told."""

    def update_participant(
        self,
        room: RoomName,
        identity: Identity,
        update: ParticipantUpdate = NO_UPDATE,
        permissions: Permissions | None = None,
    ) -> ParticipantInfo:
        """Change what it is called and what it may do. Tracks no longer allowed end at once."""

    def update_subscriptions(
        self, room: RoomName, identity: Identity, tracks: Iterable[TrackSid], subscribe: bool
    ) -> None:
        """Subscribe somebody to tracks, or take them away."""

    def send_data(
        self,
        room: RoomName,
        payload: bytes,
        *,
        reliable: bool = True,
        topic: str = "",
        destinations: Sequence[Identity] = (),
        sender: Identity | None = None,
    ) -> None:
        """Send a data message from the server. No destinations: everyone."""

    async def participant_stats(self, room: RoomName, identity: Identity) -> Mapping[str, object]:
        """Figures of its transport, tracks and subscriptions, as plain JSON."""

    def counts(self) -> Counts: ...

    def debug_state(self) -> dict[str, object]:
        """Plain JSON for people; no secrets, no addresses."""

    def begin_drain(self) -> None:
        """Refuse joins from now on (`DrainingError`)."""

    async def close(self, deadline_s: float) -> None:
        """Refuse joins, tell every client, close every transport, stop the workers; all in time."""
