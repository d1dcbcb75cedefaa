"""A room: its members, their tracks, and what one change means for everybody else.

The hub. Offers, tracks, routes, speakers, administration, data and news from the plane are in files beside
it; all of them change state only in synchronous functions on the loop.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping

from sfu.core.clock import Timer
from sfu.core.codecs import MediaKind
from sfu.core.errors import ParticipantNotFoundError, RoomFullError
from sfu.core.ids import Identity, ParticipantSid, RoomName, new_room_sid
from sfu.core.shared import Shared
from sfu.dataplane.commands import (
    RemoveMember,
    RemoveTransport,
    SetMember,
)
from sfu.participants.happenings import Happening, Kind
from sfu.participants.info import (
    ParticipantInfo,
    ParticipantKind,
    ParticipantState,
    RoomInfo,
)
from sfu.participants.lifecycle import Signal
from sfu.participants.participant import Participant
from sfu.participants.requests import RoomOptions
from sfu.participants.sink import (
    JoinedState,
    Leave,
    LeaveCode,
    OfferResult,
    ParticipantsChange,
    ParticipantsChanged,
    Reconnect,
)
from sfu.rooms import downlinks, forwarding, mailboxes, renewal, routes, shown_tracks, tracing
from sfu.rooms.broadcast import Broadcast
from sfu.rooms.context import Context, Seat
from sfu.rooms.data_tracks import DataTracks
from sfu.rooms.departures import Departures
from sfu.rooms.planner import Planner
from sfu.rooms.quality import QualityNews
from sfu.rooms.speaking import Speaking
from sfu.rooms.turns import TurnBoard
from sfu.tracks.catalog import TrackCatalog
from sfu.tracks.track import Track

log = logging.getLogger(__name__)

CLEAR_SLICE = 16
"""Members removed per turn when a room ends: about 6 ms, since each one's tracks and transport go too."""

MAX_PLAYOUT_DELAY = 4095
"""In units of 10 ms, the most that 12 bits hold (libwebrtc's `playout-delay` header extension)."""

NONCES = 256
"""Of data messages from the server API, remembered per room: who repeats one does so soon."""


class Room:
    """One life of a room, from its creation to `close`."""

    def __init__(
        self, context: Context, name: RoomName, options: RoomOptions, on_empty: Callable[[Room], None]
    ) -> None:
        defaults = context.settings.room
        self.context = context
        self.id = context.plane.new_room_id()
        self.sid = new_room_sid()
        self.name = name
        self.metadata = options.metadata
        self.empty_timeout_s = _or(options.empty_timeout_s, defaults.empty_timeout_s)
        self.departure_timeout_s = _or(options.departure_timeout_s, defaults.departure_timeout_s)
        self.sync_streams = options.sync_streams
        self._playout_delay_ms = options.min_playout_delay_ms, options.max_playout_delay_ms
        self.agents = options.agents
        self.max_participants = int(_or(options.max_participants, defaults.max_participants))
        self.created_at = context.clock.wall()
        self.members: dict[Identity, Participant] = {}
        self.guests: dict[Identity, Participant] = {}
        """People of other rooms who are seen and heard here too."""
        self.catalog = TrackCatalog()
        self.data_tracks = DataTracks()
        self.broadcast = Broadcast(context.clock, self.members.values, self.info, self.shown)
        self.departures = Departures(context.clock, self.broadcast)
        self.quality = QualityNews(context.clock, self.broadcast)
        self.planner = Planner(context.clock, self._replan)
        self.expiry: Timer | None = None
        """Runs while nobody is here. Kept by the registry."""
        self.closed = False
        self.selective: dict[ParticipantSid, Participant] = {}
        """Members whose tracks are not for everyone."""
        self._occupied = False
        """Somebody is here on his own account."""
        self._nonces: deque[bytes] = deque(maxlen=NONCES)
        self.speaking = Speaking(context.directory, self.broadcast)
        self.turns = TurnBoard()
        self._on_empty = on_empty
        self._info: Shared[RoomInfo] | None = None
        self._snapshot: Shared[tuple[Shared[ParticipantInfo], ...]] | None = None

    def __str__(self) -> str:
        return self.sid

    # What others see.

    def info(self) -> Shared[RoomInfo]:
        """The room without its members; the same object until something in it changes."""
        if self._info is None:
            self._info = Shared(
                RoomInfo(
                    sid=self.sid,
                    name=self.name,
                    metadata=self.metadata,
                    created_at=self.created_at,
                    empty_timeout_s=self.empty_timeout_s,
                    departure_timeout_s=self.departure_timeout_s,
                    max_participants=self.max_participants,
                    num_participants=sum(
                        member.visible and not member.dependent for member in self.members.values()
                    ),
                    num_publishers=sum(bool(member.publications) for member in self.members.values()),
                    recording=any(member.permissions.recorder for member in self.members.values()),
                    sync_streams=self.sync_streams,
                    agents=self.agents,
                )
            )
        return self._info

    def shown(self, participant: Participant) -> Shared[ParticipantInfo]:
        """How people here see a member, or a guest."""
        guest = self.guests.get(participant.identity) is participant
        return participant.guest_info() if guest else participant.info()

    def snapshot(self) -> Shared[tuple[Shared[ParticipantInfo], ...]]:
        """Everyone visible; the same object until one of them changes."""
        if self._snapshot is None:
            self._snapshot = Shared(
                tuple(
                    self.shown(member)
                    for member in (*self.members.values(), *self.guests.values())
                    if member.visible
                )
            )
        return self._snapshot

    def joined_state(self, member: Participant, offered: OfferResult | None = None) -> JoinedState:
        """Everything this member must know, as of now.

        Args:
            member: Who.
            offered: What its offer led to, if it came in the same request.
        """
        return JoinedState(
            session_id=member.session_id,
            participant=member.info().value,
            room=self.info(),
            participants=self.snapshot(),
            answer_sdp=offered.answer_sdp if offered is not None else None,
            published=member.published(),
            bound=offered.bound if offered is not None else member.bound(),
            resume_window_s=self.context.settings.session.resume_window_s,
            local_route=member.connection.local_route if member.connection is not None else None,
        )

    def changed(self, member: Participant) -> None:
        """Something visible about a member is new: say so to all, soon."""
        member.touch()
        self._forget_views()
        self.broadcast.participant_changed(member)
        for other in self.context.directory.shown_in(member):
            other.guests_changed(member)
        if not member.visible:
            change = ParticipantsChange(left=(), joined=(), updated=(member.info(),))
            self.broadcast.tell(member, ParticipantsChanged(Shared(change)))

    def configure(self, options: RoomOptions) -> None:
        """Change what is given; everyone in the room is told."""
        self.metadata = options.metadata or self.metadata
        self.empty_timeout_s = _or(options.empty_timeout_s, self.empty_timeout_s)
        self.departure_timeout_s = _or(options.departure_timeout_s, self.departure_timeout_s)
        self.max_participants = int(_or(options.max_participants, self.max_participants))
        self.sync_streams = self.sync_streams or options.sync_streams
        least, most = self._playout_delay_ms
        self._playout_delay_ms = options.min_playout_delay_ms or least, options.max_playout_delay_ms or most
        self.metadata_changed()

    @property
    def playout_delay(self) -> tuple[int, int] | None:
        """As in `SetRemote`."""
        least, most = (min(value // 10, MAX_PLAYOUT_DELAY) for value in self._playout_delay_ms)
        return (least, max(least, most or MAX_PLAYOUT_DELAY)) if least or most else None

    def is_repeated(self, nonce: bytes) -> bool:
        """Whether a message of the server API with that nonce came before; remembers the newest ones."""
        if nonce in self._nonces:
            return True
        self._nonces.append(nonce)
        return False

    def note(
        self,
        kind: Kind,
        member: Participant | None = None,
        track: Track | None = None,
        reason: LeaveCode | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Write into the node's journal."""
        happening = Happening(
            kind=kind,
            at=self.context.clock.wall(),
            room=self.info().value,
            participant=member.info().value if member is not None else None,
            track=track.info if track is not None else None,
            reason=reason,
            details=details,
        )
        self.context.journal.record(happening)

    def metadata_changed(self) -> None:
        """The room itself is described anew: say so to all, soon."""
        self._forget_views()
        self.broadcast.room_changed()

    def guests_changed(self, guest: Participant) -> None:
        """Somebody of another room, who is seen here, is new or changed."""
        self.views_changed()
        self.broadcast.participant_changed(guest)

    def views_changed(self) -> None:
        """What was made for newcomers is out of date."""
        self._forget_views()

    def _forget_views(self) -> None:
        self._info = None
        self._snapshot = None

    # Members.

    def member(self, identity: Identity) -> Participant:
        """Raises ParticipantNotFoundError."""
        try:
            return self.members[identity]
        except KeyError:
            raise ParticipantNotFoundError(identity) from None

    def check_space(self) -> None:
        """Raises RoomFullError if nobody else may enter on his own account."""
        here = sum(not member.dependent for member in self.members.values())
        if self.max_participants and here >= self.max_participants:
            raise RoomFullError(self.name, self.max_participants)

    def add(self, member: Participant) -> None:
        """A participant enters. Whoever had its identity must have been removed before."""
        self.admit(member)
        self.context.observer.participant_entered(member.kind.value)
        client = member.client
        log.info("%s: %s joined with %r %r", self, member, client.sdk, client.version)
        log.debug("%s: %s is at %s", self, member, client.address)

    def admit(self, member: Participant) -> None:
        """It is here from now on, from outside or from another room."""
        if (guest := self.guests.get(member.identity)) is not None:
            forwarding.withdraw(guest, self, LeaveCode.DUPLICATE_IDENTITY)
        self.departures.entered(member.identity)
        self.members[member.identity] = member
        self.occupancy_changed()
        if not member.audience.everyone:
            self.selective[member.sid] = member
        for other in (*self.selective.values(), *self.guests.values()):
            if other is not member and not other.audience.everyone:
                shown_tracks.apply_audience(self, other, other.tracks, member, tell=False)
        self.context.directory.sessions[member.session_id] = Seat(self, member)
        self._forget_views()
        self.broadcast.participant_changed(member)
        if member.permissions.recorder:
            self.metadata_changed()
        self.planner.mark(member)
        self.data_tracks.enter(self, member)

    def release(self, member: Participant) -> None:
        """It is here no longer; what it had stays with it."""
        for other in self.context.directory.shown_in(member):
            forwarding.withdraw(member, other, LeaveCode.MOVED)
        self.data_tracks.leave(self, member)
        del self.members[member.identity]
        self.selective.pop(member.sid, None)
        self.speaking.forget(member)
        self.planner.discard(member)
        self.quality.discard(member)
        if member.data_routed:
            self._unroute_data(member)
        self._forget_views()

    def remove(
        self,
        member: Participant,
        code: LeaveCode,
        text: str,
        reconnect: Reconnect = Reconnect.NO,
        tell: bool = True,
        may_return: bool = False,
    ) -> None:
        """A participant's session ends. Does nothing if it has ended already.

        Args:
            member: Who.
            code: Why, for programs; others are told this much.
            text: Why, for people; only the member is told.
            reconnect: What the member should do.
            tell: Send it `Leave`; not if it said itself that it goes.
            may_return: Its client is likely to join anew at once; see `Departures`.
        """
        if not member.present:
            return
        was_active = member.lifecycle.state is ParticipantState.ACTIVE
        member.lifecycle.handle(Signal.ENDED)
        log.info("%s: %s leaves: %s", self, member, code.value)
        if tell and member.outbox.attached:
            self.broadcast.finish(member)
        member.outbox.close(Leave(code, text, reconnect) if tell else None)
        for timer in (member.resume_timer, member.connect_timer, member.answer_timer):
            if timer is not None:
                timer.cancel()
        member.resume_timer = member.connect_timer = member.answer_timer = None
        del self.members[member.identity]
        directory = self.context.directory
        del directory.sessions[member.session_id]
        self.selective.pop(member.sid, None)
        self.speaking.forget(member)
        self.planner.discard(member)
        self.data_tracks.leave(self, member)
        for kind in (member.slots[slot].kind for slot in member.subscriber.applied):
            self.context.observer.subscription_unbound(kind)
        member.subscriber.release()
        connection = member.connection
        closed = connection is not None and connection.transport not in directory.transports
        for track in member.tracks:
            shown_tracks.end(self, track, forgotten=closed)
        member.publications.clear()
        for other in self.context.directory.shown_in(member):
            forwarding.end(member, other, code)
        self._release_transports(member)
        mailboxes.end_all(directory, member)
        self.context.observer.participant_left(member.kind.value, code.value)
        tracing.close(self.context, member)
        self._forget_views()
        gone = Kind.PARTICIPANT_LEFT if was_active else Kind.PARTICIPANT_ABORTED
        self.note(gone, member, reason=code)
        self.turns.left(member.identity)
        if self.closed:
            return
        self.departures.left(member, code, may_return=may_return)
        if member.permissions.recorder:
            self.metadata_changed()
        self.occupancy_changed()

    def occupancy_changed(self) -> None:
        """Somebody came, went, or is not here on his own account any more: is the room still needed?"""
        if any(not member.dependent for member in self.members.values()):
            if self.expiry is not None:
                self.expiry.cancel()
                self.expiry = None
            self._occupied = True
        elif self._occupied:
            self._occupied = False
            self._on_empty(self)

    def _release_transports(self, member: Participant) -> None:
        directory = self.context.directory
        for slot in member.slots:
            directory.slots.pop(slot, None)
        if member.data_routed:
            self._unroute_data(member)
        # The plane says when it is done: PlaneEvents has the rest.
        open_ones = [item.transport for item in member.connections if item.transport in directory.transports]
        self.context.plane.apply([RemoveTransport(transport) for transport in open_ones])
        if not open_ones:
            member.lifecycle.handle(Signal.RELEASED)

    def close(self, code: LeaveCode, text: str, reconnect: Reconnect, *, at_once: bool = False) -> None:
        """The room ends, with everybody in it.

        Nobody can do anything in it from now on; its members leave a few per turn of the loop.

        Args:
            code: Why, for programs.
            text: Why, for people.
            reconnect: What they should do.
            at_once: All of them in this turn, however many.
        """
        if self.closed:
            return
        self.closed = True
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None
        for guest in list(self.guests.values()):
            forwarding.end(guest, self, code)
        self.departures.close()
        self.broadcast.close()
        self.quality.close()
        self.planner.close()
        self._clear(code, text, reconnect, len(self.members) if at_once else CLEAR_SLICE)

    def _clear(self, code: LeaveCode, text: str, reconnect: Reconnect, count: int) -> None:
        for member in list(self.members.values())[:count]:
            self.remove(member, code, text, reconnect)
        if self.members:
            self.context.clock.call_later(0.0, lambda: self._clear(code, text, reconnect, count))
        else:
            self.context.directory.rooms.pop(self.id, None)
            self.note(Kind.ROOM_FINISHED, reason=code)

    def await_connection(self, member: Participant) -> None:
        """It must come up in time from now on."""

        def give_up() -> None:
            member.connect_timer = None
            text = "no connection came up in time; media may be blocked by a firewall"
            self.remove(member, LeaveCode.MEDIA_FAILED, text, Reconnect.REJOIN)

        timeout_s = self.context.settings.session.connect_timeout_s
        member.connect_timer = self.context.clock.call_later(timeout_s, give_up)

    def update_data(self, member: Participant) -> None:
        """Tell the data routing table who it is and what it may do, if it has agreed to data."""
        uplink = member.connection if member.connection is not None and member.connection.has_data else None
        receiving = member.downlink.connection if member.downlink is not None else uplink
        if receiving is None:
            if member.data_routed:
                self._unroute_data(member)
            return
        member.data_routed = True
        command = SetMember(
            room=self.id,
            participant=member.id,
            identity=member.identity,
            transport=receiving.transport,
            dialect=member.shape.data,
            can_publish=member.permissions.can_publish_data,
            hidden=member.permissions.hidden,
            sid=member.sid,
            uplink=uplink.transport if uplink is not None and uplink is not receiving else None,
            agent=member.kind is ParticipantKind.AGENT or member.permissions.agent,
            metrics=member.permissions.can_subscribe_metrics,
        )
        self.context.plane.apply([command])
        self.data_tracks.restore(self, member)

    def _unroute_data(self, member: Participant) -> None:
        member.data_ready = member.data_routed = False
        self.context.plane.apply([RemoveMember(self.id, member.id)])

    # Tracks and routes.

    def replan_receivers(self, track: Track) -> None:
        """What a track needs or allows has changed."""
        owner = self.context.directory.tracks[track.id][0].participant
        for room in (self, *self.context.directory.shown_in(owner)):
            for member in room.members.values():
                if member is not owner:
                    room.planner.mark(member)

    def _replan(self, member: Participant) -> None:
        needed = routes.route(self, member)
        if member.downlink is not None:
            downlinks.refresh(self, member, needed)
        elif member.shape.names is not None:
            renewal.ask(self, member, needed)
        elif needed is not None:
            self.broadcast.tell(member, needed)

    def debug_state(self) -> dict[str, object]:
        """Plain JSON for people; no secrets, no addresses."""
        return {
            "sid": self.sid,
            "name": self.name,
            "members": [member.debug_state() for member in self.members.values()],
            "tracks": {kind.value: sum(1 for _ in self.catalog.of(kind)) for kind in MediaKind},
        }


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
