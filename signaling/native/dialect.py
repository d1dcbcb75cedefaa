"""One client that speaks the native protocol: its messages to service calls, domain events to frames."""

import logging
from dataclasses import dataclass
from typing import assert_never

from pydantic import ValidationError

from sfu.core.clock import Clock
from sfu.core.codecs import Encryption
from sfu.core.errors import AirsideError, PeerError, ServerError, SessionGoneError
from sfu.core.ids import DataTrackSid, Identity, TrackSid
from sfu.participants import sink
from sfu.service import Service, Session
from sfu.telemetry.metrics import Metrics
from sfu.tracks.data_track import DataTrackRequest
from sfu.tracks.subscription import SubscriptionWish
from signaling.auth import Token
from signaling.closing import CloseCode
from signaling.dialect import Dialect, Outgoing
from signaling.json_bounds import is_crowded
from signaling.native import decode, encode, messages, values

log = logging.getLogger(__name__)


class NotJoinedError(PeerError):
    """The first message was neither `join` nor `resume`."""

    code = "not_joined"

    def __init__(self, type_: str) -> None:
        super().__init__(f"the first message must be join or resume, not {type_}")


class AlreadyJoinedError(PeerError):
    """A second `join` or `resume` on one WebSocket."""

    code = "already_joined"

    def __init__(self) -> None:
        super().__init__("this WebSocket has a session already")


class UnsupportedProtocolError(PeerError):
    """The client speaks a version that this server does not."""

    code = "unsupported_protocol"

    def __init__(self, version: int) -> None:
        super().__init__(f"this server speaks protocol {messages.PROTOCOL_VERSION}, not {version}")


INTERNAL_TEXT = "something went wrong on the server's side"


@dataclass(frozen=True, slots=True)
class NativeContext:
    """What every native client of this server shares."""

    service: Service
    clock: Clock
    metrics: Metrics
    server: values.ServerInfo
    ping_interval_s: float
    ping_timeout_s: float


class NativeDialect(Dialect, sink.ParticipantSink):
    """From an accepted WebSocket with a good token to its end. Owns no socket and no task."""

    binary = False

    def __init__(
        self, context: NativeContext, token: Token, outgoing: Outgoing, address: str = "", auth_s: float = 0.0
    ) -> None:
        """`address` is for statistics; `auth_s` is how long the token took to check."""
        self._context = context
        self._token = token
        self._outgoing = outgoing
        self._address = address
        self._auth_s = auth_s
        self._session: Session | None = None
        self._request_id: int | None = None
        """Of the join or resume that is being answered."""
        self._session_id = ""
        """Of the session that is being resumed."""

    # Dialect

    async def handle_frame(self, frame: str | bytes) -> None:
        """As `Dialect.handle_frame`."""
        if is_crowded(frame):
            self._refuse_frame(*decode.CROWDED)
            return
        try:
            message = messages.CLIENT_MESSAGE.validate_json(frame)
        except ValidationError as error:
            self._refuse_frame(*decode.explain(error), decode.find_request_id(frame))
            return
        try:
            reply = await self._handle(message)
        except (PeerError, ServerError) as error:
            self._refuse_message(message, error.code, error.text)
            self._end_refused(error)
        except Exception:
            # A bug of ours ends this request, never the room or the process.
            log.exception("%s: %s failed", self._name, message.type)
            self._refuse_message(message, AirsideError.code, INTERNAL_TEXT)
            if self._session is None:
                self._outgoing.close(CloseCode.INTERNAL, INTERNAL_TEXT)
        else:
            self._context.metrics.request_handled(message.type, "ok")
            if reply is not None:
                self._outgoing.send(encode.message(reply))

    def encode_error(self, code: str, text: str) -> bytes:
        """As `Dialect.encode_error`."""
        return error_frame(code, text)

    def handle_disconnect(self) -> None:
        """As `Dialect.handle_disconnect`."""
        if self._session is not None:
            self._session.detach(self, "websocket closed")

    # ParticipantSink

    def send(self, seq: int, event: sink.DomainEvent) -> None:
        """As `ParticipantSink.send`."""
        self._outgoing.send(encode.event(seq, event, self._begin))
        if isinstance(event, sink.Leave):
            self._outgoing.close(CloseCode.SESSION_ENDED, event.text)

    # Requests

    async def _handle(self, message: messages.ClientMessage) -> values.Message | None:
        if isinstance(message, messages.Join | messages.Resume):
            await self._enter(message)
            return None
        if self._session is None:
            raise NotJoinedError(message.type)
        return self._request(self._session, message)

    async def _enter(self, message: messages.Join | messages.Resume) -> None:
        if self._session is not None:
            raise AlreadyJoinedError
        if message.protocol != messages.PROTOCOL_VERSION:
            raise UnsupportedProtocolError(message.protocol)
        service, now = self._context.service, self._context.clock.monotonic()
        self._request_id = message.request_id
        if isinstance(message, messages.Join):
            request = decode.join_request(message, self._token, self._address, now - self._auth_s, now)
            self._session = await service.join(request, self)
        else:
            self._session_id = message.session_id
            self._session = await service.resume(decode.resume_request(message, self._token), self)

    def _request(self, session: Session, message: messages.ClientMessage) -> values.Message | None:
        match message:
            case messages.Offer():
                result = session.offer(message.sdp, decode.track_requests(message.tracks))
                return messages.Answer(
                    request_id=message.request_id,
                    id=message.id,
                    sdp=result.answer_sdp,
                    tracks=encode.section_tracks(result.tracks),
                )
            case messages.Ping():
                return messages.Pong(time=message.time, request_id=message.request_id)
            case messages.Leave():
                session.leave()
                self._outgoing.close(CloseCode.DONE, "left")
                return None
            case messages.Trickle():
                session.trickle(message.candidate, message.mid or None)
            case messages.Mute():
                session.mute(TrackSid(message.track_id), message.muted)
            case messages.Unpublish():
                session.unpublish(TrackSid(message.track_id))
            case messages.Subscribe():
                session.subscribe(TrackSid(message.track_id), decode.wish(message, SubscriptionWish()))
            case messages.UpdateSubscription():
                track = TrackSid(message.track_id)
                session.update_subscription(track, decode.wish(message, session.wish(track)))
            case messages.Unsubscribe():
                session.unsubscribe(TrackSid(message.track_id))
            case messages.SetAudience():
                session.set_audience(decode.audience(message))
            case messages.UpdateMe():
                session.update_metadata(decode.participant_update(message))
            case messages.Data():
                session.send_data(
                    message.payload,
                    reliable=message.reliable,
                    topic=message.topic,
                    destinations=[Identity(identity) for identity in message.destinations],
                )
            case messages.PublishDataTrack():
                wanted = DataTrackRequest(message.number, message.name, Encryption(message.encryption))
                published = session.publish_data_track(wanted)
                return messages.DataTrackPublished(
                    request_id=message.request_id,
                    number=message.number,
                    track=encode.data_track_info(published),
                )
            case messages.UnpublishDataTrack():
                session.unpublish_data_track(message.number)
            case messages.SubscribeDataTracks():
                tracks = [DataTrackSid(track) for track in message.track_ids]
                session.subscribe_data_tracks(tracks, message.subscribe)
            case messages.Join() | messages.Resume():
                raise AlreadyJoinedError
            case _:
                assert_never(message)
        return None if message.request_id is None else messages.Ok(request_id=message.request_id)

    # Answers

    def _begin(self, news: sink.Joined | sink.Resumed) -> bytes:
        if isinstance(news, sink.Resumed):
            resumed = messages.ResumedHead(
                request_id=self._request_id, session_id=self._session_id, answer=news.answer_sdp
            )
            return encode.with_state(resumed, news.state)
        joined = messages.JoinedHead(
            request_id=self._request_id,
            protocol=messages.PROTOCOL_VERSION,
            session_id=news.state.session_id,
            answer=news.state.answer_sdp,
            server=self._context.server,
            resume_window_s=news.state.resume_window_s,
            ping_interval_s=self._context.ping_interval_s,
            ping_timeout_s=self._context.ping_timeout_s,
            local_route=encode.local_route(news.state.local_route),
        )
        return encode.with_state(joined, news.state)

    def _refuse_frame(self, code: str, text: str, request_id: int | None = None) -> None:
        self._refuse("invalid", code, text, request_id)
        if self._session is None:
            self._outgoing.close(CloseCode.PROTOCOL_ERROR, text)

    def _refuse_message(self, message: messages.ClientMessage, code: str, text: str) -> None:
        offer_id = message.id if isinstance(message, messages.Offer) else None
        self._refuse(message.type, code, text, message.request_id, offer_id)

    def _refuse(
        self, kind: str, code: str, text: str, request_id: int | None, offer_id: int | None = None
    ) -> None:
        self._context.metrics.request_handled(kind, code)
        log.debug("%s: %s refused: %s", self._name, kind, code)
        error = messages.Error(code=code, message=text, request_id=request_id, offer_id=offer_id)
        self._outgoing.send(encode.message(error))

    def _end_refused(self, error: AirsideError) -> None:
        """Without a session there is nothing to go on with."""
        if self._session is not None:
            return
        if isinstance(error, NotJoinedError | UnsupportedProtocolError):
            code = CloseCode.PROTOCOL_ERROR
        elif isinstance(error, SessionGoneError):
            code = CloseCode.NO_SESSION
        else:
            code = CloseCode.JOIN_REFUSED
        self._outgoing.close(code, error.text)

    @property
    def _name(self) -> str:
        return self._session.sid if self._session is not None else "unjoined"


def error_frame(code: str, text: str) -> bytes:
    """An `error` that answers no request."""
    return encode.message(messages.Error(code=code, message=text))
