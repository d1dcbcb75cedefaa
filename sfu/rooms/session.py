"""One participant's door: what its client may ask of the room."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from sfu.core.errors import InvalidRequestError, LimitExceededError, SessionGoneError, TrackNotFoundError
from sfu.core.ids import DataTrackSid, Identity, ParticipantSid, RoomName, SessionId, TrackSid
from sfu.core.shared import Shared
from sfu.dataplane.commands import LimitSending
from sfu.participants.audience import Audience
from sfu.participants.info import ParticipantInfo, RoomInfo
from sfu.participants.participant import Participant
from sfu.participants.requests import ParticipantUpdate, TrackRequest
from sfu.participants.sink import LeaveCode, OfferResult, ParticipantSink, Reconnect, ResumeTrial
from sfu.participants.validation import check_data, check_wish
from sfu.rooms import administration, data, downlinks, offers, publications, shown_tracks
from sfu.rooms.room import Room
from sfu.tracks.data_track import DataTrackInfo, DataTrackRequest
from sfu.tracks.hints import AudioFeature
from sfu.tracks.subscription import DEFAULT_WISH, SubscriptionWish
from sfu.tracks.track import Track, TrackInfo

MAX_CANDIDATE_CHARACTERS = 1024
"""A candidate line has about a hundred."""

MAX_PRETENCE_S = 60.0
"""Longest that somebody is shown as a speaker who only pretends to be."""

MAX_LIMIT_BPS = 10**12
"""Nobody is sent a thousandth of it: more is a mistake."""

log = logging.getLogger(__name__)


class Session:
    """Every method raises `PeerError`; a failed one changed nothing.

    After the session ended (its sink was given `Leave`) every method raises `SessionGoneError`, except
    `detach` and `leave`, which then do nothing.
    """

    def __init__(self, room: Room, participant: Participant) -> None:
        self._entered = room
        self._participant = participant

    @property
    def _room(self) -> Room:
        """Where it is now: it may have been moved."""
        seat = self._entered.context.directory.sessions.get(self._participant.session_id)
        return seat.room if seat is not None else self._entered

    @property
    def session_id(self) -> SessionId:
        """What a resume request names."""
        return self._participant.session_id

    @property
    def sid(self) -> ParticipantSid:
        """The participant's public id."""
        return self._participant.sid

    @property
    def identity(self) -> Identity:
        """Who it is."""
        return self._participant.identity

    @property
    def room_name(self) -> RoomName:
        """Where it is."""
        return self._room.name

    @property
    def room_info(self) -> Shared[RoomInfo]:
        """The room as it is now."""
        return self._room.info()

    @property
    def alive(self) -> bool:
        """Still in the room."""
        return self._participant.present

    def offer(self, sdp: str, tracks: Sequence[TrackRequest] = ()) -> OfferResult:
        """Answer a client's offer: new and ended sections, or an ICE restart by a new ufrag.

        `tracks` describes sections that begin to send; those already published need no entry.

        Raises:
            SdpError, NegotiationError, TrackUndeclaredError, TrackSectionError, PermissionDeniedError,
            LimitExceededError, InvalidRequestError.
        """
        member = self._require()
        prepared = offers.prepare(
            self._room.context,
            self._room.id,
            sdp,
            tracks,
            member.permissions,
            member.connection,
            member.publications,
            member.retired,
            member.shape,
            member.declared,
            self._room.playout_delay,
        )
        return offers.commit(self._room, member, prepared)

    def declare(self, request: TrackRequest) -> TrackInfo:
        """Announce a track whose section comes with a later offer, or has come already and waits.

        Raises:
            PermissionDeniedError, LimitExceededError, InvalidRequestError.
        """
        return offers.declare(self._room, self._require(), request)

    def declare_backup(self, track: TrackSid, request: TrackRequest) -> TrackInfo:
        """Announce the second codec of an own track; see `offers.declare_backup`.

        Raises:
            TrackNotFoundError, PermissionDeniedError, LimitExceededError, InvalidRequestError.
        """
        return offers.declare_backup(self._room, self._require(), track, request)

    def answer(self, sdp: str, offer_id: int) -> bool:
        """The client's answer to `OfferMade`; False if that offer is not the one that waits.

        Raises:
            SdpError, NegotiationError: The offer then waits on.
        """
        member = self._require()
        downlink = member.downlink
        if downlink is None or not downlink.offering or offer_id not in (0, downlink.offer_id):
            return False
        downlinks.accept(self._room, member, downlink, sdp)
        return True

    def trickle(self, candidate: str, mid: str | None = None) -> None:
        """Accept a candidate. An ICE-lite server learns addresses from checks and needs none."""
        self._require()
        if len(candidate) > MAX_CANDIDATE_CHARACTERS or len(mid or "") > MAX_CANDIDATE_CHARACTERS:
            raise LimitExceededError("the length of a candidate in characters", MAX_CANDIDATE_CHARACTERS)

    def mute(self, track: TrackSid, muted: bool) -> None:
        """Say that an own track is silent, or no longer."""
        publications.mute_own(self._room, self._require(), track, muted)

    def unpublish(self, track: TrackSid) -> None:
        """End an own track. Its section may be used again by a later offer."""
        publications.unpublish_own(self._room, self._require(), track)

    def subscribe(self, track: TrackSid, wish: SubscriptionWish = DEFAULT_WISH) -> None:
        """Ask for a track. Answered by SubscriptionBound, SectionsNeeded or SubscriptionFailed."""
        member = self._require()
        member.permissions.require_subscribe()
        check_wish(wish)
        self._foreign(track)
        member.subscriber.ask(track, wish)
        self._room.planner.mark(member)

    def expect(self, track: TrackSid, wish: SubscriptionWish = DEFAULT_WISH) -> bool:
        """As `subscribe`, also for a track that is yet to be published; whether it is now.

        Raises:
            LimitExceededError: Too many are expected already.
        """
        member = self._require()
        member.permissions.require_subscribe()
        if self._room.catalog.get(track) is not None:
            self.subscribe(track, wish)
            return True
        limit = self._room.context.settings.limits.expected_tracks
        if member.subscriber.demand.size >= limit:
            raise LimitExceededError("the number of tracks waited for", limit)
        member.subscriber.ask(track, wish)
        return False

    def set_audience(self, audience: Audience) -> None:
        """Decide who may have the tracks of this participant; whoever loses one is told."""
        member = self._require()
        limit = self._room.context.settings.limits.audience_entries
        if audience.size > limit:
            raise LimitExceededError("the number of entries of an audience", limit)
        shown_tracks.set_audience(self._room, member, audience)

    def pretend_to_speak(self, duration_s: float) -> None:
        """Be shown to everyone as a speaker for a while, to see what they make of it."""
        room, member = self._room, self._require()
        room.speaking.pretend(member, True)
        end = min(max(duration_s, 0.0), MAX_PRETENCE_S)
        room.context.clock.call_later(end, lambda: room.speaking.pretend(member, False))

    def limit_receiving(self, bitrate_bps: int) -> None:
        """Be sent no more than that, as if the network took no more; 0 lifts it.

        Holds for the transport that brings media now. Nothing happens where `rtc.congestion_control` is off.

        Raises:
            InvalidRequestError: It is negative or not of this world.
        """
        room, member = self._room, self._require()
        if not 0 <= bitrate_bps <= MAX_LIMIT_BPS:
            raise InvalidRequestError("bitrate_bps", f"must be between 0 and {MAX_LIMIT_BPS}")
        receiving = member.receiving
        if receiving is not None and receiving.peer.plan is not None:
            room.context.plane.apply([LimitSending(receiving.transport, bitrate_bps or None)])

    @property
    def info(self) -> ParticipantInfo:
        """The participant as others see it."""
        return self._participant.info().value

    def track_sids(self) -> frozenset[TrackSid]:
        """Own tracks, those included whose section is yet to come."""
        member = self._require()
        declared = (request.sid for request in member.declared.values() if request.sid is not None)
        return frozenset((*declared, *(track.sid for track in member.tracks)))

    def describe_track(
        self,
        track: TrackSid,
        *,
        audio_features: tuple[AudioFeature, ...] | None = None,
        size_px: tuple[int, int] | None = None,
    ) -> None:
        """Say anew how an own track is captured; None leaves things as they are."""
        publications.describe(self._room, self._require(), track, audio_features, size_px)

    def track(self, sid: TrackSid) -> TrackInfo | None:
        """Somebody's track; None if it is not published, or no longer."""
        found = self._room.catalog.get(sid)
        return found.info if found is not None else None

    def wants(self, sid: TrackSid) -> bool:
        """Whether a track is wanted, by name or because everything is."""
        return self._require().subscriber.demand.wish(self._foreign(sid)) is not None

    def unsubscribe(self, track: TrackSid) -> None:
        """Decline a track, also one that auto-subscription would bring."""
        member = self._require()
        self._foreign(track)
        member.subscriber.demand.decline(track)
        self._room.planner.mark(member)

    def forget(self, track: TrackSid) -> None:
        """Expect a track no longer that has not come, and do not bring it when it does."""
        member = self._require()
        if member.subscriber.demand.size < self._room.context.settings.limits.expected_tracks:
            member.subscriber.demand.decline(track)

    def update_subscription(self, track: TrackSid, wish: SubscriptionWish) -> None:
        """Change what is wanted of a subscribed track, as a whole."""
        member = self._require()
        check_wish(wish)
        if member.subscriber.demand.wish(self._foreign(track)) is None:
            raise TrackNotFoundError(track, "subscribed to")
        member.subscriber.demand.want(track, wish)
        self._room.planner.mark(member)

    def wish(self, track: TrackSid) -> SubscriptionWish:
        """What is wanted now: for an update of single fields by `dataclasses.replace`."""
        wish = self._require().subscriber.demand.wish(self._foreign(track))
        if wish is None:
            raise TrackNotFoundError(track, "subscribed to")
        return wish

    def update_metadata(self, update: ParticipantUpdate) -> None:
        """Change the participant's own name, metadata or attributes (`canUpdateOwnMetadata`)."""
        member = self._require()
        member.permissions.require_update_own_metadata()
        administration.update(self._room, member, update)

    def publish_data_track(self, request: DataTrackRequest) -> DataTrackInfo:
        """Raises DataTrackError, LimitExceededError, PermissionDeniedError."""
        return self._room.data_tracks.publish(self._room, self._require(), request)

    def unpublish_data_track(self, handle: int) -> DataTrackInfo:
        """Raises DataTrackError."""
        return self._room.data_tracks.unpublish(self._room, self._require(), handle)

    def subscribe_data_tracks(self, tracks: Iterable[DataTrackSid], subscribe: bool) -> None:
        """Get the packets of data tracks, or no longer. Answered by DataTracksChanged."""
        member = self._require()
        if subscribe:
            member.permissions.require_subscribe()
        self._room.data_tracks.subscribe(self._room, member, tracks, subscribe)

    def send_data(
        self, payload: bytes, *, reliable: bool = True, topic: str = "", destinations: Sequence[Identity] = ()
    ) -> None:
        """Send data for a client that has no data channel. No destinations: everyone else."""
        member = self._require()
        member.permissions.require_publish_data()
        check_data(payload, topic, self._room.context.settings.limits)
        data.send(
            self._room, payload, reliable=reliable, topic=topic, destinations=destinations, sender=member
        )

    def detach(self, sink: ParticipantSink, reason: str = "") -> None:
        """Its WebSocket is lost: media goes on, and the session may be resumed for a while.

        Does nothing if another sink has taken over meanwhile.
        """
        member, room = self._participant, self._room
        if not member.present or not member.outbox.detach(sink):
            return
        log.debug("%s: %s lost its signaling connection: %s", room, member, reason or "closed")

        def expire() -> None:
            member.resume_timer = None
            text = f"the signaling connection was lost ({reason or 'closed'}) and not resumed"
            self._room.remove(member, LeaveCode.SIGNAL_LOST, text, Reconnect.REJOIN)

        window_s = room.context.settings.session.resume_window_s
        member.resume_timer = room.context.clock.call_later(window_s, expire)

    def try_resume(self, trial: ResumeTrial) -> None:
        """Let its next resume be cut off, once: for clients that test themselves. See `Resumed.trial`."""
        self._require().resume_trial = trial

    def leave(self, code: LeaveCode = LeaveCode.CLIENT_LEFT, *, may_return: bool = False) -> None:
        """The client goes, for good or to join anew. Its sink is told nothing more."""
        self._room.remove(self._participant, code, "", tell=False, may_return=may_return)

    def debug_state(self) -> dict[str, object]:
        """Plain JSON for people; no secrets, no addresses."""
        return self._participant.debug_state()

    def _require(self) -> Participant:
        if not self._participant.present or self._room.closed:
            raise SessionGoneError
        return self._participant

    def _foreign(self, sid: TrackSid) -> Track:
        track = self._room.catalog.get(sid)
        if track is None:
            raise TrackNotFoundError(sid)
        if track.info.participant == self._participant.sid:
            raise InvalidRequestError("track_id", "a participant does not receive its own tracks")
        return track
