"""What a joined client may ask for: one method for each request of the wire."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from livekit.protocol import rtc

from sfu.core.errors import AirsideError, PeerError, TrackNotFoundError
from sfu.core.ids import DataTrackSid, TrackSid
from sfu.participants import sink
from sfu.participants.sink import ResumeTrial
from sfu.service import Session
from sfu.tracks.subscription import SubscriptionWish
from sfu.transport.errors import NegotiationError, SdpError
from signaling.closing import CloseCode
from signaling.livekit import enums, mapping, requests, responses
from signaling.livekit.context import LiveKitContext
from signaling.livekit.parameters import Parameters

log = logging.getLogger(__name__)

NOT_FOUND_AFTER_S = 10.0
"""A wanted track may be published a little later; then its client is told that it is not there."""

Send = Callable[[rtc.SignalResponse], None]
Later = Callable[[float, Callable[[], None]], None]


class Handlers:
    """Methods raise what the domain raises; `refuse` says it to the client."""

    def __init__(
        self,
        session: Session,
        context: LiveKitContext,
        parameters: Parameters,
        *,
        send: Send,
        close: Callable[[int, str], None],
        later: Later,
    ) -> None:
        self._session = session
        self._context = context
        self._parameters = parameters
        self._send = send
        self._close = close
        self._later = later
        self._told_to_rejoin = False
        """Its own leave is not the end, then."""

    # Negotiation

    def offer(self, message: rtc.SessionDescription) -> None:
        """The client's offer; the answer has its number."""
        result = self._session.offer(message.sdp)
        self._send(responses.answer(result.answer_sdp, message.id, result.bound))

    def answer(self, message: rtc.SessionDescription) -> None:
        """Its answer to an offer of ours. One to an older offer is passed over."""
        self._session.answer(message.sdp, message.id)

    def trickle(self, message: rtc.TrickleRequest) -> None:
        """A candidate: addresses are learnt from connectivity checks."""
        if not message.final:
            self._session.trickle(message.candidateInit)

    # Own tracks

    def add_track(self, message: rtc.AddTrackRequest) -> None:
        """Declare a track whose section comes with an offer."""
        request = requests.track_request(message)
        if message.sid:
            # A second codec of a track that is published already.
            info = self._session.declare_backup(TrackSid(message.sid), request)
        else:
            info = self._session.declare(request)
        self._send(responses.track_published(message.cid, info))

    def mute(self, message: rtc.MuteTrackRequest) -> None:
        """Mute an own track."""
        self._session.mute(TrackSid(message.sid), message.muted)

    def update_audio_track(self, message: rtc.UpdateLocalAudioTrack) -> None:
        """How sound is captured has changed."""
        features = tuple(
            enums.AUDIO_FEATURES[item] for item in message.features if item in enums.AUDIO_FEATURES
        )
        self._session.describe_track(TrackSid(message.track_sid), audio_features=features)

    def update_video_track(self, message: rtc.UpdateLocalVideoTrack) -> None:
        """The picture has another size."""
        size = min(message.width, requests.MAX_PIXELS), min(message.height, requests.MAX_PIXELS)
        self._session.describe_track(TrackSid(message.track_sid), size_px=size)

    def subscription_permission(self, message: rtc.SubscriptionPermission) -> None:
        """Who may have own tracks."""
        self._session.set_audience(requests.audience(message))

    # Others' tracks

    def subscription(self, message: rtc.UpdateSubscription) -> None:
        """Subscribe to tracks, or decline them."""
        self._choose(requests.subscribed_tracks(message), message.subscribe)

    def _choose(self, tracks: Iterable[TrackSid], subscribe: bool) -> None:
        if not subscribe:
            for sid in tracks:
                self._unsubscribe(sid)
            return
        missing: list[TrackSid] = []
        self._later(NOT_FOUND_AFTER_S, lambda: self._check_found(missing))
        missing += (sid for sid in tracks if not self._subscribe(sid))

    def _subscribe(self, sid: TrackSid) -> bool:
        """Whether the track is there."""
        # A new wish: what was switched off before must not stay off for ever.
        wanted = self._parameters
        wish = requests.initial_wish(adaptive=wanted.adaptive_stream, may_pause=wanted.may_pause)
        return self._session.expect(sid, wish)

    def _check_found(self, tracks: Iterable[TrackSid]) -> None:
        for sid in tracks:
            if self._session.alive and self._session.track(sid) is None:
                self._send(responses.subscription_failed(sid, codec=False))

    def _unsubscribe(self, sid: TrackSid) -> None:
        try:
            self._session.unsubscribe(sid)
        except TrackNotFoundError:
            self._session.forget(sid)

    def track_setting(self, message: rtc.UpdateTrackSettings) -> None:
        """Size, rate or pause of subscribed tracks, in place of what was said before."""
        for sid in dict.fromkeys(TrackSid(sid) for sid in message.track_sids):
            track = self._session.track(sid)
            if track is None:
                continue
            self._update(sid, requests.track_wish(message, track, may_pause=self._parameters.may_pause))

    def _update(self, sid: TrackSid, wish: SubscriptionWish) -> None:
        try:
            self._session.update_subscription(sid, wish)
        except PeerError:
            # Unsubscribed meanwhile, or no longer allowed: nothing to set.
            return

    # The participant

    def update_metadata(self, message: rtc.UpdateParticipantMetadata) -> None:
        """Change own name, metadata or attributes."""
        change = requests.participant_update(message.name, message.metadata, dict(message.attributes))
        self._session.update_metadata(change)
        # Clients repeat with the next request what they believe to be true of themselves.
        own = rtc.ParticipantUpdate(participants=[mapping.participant_info(self._session.info)])
        self._send(rtc.SignalResponse(update=own))
        done = rtc.RequestResponse(request_id=message.request_id, update_metadata=message)
        self._send(rtc.SignalResponse(request_response=done))

    def ping(self, message: int) -> None:  # noqa: ARG002
        """The older of two pings."""
        self._send(rtc.SignalResponse(pong=self._now_ms()))

    def ping_req(self, message: rtc.Ping) -> None:
        """The newer one, with times."""
        pong = rtc.Pong(last_ping_timestamp=message.timestamp, timestamp=self._now_ms())
        self._send(rtc.SignalResponse(pong_resp=pong))

    def leave(self, message: rtc.LeaveRequest) -> None:  # noqa: ARG002
        """The client goes."""
        self._session.leave(may_return=self._told_to_rejoin)
        self._close(CloseCode.DONE, "left")

    def sync_state(self, message: rtc.SyncState) -> None:
        """What a client that came back believes to be true."""
        known = self._session.track_sids()
        data_tracks = {track.sid for track in self._session.info.data_tracks}
        if any(TrackSid(item.track.sid) not in known for item in message.publish_tracks) or any(
            item.info.sid not in data_tracks for item in message.publish_data_tracks
        ):
            self.rejoin("a track is published there and not here")
            return
        self.update_data_subscription(message.data_subscription)
        for sid in (TrackSid(sid) for sid in message.track_sids_disabled):
            if self._session.track(sid) is not None:
                self._update(sid, SubscriptionWish(paused=True, may_pause=self._parameters.may_pause))
        wanted = message.subscription.subscribe
        there = (sid for sid in requests.subscribed_tracks(message.subscription) if self._session.track(sid))
        self._choose([sid for sid in there if self._session.wants(sid) != wanted], wanted)

    def rejoin(self, text: str) -> None:
        """The two sides do not agree any more: begin anew."""
        self._session.leave(sink.LeaveCode.NEGOTIATION_FAILED, may_return=True)
        self._send(responses.leave(sink.LeaveCode.NEGOTIATION_FAILED, sink.Reconnect.REJOIN))
        self._close(CloseCode.DONE, text)

    # Data tracks

    def publish_data_track_request(self, message: rtc.PublishDataTrackRequest) -> None:
        """Packets of the client's own, on a channel of their own."""
        info = self._session.publish_data_track(requests.data_track_request(message))
        done = rtc.PublishDataTrackResponse(info=mapping.data_track_info(info))
        self._send(rtc.SignalResponse(publish_data_track_response=done))

    def unpublish_data_track_request(self, message: rtc.UnpublishDataTrackRequest) -> None:
        """They end."""
        info = self._session.unpublish_data_track(message.pub_handle)
        done = rtc.UnpublishDataTrackResponse(info=mapping.data_track_info(info))
        self._send(rtc.SignalResponse(unpublish_data_track_response=done))

    def update_data_subscription(self, message: rtc.UpdateDataSubscription) -> None:
        """Whose packets it wants."""
        for wanted in (True, False):
            sids = [DataTrackSid(item.track_sid) for item in message.updates if item.subscribe is wanted]
            if sids:
                self._session.subscribe_data_tracks(sids, wanted)

    # Tests of clients

    def simulate(self, message: rtc.SimulateScenario) -> None:
        """Do what a client wants to be tested with; scenarios that need other servers are passed over."""
        match message.WhichOneof("scenario"):
            case "speaker_update":
                self._session.pretend_to_speak(float(message.speaker_update))
            case "switch_candidate_protocol":
                log.info("a client asks for ICE over TCP or TLS: there is nothing to switch to")
            case "node_failure" | "migration":
                self._close(CloseCode.DONE, "as the scenario wants it")
            case "subscriber_bandwidth":
                self._session.limit_receiving(message.subscriber_bandwidth)
            case "server_leave":
                self._session.leave(sink.LeaveCode.SERVER_SHUTDOWN)
                self._send(responses.leave(sink.LeaveCode.SERVER_SHUTDOWN, sink.Reconnect.NO))
                self._close(CloseCode.DONE, "as the scenario wants it")
            case "disconnect_signal_on_resume":
                self._session.try_resume(ResumeTrial.AFTER_FIRST_WORD)
            case "disconnect_signal_on_resume_no_messages":
                self._session.try_resume(ResumeTrial.AT_ONCE)
            case "leave_request_full_reconnect":
                self._told_to_rejoin = True
                self._send(responses.leave(sink.LeaveCode.INTERNAL, sink.Reconnect.REJOIN))
            case _:
                return

    # Refusals

    def refuse(self, kind: str, message: Any, error: AirsideError) -> None:
        """Say why a request was not done, where the wire has words for it."""
        if isinstance(error, SdpError | NegotiationError) or kind in ("offer", "answer"):
            self.rejoin(error.text)
        elif kind in _ECHOED:
            refusal = rtc.RequestResponse(
                request_id=getattr(message, "request_id", 0),
                reason=responses.reason_of(error),
                message=error.text,
                **{kind.removesuffix("_request"): message},
            )
            self._send(rtc.SignalResponse(request_response=refusal))

    def _now_ms(self) -> int:
        return int(self._context.clock.wall() * 1000)


_ECHOED = frozenset(
    {
        "add_track",
        "mute",
        "update_metadata",
        "update_audio_track",
        "update_video_track",
        "publish_data_track_request",
        "unpublish_data_track_request",
    }
)
"""Requests whose refusal repeats them."""

HANDLERS: Mapping[str, Callable[[Handlers, Any], None]] = {
    name: getattr(Handlers, name)
    for name in rtc.SignalRequest.DESCRIPTOR.fields_by_name
    if hasattr(Handlers, name)
}
"""By field of `SignalRequest`."""
