"""Responses that concern one client only. Pure."""

from livekit.protocol import models, rtc

from sfu.core.errors import (
    AirsideError,
    CodecMismatchError,
    LimitExceededError,
    PermissionDeniedError,
    TrackNotFoundError,
)
from sfu.core.ids import Mid, TrackSid
from sfu.participants import sink
from sfu.participants.errors import DataTrackError, DataTrackRefusal
from sfu.tracks.track import TrackInfo
from signaling.livekit import enums, mapping
from signaling.livekit.requests import UnsupportedTypeError

_QUALITIES = (models.VideoQuality.LOW, models.VideoQuality.MEDIUM, models.VideoQuality.HIGH)
_REASONS: tuple[tuple[type[AirsideError], rtc.RequestResponse.Reason], ...] = (
    (PermissionDeniedError, rtc.RequestResponse.Reason.NOT_ALLOWED),
    (LimitExceededError, rtc.RequestResponse.Reason.LIMIT_EXCEEDED),
    (TrackNotFoundError, rtc.RequestResponse.Reason.NOT_FOUND),
    (UnsupportedTypeError, rtc.RequestResponse.Reason.UNSUPPORTED_TYPE),
)


_DATA_TRACK_REASONS = {
    DataTrackRefusal.INVALID_HANDLE: rtc.RequestResponse.Reason.INVALID_HANDLE,
    DataTrackRefusal.INVALID_NAME: rtc.RequestResponse.Reason.INVALID_NAME,
    DataTrackRefusal.DUPLICATE_HANDLE: rtc.RequestResponse.Reason.DUPLICATE_HANDLE,
    DataTrackRefusal.DUPLICATE_NAME: rtc.RequestResponse.Reason.DUPLICATE_NAME,
}


def own(event: sink.DomainEvent) -> rtc.SignalResponse | None:
    """What an event means for the client it was sent to; None: clients learn it elsewhere."""
    match event:
        case sink.SectionsNeeded(audio=audio, video=video):
            need = rtc.MediaSectionsRequirement(num_audios=audio, num_videos=video)
            return rtc.SignalResponse(media_sections_requirement=need)
        case sink.TrackMutedByServer(track=track, muted=muted):
            return rtc.SignalResponse(mute=rtc.MuteTrackRequest(sid=track, muted=muted))
        case sink.TrackUnpublishedByServer(track=track):
            gone = rtc.TrackUnpublishedResponse(track_sid=track)
            return rtc.SignalResponse(track_unpublished=gone)
        case sink.TrackReceived(track=track):
            return rtc.SignalResponse(track_subscribed=rtc.TrackSubscribed(track_sid=track))
        case sink.TrackAccessChanged(track=track, participant=participant, allowed=allowed):
            access = rtc.SubscriptionPermissionUpdate(
                participant_sid=participant, track_sid=track, allowed=allowed
            )
            return rtc.SignalResponse(subscription_permission_update=access)
        case sink.WantedLayersChanged():
            return subscribed_quality(event)
        case sink.DataTracksChanged(tracks=tracks):
            published = rtc.DataTrackSubscriberHandles.PublishedDataTrack
            handles = {
                handle: published(
                    publisher_identity=track.identity, publisher_sid=track.participant, track_sid=track.sid
                )
                for handle, track in tracks.items()
            }
            numbers = rtc.DataTrackSubscriberHandles(sub_handles=handles)
            return rtc.SignalResponse(data_track_subscriber_handles=numbers)
        case sink.SubscriptionFailed(track=track, code=code):
            return subscription_failed(track, codec=code == CodecMismatchError.code)
        case _:
            return None


def subscribed_quality(event: sink.WantedLayersChanged) -> rtc.SignalResponse:
    """Which qualities anybody takes (dynacast). What has fewer layers than there are qualities fills the rest
    with its best one, as SDKs read a single layer as any of them."""
    wanted = [layer.wanted for layer in event.layers]
    enabled = [wanted[min(index, len(wanted) - 1)] for index in range(len(_QUALITIES))]
    qualities = [
        rtc.SubscribedQuality(quality=quality, enabled=on)
        for quality, on in zip(_QUALITIES, enabled, strict=True)
    ]
    codec = rtc.SubscribedCodec(codec=event.mime.lower().removeprefix("video/"), qualities=qualities)
    update = rtc.SubscribedQualityUpdate(
        track_sid=event.track, subscribed_qualities=qualities, subscribed_codecs=[codec]
    )
    return rtc.SignalResponse(subscribed_quality_update=update)


def stream_state(event: sink.StreamStateChanged) -> rtc.SignalResponse:
    """A video is held back because of the network, or no longer."""
    info = rtc.StreamStateInfo(
        participant_sid=event.participant,
        track_sid=event.track,
        state=rtc.StreamState.PAUSED if event.paused else rtc.StreamState.ACTIVE,
    )
    return rtc.SignalResponse(stream_state_update=rtc.StreamStateUpdate(stream_states=[info]))


def subscription_failed(track: TrackSid, *, codec: bool) -> rtc.SignalResponse:
    """A track cannot be delivered: it is not there, or its codec is none of the client's."""
    error = models.SubscriptionError
    err = error.SE_CODEC_UNSUPPORTED if codec else error.SE_TRACK_NOTFOUND
    return rtc.SignalResponse(subscription_response=rtc.SubscriptionResponse(track_sid=track, err=err))


def reason_of(error: AirsideError) -> rtc.RequestResponse.Reason:
    """Why a request was refused, in the wire's words."""
    if isinstance(error, DataTrackError):
        return _DATA_TRACK_REASONS[error.reason]
    return next(
        (reason for kind, reason in _REASONS if isinstance(error, kind)),
        rtc.RequestResponse.Reason.INVALID_REQUEST,
    )


def answer(sdp: str, offer_id: int, bound: tuple[tuple[TrackSid, Mid], ...]) -> rtc.SignalResponse:
    """Our answer to the client's offer of that number, with what its sections carry."""
    tracks: dict[str, str] = {mid: track for track, mid in bound}
    return rtc.SignalResponse(
        answer=rtc.SessionDescription(type="answer", sdp=sdp, id=offer_id, mid_to_track_id=tracks)
    )


def leave(code: sink.LeaveCode, reconnect: sink.Reconnect) -> rtc.SignalResponse:
    """The last word."""
    return rtc.SignalResponse(
        leave=rtc.LeaveRequest(
            can_reconnect=reconnect is not sink.Reconnect.NO,
            reason=enums.DISCONNECT_REASONS[code],
            action=enums.ACTIONS[reconnect],
        )
    )


def track_published(cid: str, track: TrackInfo) -> rtc.SignalResponse:
    """A declared track has its id."""
    return rtc.SignalResponse(
        track_published=rtc.TrackPublishedResponse(cid=cid, track=mapping.track_info(track))
    )
