"""One LiveKit client: its requests to service calls, domain events to responses."""

import logging
from collections.abc import Callable

from google.protobuf.message import DecodeError
from livekit.protocol import models, rtc

from sfu.core.clock import Timer
from sfu.core.errors import AirsideError, PeerError, ServerError, SessionGoneError
from sfu.core.ids import ParticipantSid, TrackSid
from sfu.core.shared import Shared
from sfu.participants import sink
from sfu.participants.info import RoomInfo, Speaker
from sfu.participants.requests import JoinRequest, ResumeRequest
from sfu.service import Session
from signaling.auth import Token
from signaling.closing import CloseCode
from signaling.dialect import Dialect, Outgoing
from signaling.livekit import mapping, requests, responses, wire
from signaling.livekit.bounds import parse
from signaling.livekit.context import DUAL_SHAPE, SERVER_VERSION, SINGLE_SHAPE, LiveKitContext
from signaling.livekit.handlers import HANDLERS, Handlers
from signaling.livekit.parameters import Parameters
from signaling.livekit.refresh import TokenRefresher

log = logging.getLogger(__name__)

COUNTS_INTERVAL_S = 5.0  # between messages that only say how many are in the room; as LiveKit's server
LOST_PATH_S = (
    5.0  # after its media path fell silent a client is told to look for another; as LiveKit's server
)
CROWD = 100  # from so many people on, newcomers' connections are not mentioned before there is news of them
PING_INTERVAL_S = 5  # between a client's pings
PING_TIMEOUT_S = 15  # of silence, and a client resumes


class LiveKitDialect(Dialect, sink.ParticipantSink):
    """From a checked request to the end of its WebSocket. Begin with `enter`, before the upgrade."""

    binary = True

    def __init__(
        self, context: LiveKitContext, token: Token, parameters: Parameters, outgoing: Outgoing
    ) -> None:
        self._context = context
        self._token = token
        self._parameters = parameters
        self._outgoing = outgoing
        self._session: Session | None = None
        self._handlers: Handlers | None = None
        self._sid = ParticipantSid("")
        self._speakers: frozenset[ParticipantSid] = frozenset()
        self._media_state = ""
        self._counts = (0, 0)
        self._counts_due = False
        self._held_back: set[TrackSid] = set()
        """Videos whose client was told that the network does not take them."""
        self._refresher = TokenRefresher(context.authenticator, token, context.clock, self._send)
        self._timers: set[Timer] = set()

    async def enter(self, started_at: float, authorized_at: float) -> None:
        """Join or resume; the first messages wait in the outbox from then on.

        Args:
            started_at: `Clock.monotonic()` when the request arrived.
            authorized_at: `Clock.monotonic()` when its token was found good.

        Raises:
            AirsideError: Refused; nothing was sent.
        """
        try:
            if self._parameters.resume:
                await self._resume()
            else:
                await self._join(started_at, authorized_at)
        except SessionGoneError:
            # Only a leave makes clients join anew; a refused upgrade would make them try again.
            self._send(responses.leave(sink.LeaveCode.NEGOTIATION_FAILED, sink.Reconnect.REJOIN))
            self._outgoing.close(CloseCode.DONE, "no such session")

    async def _join(self, started_at: float, authorized_at: float) -> None:
        wanted, token = self._parameters, self._token
        attributes, metadata = dict(token.attributes), token.metadata
        if token.grant.can_update_own_metadata:
            attributes |= wanted.attributes
            metadata = wanted.metadata or metadata
        request = JoinRequest(
            grant=token.grant,
            identity=token.identity,
            name=token.name,
            metadata=metadata,
            attributes=attributes,
            kind=token.kind,
            kind_details=token.kind_details,
            offer_sdp=wanted.offer.sdp if wanted.offer is not None else None,
            tracks=tuple(requests.track_request(track) for track in wanted.tracks),
            auto_subscribe=wanted.auto_subscribe,
            auto_data_tracks=wanted.auto_data_tracks,
            wish=requests.initial_wish(adaptive=wanted.adaptive_stream, may_pause=wanted.may_pause),
            client=wanted.client,
            shape=SINGLE_SHAPE if wanted.single else DUAL_SHAPE,
            room_options=token.room_options,
            started_at=started_at,
            authorized_at=authorized_at,
        )
        self._begin(await self._context.service.join(request, self))

    async def _resume(self) -> None:
        request = ResumeRequest(
            session_id=None,
            room=self._token.grant.require_join(),
            identity=self._token.identity,
            last_seq=0,
            participant=self._parameters.participant,
        )
        self._begin(await self._context.service.resume(request, self))
        if self._handlers is not None and self._parameters.sync_state is not None:
            self._handlers.sync_state(self._parameters.sync_state)

    def _begin(self, session: Session) -> None:
        self._session = session
        self._handlers = Handlers(
            session,
            self._context,
            self._parameters,
            send=self._send,
            close=self._outgoing.close,
            later=self._later,
        )
        for track in self._parameters.tracks:
            self._handlers.add_track(track)
        self._refresher.begin()

    # Dialect

    async def handle_frame(self, frame: str | bytes) -> None:
        """As `Dialect.handle_frame`."""
        try:
            request = parse(rtc.SignalRequest, frame.encode() if isinstance(frame, str) else frame)
        except DecodeError:
            self._context.metrics.request_handled("invalid", "bad_message")
            log.debug("%s: a frame is no request", self._sid)
            return
        kind = request.WhichOneof("message")
        handlers = self._handlers
        if handlers is None or kind not in HANDLERS:
            # Newer clients ask for more; what we do not know we do not do.
            self._context.metrics.request_handled("unknown", "ok")
            return
        message = getattr(request, kind)
        try:
            HANDLERS[kind](handlers, message)
        except SessionGoneError:
            # A leave is on its way.
            return
        except (PeerError, ServerError) as error:
            self._context.metrics.request_handled(kind, error.code)
            log.debug("%s: %s refused: %s", self._sid, kind, error.code)
            handlers.refuse(kind, message, error)
        except Exception:
            # A bug of ours ends this request, never the room or the process.
            log.exception("%s: %s failed", self._sid, kind)
            self._context.metrics.request_handled(kind, AirsideError.code)
        else:
            self._context.metrics.request_handled(kind, "ok")

    def encode_error(self, code: str, text: str) -> bytes:  # noqa: ARG002
        """As `Dialect.encode_error`: clients know no errors but the last."""
        return wire.response(responses.leave(sink.LeaveCode.INTERNAL, sink.Reconnect.NO))

    def handle_disconnect(self) -> None:
        """As `Dialect.handle_disconnect`."""
        self._refresher.end()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._session is not None:
            self._session.detach(self, "websocket closed")

    # ParticipantSink

    def send(self, seq: int, event: sink.DomainEvent) -> None:  # noqa: ARG002
        """As `ParticipantSink.send`. The wire has no numbers: who missed something gets everything."""
        match event:
            case sink.Joined(state=state):
                self._joined(state)
            case sink.Resumed():
                self._resumed(event)
            case sink.Moved(state=state):
                self._moved(state)
            case sink.ParticipantsChanged(change=change):
                frame = change.encoded(wire.DIALECT, wire.participants_change)
                if frame:
                    self._outgoing.send(frame)
                if change.value.joined and not self._crowded:
                    self._outgoing.send(change.encoded(f"{wire.DIALECT} quality", wire.newcomers_quality))
                self._recount()
                for item in (*change.value.joined, *change.value.updated):
                    if item.value.sid == self._sid:
                        self._refresher.update(item.value)
            case sink.RoomUpdated(room=room):
                self._room_updated(room)
            case sink.SpeakersChanged(speakers=speakers):
                self._speakers_changed(speakers.value)
            case sink.QualityChanged(qualities=qualities):
                self._outgoing.send(wire.connection_quality(qualities))
            case sink.StreamStateChanged():
                self._stream_state_changed(event)
            case sink.SubscriptionUnbound(track=track):
                self._held_back.discard(track)
            case sink.MediaStateChanged(state=state):
                self._media_state = state
                if state == "disconnected":
                    self._later(LOST_PATH_S, self._restore_path)
            case sink.Leave():
                self._leave(event)
            case sink.OfferMade():
                offer = rtc.SessionDescription(
                    type="offer",
                    sdp=event.sdp,
                    id=event.id,
                    mid_to_track_id={mid: track for track, mid in event.bound},
                )
                self._send(rtc.SignalResponse(offer=offer))
            case _:
                response = responses.own(event)
                if response is not None:
                    self._send(response)

    def _joined(self, state: sink.JoinedState) -> None:
        self._sid = state.participant.sid
        self._refresher.know(state.participant)
        self._counts = state.room.value.num_participants, state.room.value.num_publishers
        head = rtc.JoinResponse(
            room=mapping.room(state.room.value, self._context.codecs),
            participant=mapping.participant_info(state.participant),
            server_version=SERVER_VERSION,
            subscriber_primary=not self._parameters.single and state.participant.permissions.can_subscribe,
            ping_timeout=PING_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            server_info=self._context.server_info,
            sif_trailer=mapping.sif_trailer(state.room.value),
            enabled_publish_codecs=self._context.codecs,
            fast_publish=state.participant.permissions.can_publish,
        )
        others = (item for item in state.participants.value if item.value.sid != self._sid)
        self._outgoing.send(wire.join(head, others))
        if state.answer_sdp is not None and self._parameters.offer is not None:
            self._send(responses.answer(state.answer_sdp, self._parameters.offer.id, state.bound))
        self._outgoing.send(wire.first_quality(state.participants.value))

    def _resumed(self, event: sink.Resumed) -> None:
        # A client cannot name what it saw last, so the state is always there.
        state = event.state
        if state is None:
            raise ValueError("a resume without a state")
        self._sid = state.participant.sid
        self._refresher.know(state.participant)
        if event.trial is not sink.ResumeTrial.AT_ONCE:
            answer = rtc.ReconnectResponse(
                server_info=self._context.server_info, last_message_seq=event.received
            )
            self._send(rtc.SignalResponse(reconnect=answer))
        if event.trial is not None:
            self._outgoing.close(CloseCode.DONE, "as the scenario wants it")
            return
        if event.left:
            self._outgoing.send(wire.departures(mapping.departed(item) for item in event.left))
        people = [item for item in state.participants.value if item.value.sid != self._sid]
        self._outgoing.send(wire.update(people))
        own_picture = rtc.ParticipantUpdate(participants=[mapping.participant_info(state.participant)])
        self._send(rtc.SignalResponse(update=own_picture))
        self._room_updated(state.room)

    def _moved(self, state: sink.JoinedState) -> None:
        room = state.room.value
        self._counts = room.num_participants, room.num_publishers
        self._speakers = frozenset()
        self._held_back.clear()
        self._token = self._token.in_room(room.name)
        token = self._refresher.move(self._token, state.participant)
        others = (item.value for item in state.participants.value if item.value.sid != self._sid)
        moved = rtc.RoomMovedResponse(
            room=mapping.room(room, self._context.codecs),
            token=token,
            participant=mapping.participant_info(state.participant),
            other_participants=[mapping.participant_info(item) for item in others],
        )
        self._send(rtc.SignalResponse(room_moved=moved))
        # The Rust SDK takes tokens from nowhere else.
        self._send(rtc.SignalResponse(refresh_token=token))

    @property
    def _crowded(self) -> bool:
        """A second message for everyone who comes would be felt."""
        session = self._session
        return session is None or not session.alive or session.room_info.value.num_participants > CROWD

    def _room_updated(self, room: Shared[RoomInfo]) -> None:
        self._counts = room.value.num_participants, room.value.num_publishers
        self._outgoing.send(wire.room_update(room))

    def _recount(self) -> None:
        """People came or went: say how many there are, but not with every one."""
        if not self._counts_due:
            self._counts_due = True
            self._later(COUNTS_INTERVAL_S, self._tell_counts)

    def _tell_counts(self) -> None:
        self._counts_due = False
        if self._session is None or not self._session.alive:
            return
        room = self._session.room_info
        if self._counts != (room.value.num_participants, room.value.num_publishers):
            self._room_updated(room)

    def _speakers_changed(self, speakers: tuple[Speaker, ...]) -> None:
        now = {item.participant: item.level for item in reversed(speakers)}
        changed = [models.SpeakerInfo(sid=sid, level=level, active=True) for sid, level in now.items()] + [
            models.SpeakerInfo(sid=sid) for sid in self._speakers - now.keys()
        ]
        self._speakers = frozenset(now)
        if changed:
            self._send(rtc.SignalResponse(speakers_changed=rtc.SpeakersChanged(speakers=changed)))

    def _restore_path(self) -> None:
        """Clients keep a silent path for as long as they are not told. A resume restarts ICE.

        There is no `leave` before the end of the socket: the Rust SDK takes the two for two failures and
        joins anew in place of resuming (`reconnection_needed` in its rtc_engine).
        """
        if self._media_state == "disconnected" and self._session is not None and self._session.alive:
            self._outgoing.close(CloseCode.DONE, "its media path was lost")

    def _stream_state_changed(self, event: sink.StreamStateChanged) -> None:
        # Clients know no reasons, only these two states; a new stream is active to them.
        if event.paused != (event.track in self._held_back):
            (self._held_back.add if event.paused else self._held_back.discard)(event.track)
            self._send(responses.stream_state(event))

    def _leave(self, event: sink.Leave) -> None:
        if event.code is not sink.LeaveCode.SUPERSEDED:
            self._send(responses.leave(event.code, event.reconnect))
        self._outgoing.close(CloseCode.DONE, event.text)

    # Others

    def _send(self, response: rtc.SignalResponse) -> None:
        self._outgoing.send(wire.response(response))

    def _later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back unless the socket has gone by then."""

        def fire() -> None:
            self._timers.discard(timer)
            callback()

        timer = self._context.clock.call_later(delay_s, fire)
        self._timers.add(timer)
