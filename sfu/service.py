"""The one door for signaling: join, resume, and everything the server API does. The rest is in `Session`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sfu.core.clock import Clock
from sfu.core.errors import (
    AirsideError,
    DrainingError,
    InvalidRequestError,
    OverloadedError,
    RoomNotFoundError,
    SessionGoneError,
    TrackNotFoundError,
)
from sfu.core.ids import Identity, RoomName, TrackSid, new_participant_sid, new_session_id
from sfu.core.journal import Journal
from sfu.core.observer import JoinStep, JoinTrace, Observer
from sfu.dataplane.commands import DataDialect
from sfu.dispatch.agency import Agency
from sfu.participants.happenings import Happening
from sfu.participants.info import ParticipantInfo, ParticipantKind, RoomInfo, is_dependent
from sfu.participants.outbox import Outbox
from sfu.participants.participant import Participant
from sfu.participants.permissions import Permissions
from sfu.participants.plane import PacketPlane
from sfu.participants.requests import JoinRequest, ParticipantUpdate, ResumeRequest, RoomOptions
from sfu.participants.sink import Joined, LeaveCode, OfferResult, ParticipantSink, Reconnect, Resumed
from sfu.participants.subscriber import Subscriber
from sfu.participants.validation import check_agents, check_data, check_join, check_metadata, check_name
from sfu.rooms import (
    administration,
    data,
    downlinks,
    forwarding,
    moving,
    offers,
    publications,
    quality,
    tracing,
)
from sfu.rooms.context import Context, Directory, Seat
from sfu.rooms.mailboxes import Mailbox, Receive
from sfu.rooms.plane_events import PlaneEvents
from sfu.rooms.presets import resolve
from sfu.rooms.registry import RoomRegistry
from sfu.rooms.room import Room
from sfu.rooms.session import Session
from sfu.rooms.stats import participant_stats
from sfu.settings.models import Settings
from sfu.tracks.subscription import DEFAULT_WISH
from sfu.tracks.track import TrackInfo
from sfu.transport.sdp.codecs import CodecPolicy

__all__ = ["Counts", "OfferResult", "Service", "Session"]

DEFAULT_OPTIONS = RoomOptions()
NO_UPDATE = ParticipantUpdate()


@dataclass(frozen=True, slots=True)
class Counts:
    """What the node holds now."""

    rooms: int
    participants: int
    tracks: int
    subscriptions: int


class Service:
    """Everything signaling and the server API may ask of this node.

    State changes only in synchronous code on the clock's loop; a coroutine waits before that, if at all.
    """

    def __init__(
        self,
        settings: Settings,
        plane: PacketPlane,
        clock: Clock,
        observer: Observer,
        policy: CodecPolicy | None = None,
    ) -> None:
        self._context = Context(
            plane=plane,
            clock=clock,
            observer=observer,
            settings=settings,
            policy=policy or CodecPolicy.of(settings.room.enabled_codecs),
            directory=Directory(),
            journal=Journal(settings.limits.journal_entries),
        )
        self._registry = RoomRegistry(self._context)
        self._draining = False
        self._agency = Agency(self._context, self._registry)
        plane.subscribe_events(PlaneEvents(self._context).handle)

    @property
    def journal(self) -> Journal[Happening]:
        """Rooms, people and tracks that came and went."""
        return self._context.journal

    @property
    def codecs(self) -> CodecPolicy:
        """What may be published and received."""
        return self._context.policy

    @property
    def agents(self) -> Agency:
        """Workers, what rooms ask of them, and their jobs."""
        return self._agency

    # Sessions.

    async def join(self, request: JoinRequest, sink: ParticipantSink) -> Session:
        """Admit a participant. Its sink is given `Joined` before this returns.

        Raises:
            PermissionDeniedError, InvalidRequestError, LimitExceededError, RoomNotFoundError,
            RoomFullError, DrainingError, OverloadedError, LocalRingRefusedError, and what `Session.offer`
            raises. Then the sink was given nothing, and nobody else saw anything.
        """
        try:
            session = self._join(request, sink)
        except AirsideError as error:
            self._context.observer.join_outcome(error.code)
            raise
        self._context.observer.join_outcome("ok")
        return session

    def _join(self, request: JoinRequest, sink: ParticipantSink) -> Session:
        context, clock = self._context, self._context.clock
        now = clock.monotonic()
        trace = JoinTrace(started_at=now if request.started_at is None else request.started_at)
        authorized_at = now if request.authorized_at is None else request.authorized_at
        self.check_join(request)
        name = request.grant.room
        room = self._registry.find(name) or self._registry.make(name, self._options(request.room_options))
        permissions = request.grant.permissions()
        admitted_at = clock.monotonic()
        prepared = None
        declared = offers.declared_at_join(request, permissions, context.settings.limits)
        if request.offer_sdp is not None:
            entries = () if request.shape.declares else request.tracks
            prepared = offers.prepare(
                context,
                room.id,
                request.offer_sdp,
                entries,
                permissions,
                shape=request.shape,
                declared=declared,
                playout_delay=room.playout_delay,
                local_ring=request.local_ring,
            )
        elif request.local_ring:
            raise InvalidRequestError("local_ring", "needs an offer in the same message")
        # Nothing can fail from here on.
        if self._registry.find(name) is not room:
            self._registry.open(room)
        if (older := room.members.get(request.identity)) is not None:
            room.remove(older, LeaveCode.DUPLICATE_IDENTITY, "this identity joined again from elsewhere")
        member = self._make_member(request, sink, permissions, trace)
        member.declared, member.admitted_to = declared, name
        room.add(member)
        result = None
        if prepared is not None:
            result = offers.commit(room, member, prepared, snapshot=True)
        member.outbox.post(Joined(room.joined_state(member, result)))
        quality.tell_all(room, member)
        if request.shape.two_connections and permissions.can_subscribe:
            downlinks.start(room, member)
        tracing.step(context, member, JoinStep.AUTH, authorized_at)
        tracing.step(context, member, JoinStep.ADMIT, admitted_at)
        if prepared is not None:
            tracing.step(context, member, JoinStep.NEGOTIATE)
        else:
            # What comes later waits for the client's first offer: no part of the join.
            tracing.close(context, member)
        return Session(room, member)

    def _make_member(
        self, request: JoinRequest, sink: ParticipantSink, permissions: Permissions, trace: JoinTrace
    ) -> Participant:
        sid = new_participant_sid()
        return Participant(
            id=self._context.plane.new_participant_id(),
            sid=sid,
            session_id=new_session_id(),
            identity=request.identity,
            name=request.name,
            metadata=request.metadata,
            attributes=dict(request.attributes),
            kind=request.kind,
            permissions=permissions,
            joined_at=self._context.clock.wall(),
            subscriber=Subscriber(
                sid, request.auto_subscribe, request.wish, request.kind is ParticipantKind.AGENT
            ),
            outbox=Outbox(self._context.settings.session.replay_events, sink),
            trace=trace,
            shape=request.shape,
            client=request.client,
            kind_details=request.kind_details,
            auto_data_tracks=request.auto_data_tracks,
        )

    async def resume(self, request: ResumeRequest, sink: ParticipantSink) -> Session:
        """Take up a session. Its sink is given `Resumed`, then what was missed, before this returns.

        Raises:
            SessionGoneError, or what `Session.offer` raises; the session then waits on.
        """
        received = await self._last_received(request)
        seat = self._find_session(request)
        if seat is None or seat.room.closed:
            raise SessionGoneError
        rooms = seat.room.name, seat.participant.admitted_to
        if request.room not in rooms or seat.participant.identity != request.identity:
            # The same answer for a session that is another's: nobody learns that it exists.
            raise SessionGoneError
        room, member = seat.room, seat.participant
        session = Session(room, member)
        result = None
        if request.offer_sdp is not None:
            result = session.offer(request.offer_sdp, request.tracks)
        if member.resume_timer is not None:
            member.resume_timer.cancel()
            member.resume_timer = None
        outbox = member.outbox
        outbox.attach(sink)
        answer_sdp = result.answer_sdp if result is not None else None
        missed = outbox.missed(request.last_seq)
        if missed is None:
            left = tuple(gone for gone in outbox.departed() if gone.identity not in room.members)
            trial, member.resume_trial = member.resume_trial, None
            outbox.send(outbox.seq, Resumed(room.joined_state(member), answer_sdp, left, received, trial))
            room.data_tracks.tell_all(room, member)
            quality.tell_all(room, member)
        else:
            outbox.send(request.last_seq, Resumed(None, answer_sdp))
            for seq, event in missed:
                outbox.send(seq, event)
        member.renewal_asked = False
        downlinks.restart(room, member)
        return session

    async def _last_received(self, request: ResumeRequest) -> int:
        """As `Resumed.received`."""
        seat = self._find_session(request)
        uplink = seat.participant.connection if seat is not None else None
        if seat is None or uplink is None or seat.participant.shape.data is DataDialect.NATIVE:
            return 0
        return await self._context.plane.last_received(uplink.transport)

    def _find_session(self, request: ResumeRequest) -> Seat | None:
        directory = self._context.directory
        if request.session_id is not None:
            return directory.sessions.get(request.session_id)
        room = self._registry.find(request.room)
        member = room.members.get(request.identity) if room is not None else None
        if member is None or member.sid != request.participant or not member.shape.declares:
            return None
        return directory.sessions.get(member.session_id)

    def check_join(self, request: JoinRequest) -> None:
        """Everything that can refuse a join except its offer; raises as `join` does. Changes nothing."""
        if self._draining:
            raise DrainingError
        name = request.grant.require_join()
        settings = self._context.settings
        check_join(request, settings.limits)
        room = self._registry.find(name)
        if room is None:
            if not settings.room.auto_create:
                raise RoomNotFoundError(name)
            wanted = self._options(request.room_options)
            check_agents(wanted.agents, settings.agents, settings.limits)
            self._registry.check_capacity()
        elif request.identity in room.members:
            # It takes the place of the older session.
            return
        elif not is_dependent(request.kind, request.grant.permissions()):
            room.check_space()
        limit = settings.limits.participants
        if limit and len(self._context.directory.sessions) >= limit:
            raise OverloadedError("participants", limit)

    # Rooms. Raise RoomNotFoundError where a room is named that is not there.

    def create_room(self, name: RoomName, options: RoomOptions = DEFAULT_OPTIONS) -> RoomInfo:
        """Make a room, or return the one of that name unchanged."""
        limits = self._context.settings.limits
        if not name:
            raise InvalidRequestError("name", "a room needs one")
        check_name("room name", name, limits)
        check_metadata(options.metadata, limits)
        check_agents(options.agents, self._context.settings.agents, limits)
        room = self._registry.find(name)
        if room is None:
            if self._draining:
                raise DrainingError
            self._registry.check_capacity()
            room = self._registry.make(name, self._options(options))
            self._registry.open(room)
        return room.info().value

    def _options(self, options: RoomOptions | None) -> RoomOptions:
        return resolve(options or DEFAULT_OPTIONS, self._context.settings.room.presets)

    def configure_room(self, name: RoomName, options: RoomOptions) -> RoomInfo:
        """Make a room, or change the one of that name: what the options leave out stays."""
        room = self._registry.find(name)
        if room is None:
            return self.create_room(name, options)
        check_metadata(options.metadata, self._context.settings.limits)
        wanted = self._options(options)
        if wanted != DEFAULT_OPTIONS:
            room.configure(wanted)
        return room.info().value

    def list_rooms(self, names: Iterable[RoomName] = ()) -> list[RoomInfo]:
        """All rooms, or those of the given names that exist."""
        chosen = set(names)
        return [room.info().value for room in self._registry if not chosen or room.name in chosen]

    def get_room(self, name: RoomName) -> RoomInfo:
        """One room."""
        return self._registry.get(name).info().value

    def delete_room(self, name: RoomName) -> None:
        """Tell everyone in it and end it."""
        room = self._registry.get(name)
        self._registry.close(room, LeaveCode.ROOM_DELETED, "the room was deleted", reason="deleted")

    def update_room_metadata(self, name: RoomName, metadata: str) -> RoomInfo:
        """Describe it anew; everyone in it is told."""
        check_metadata(metadata, self._context.settings.limits)
        room = self._registry.get(name)
        if room.metadata != metadata:
            room.metadata = metadata
            room.metadata_changed()
        return room.info().value

    # Participants, hidden ones included. Raise ParticipantNotFoundError too.

    def list_participants(self, room: RoomName) -> list[ParticipantInfo]:
        """Everyone in a room."""
        return [member.info().value for member in self._registry.get(room).members.values()]

    def get_participant(self, room: RoomName, identity: Identity) -> ParticipantInfo:
        """One of them."""
        return self._seat(room, identity).participant.info().value

    def remove_participant(self, room: RoomName, identity: Identity) -> None:
        """End its session; it is told not to come back by itself."""
        seat = self._seat(room, identity)
        seat.room.remove(seat.participant, LeaveCode.REMOVED, "removed by an administrator")

    def move_participant(self, room: RoomName, identity: Identity, destination: RoomName) -> None:
        """Take it to another room, which is made if need be, with its tracks and its session.

        Whoever has its identity there leaves, as if it had joined again.

        Raises:
            RoomNotFoundError, ParticipantNotFoundError, InvalidRequestError, LimitExceededError,
            RoomFullError, OverloadedError, DrainingError.
        """
        seat = self._seat(room, identity)
        target = self._destination(room, destination)
        older = target.members.get(identity)
        if older is not None:
            target.remove(older, LeaveCode.DUPLICATE_IDENTITY, "this identity came from another room")
        elif not seat.participant.dependent:
            target.check_space()
        moving.move(seat.room, seat.participant, target)

    def forward_participant(self, room: RoomName, identity: Identity, destination: RoomName) -> None:
        """Let it be seen and heard in another room too, until it leaves or that room ends.

        Raises:
            As `move_participant`. InvalidRequestError too where its identity is taken there.
        """
        seat = self._seat(room, identity)
        target = self._destination(room, destination)
        others = (target.members.get(identity), target.guests.get(identity))
        if any(other not in (None, seat.participant) for other in others):
            raise InvalidRequestError("identity", f"{identity} is somebody else in {destination}")
        forwarding.forward(seat.participant, target)

    def _destination(self, room: RoomName, destination: RoomName) -> Room:
        if room == destination:
            raise InvalidRequestError("destination_room", "must differ from the room")
        if self._registry.find(destination) is None:
            if not self._context.settings.room.auto_create:
                raise RoomNotFoundError(destination)
            self.create_room(destination)
        return self._registry.get(destination)

    def mute_track(self, room: RoomName, identity: Identity, track: TrackSid, muted: bool) -> TrackInfo:
        """Mute or unmute somebody's track; its owner is told. Muted, it reaches nobody."""
        seat = self._seat(room, identity)
        return publications.mute_by_server(seat.room, seat.participant, track, muted)

    def update_participant(
        self,
        room: RoomName,
        identity: Identity,
        update: ParticipantUpdate = NO_UPDATE,
        permissions: Permissions | None = None,
    ) -> ParticipantInfo:
        """Change what it is called and what it may do. Tracks no longer allowed end at once."""
        seat = self._seat(room, identity)
        administration.update(seat.room, seat.participant, update)
        if permissions is not None:
            administration.set_permissions(seat.room, seat.participant, permissions)
        return seat.participant.info().value

    def update_subscriptions(
        self, room: RoomName, identity: Identity, tracks: Iterable[TrackSid], subscribe: bool
    ) -> None:
        """Subscribe somebody to tracks, or take them away. Raises TrackNotFoundError before it acts."""
        seat = self._seat(room, identity)
        wanted = list(tracks)
        for sid in wanted:
            if seat.room.catalog.get(sid) is None:
                raise TrackNotFoundError(sid)
        session = Session(seat.room, seat.participant)
        for sid in wanted:
            if subscribe:
                session.subscribe(sid, DEFAULT_WISH)
            else:
                session.unsubscribe(sid)

    def send_data(
        self,
        room: RoomName,
        payload: bytes,
        *,
        reliable: bool = True,
        topic: str = "",
        destinations: Sequence[Identity] = (),
        sender: Identity | None = None,
        nonce: bytes = b"",
    ) -> None:
        """Send a data message from the server. No destinations: everyone. With a nonce, once."""
        check_data(payload, topic, self._context.settings.limits)
        found = self._registry.get(room)
        if nonce and found.is_repeated(nonce):
            return
        data.send(
            found,
            payload,
            reliable=reliable,
            topic=topic,
            destinations=destinations,
            sender=sender,
        )

    def open_mailbox(self, room: RoomName, identity: Identity, receive: Receive) -> Mailbox:
        """An address at which one participant can answer the server, until it is closed."""
        seat = self._seat(room, identity)
        return Mailbox(seat.room, seat.participant, receive)

    async def participant_stats(self, room: RoomName, identity: Identity) -> Mapping[str, object]:
        """Figures of its transport, tracks and subscriptions, as plain JSON."""
        self._seat(room, identity)
        workers = await self._context.plane.stats()
        # It may have left, or come back, meanwhile.
        return participant_stats(self._seat(room, identity).participant, workers)

    def _seat(self, name: RoomName, identity: Identity) -> Seat:
        room = self._registry.get(name)
        return Seat(room, room.member(identity))

    # The node.

    def counts(self) -> Counts:
        """How much there is of everything."""
        rooms = list(self._registry)
        members = [member for room in rooms for member in room.members.values()]
        return Counts(
            rooms=len(rooms),
            participants=len(members),
            tracks=sum(len(room.catalog) for room in rooms),
            subscriptions=sum(len(member.subscriber.applied) for member in members),
        )

    def debug_state(self) -> dict[str, object]:
        """Plain JSON for people; no secrets, no addresses."""
        directory = self._context.directory
        return {
            "draining": self._draining,
            "rooms": [room.debug_state() for room in self._registry],
            "held": {
                "transports": len(directory.transports),
                "tracks": len(directory.tracks),
                "slots": len(directory.slots),
                "sessions": len(directory.sessions),
            },
        }

    def begin_drain(self) -> None:
        """Refuse joins from now on (`DrainingError`)."""
        self._draining = True

    async def close(self, deadline_s: float) -> None:
        """Refuse joins, tell every client, close every transport, stop the workers; all in time."""
        self.begin_drain()
        for room in self._registry:
            text = "this server is shutting down"
            # In one turn: the workers stop next, and take no more commands.
            self._registry.close(
                room, LeaveCode.SERVER_SHUTDOWN, text, Reconnect.REJOIN, reason="shutdown", at_once=True
            )
        self._agency.close()
        await self._context.plane.close(deadline_s)
