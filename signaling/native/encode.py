"""Domain events to frames of the native dialect. Pure.

What goes to many is turned into JSON once (`Shared.encoded`); for each receiver only the sequence number, or
the own picture in `joined`, is put around those bytes.
"""

from collections.abc import Callable, Iterable
from typing import assert_never

from sfu.core.shared import Shared
from sfu.participants import sink
from sfu.participants.info import ParticipantInfo, ParticipantQuality, RoomInfo, Speaker
from sfu.participants.permissions import Permissions
from sfu.tracks.data_track import DataTrackInfo
from sfu.tracks.track import TrackInfo
from signaling.native import messages, values

DIALECT = "native"


def track_info(track: TrackInfo) -> values.TrackInfo:
    """A track as the wire shows it."""
    return values.TrackInfo(
        id=track.sid,
        participant_id=track.participant,
        identity=track.identity,
        kind=track.kind.value,
        source=track.source.value,
        name=track.name,
        muted=track.muted,
        mime=track.mime,
        simulcast=track.simulcast,
        width=track.width_px,
        height=track.height_px,
        layers=tuple(
            values.Layer(
                rid=layer.rid or "",
                width=layer.width_px,
                height=layer.height_px,
                max_bitrate_bps=layer.bitrate_bps,
                active=layer.active,
            )
            for layer in track.layers
        ),
        encryption=track.encryption.value,
        stereo=track.stereo,
    )


def permissions(now: Permissions) -> values.Permissions:
    """Permissions as the wire shows them."""
    sources = now.can_publish_sources
    return values.Permissions(
        can_subscribe=now.can_subscribe,
        can_publish=now.can_publish,
        can_publish_data=now.can_publish_data,
        can_publish_sources=None if sources is None else tuple(sorted(source.value for source in sources)),
        can_update_metadata=now.can_update_metadata,
        hidden=now.hidden,
    )


def participant_info(participant: ParticipantInfo) -> values.ParticipantInfo:
    """A participant as the wire shows it."""
    return values.ParticipantInfo(
        id=participant.sid,
        identity=participant.identity,
        name=participant.name,
        metadata=participant.metadata,
        attributes=dict(participant.attributes),
        kind=participant.kind.value,
        state=participant.state.value,
        joined_at=participant.joined_at,
        version=participant.version,
        permissions=permissions(participant.permissions),
        tracks=tuple(track_info(track) for track in participant.tracks),
        data_tracks=tuple(data_track_info(track) for track in participant.data_tracks),
    )


def data_track_info(track: DataTrackInfo) -> values.DataTrackInfo:
    """A data track as the wire shows it."""
    return values.DataTrackInfo(id=track.sid, name=track.name, encryption=track.encryption.value)


def room_info(room: RoomInfo) -> values.RoomInfo:
    """A room as the wire shows it."""
    return values.RoomInfo(
        id=room.sid,
        name=room.name,
        metadata=room.metadata,
        created_at=room.created_at,
        max_participants=room.max_participants,
        recording=room.recording,
    )


def section_tracks(published: Iterable[sink.PublishedTrack]) -> tuple[values.SectionTrack, ...]:
    """What became of the client's sections."""
    return tuple(values.SectionTrack(mid=entry.mid, track=track_info(entry.track)) for entry in published)


def message(model: values.Message) -> bytes:
    """One frame, or a part of one."""
    return model.model_dump_json().encode()


def event(seq: int, news: sink.DomainEvent, begin: Callable[[sink.Joined | sink.Resumed], bytes]) -> bytes:
    """The frame of one event. `begin` makes those that only the session's dialect can."""
    match news:
        case sink.Joined() | sink.Resumed():
            body = begin(news)
        case sink.Moved(state=now):
            body = with_state(messages.MovedHead(), now)
        case sink.ParticipantsChanged(change):
            body = change.encoded(DIALECT, _participants_change)
        case sink.RoomUpdated(room):
            body = _wrap(type=b'"room"', room=room.encoded(DIALECT, _room))
        case sink.SpeakersChanged(speakers):
            body = speakers.encoded(DIALECT, _speakers)
        case sink.QualityChanged(qualities):
            body = qualities.encoded(DIALECT, _qualities)
        case _:
            body = message(_own(news))
    # Every body is a JSON object with at least a type; its number goes first.
    return b'{"seq":%d,%b' % (seq, body.removeprefix(b'{"seq":0,').removeprefix(b"{"))


def local_route(route: tuple[int, int] | None) -> values.LocalRoute | None:
    """Where an agent beside the server finds its transport."""
    return None if route is None else values.LocalRoute(worker=route[0], route=route[1])


def state(now: sink.JoinedState) -> bytes:
    """The `state` of `joined` and `resumed`."""
    bindings = (values.Binding(track_id=track, mid=mid) for track, mid in now.bound)
    return _wrap(
        room=now.room.encoded(DIALECT, _room),
        participant=_participant(now.participant),
        # Each join sees another list, so only entries are kept: a thousand lists would hold 150 MB.
        participants=_participants(now.participants.value),
        tracks=_list(message(entry) for entry in section_tracks(now.published)),
        subscriptions=_list(message(binding) for binding in bindings),
    )


def with_state(envelope: values.Message, now: sink.JoinedState | None) -> bytes:
    """A message whose last field becomes `state`."""
    return b'%b,"state":%b}' % (message(envelope).removesuffix(b"}"), b"null" if now is None else state(now))


def _own(news: sink.DomainEvent) -> messages.ServerMessage:
    match news:
        case sink.SubscriptionBound(track=track, mid=mid):
            return messages.Subscribed(track_id=track, mid=mid)
        case sink.SubscriptionUnbound(track=track, mid=mid):
            return messages.Unsubscribed(track_id=track, mid=mid)
        case sink.SectionsNeeded(audio=audio, video=video):
            return messages.SectionsNeeded(audio=audio, video=video)
        case sink.SubscriptionFailed(track=track, code=code, text=text):
            return messages.SubscriptionFailed(track_id=track, code=code, message=text)
        case sink.StreamStateChanged():
            return messages.StreamState(
                track_id=news.track,
                state="paused" if news.paused else "active",
                height=news.height_px,
                reason=news.reason.value,
                message=news.text,
                estimate_bps=news.estimate_bps,
                available_bps=news.available_bps,
                needed_bps=news.needed_bps,
            )
        case sink.WantedLayersChanged(track=track, layers=layers):
            wanted = (values.WantedLayer(rid=each.rid, wanted=each.wanted) for each in layers)
            return messages.WantedLayers(track_id=track, layers=tuple(wanted))
        case sink.PermissionsChanged(permissions=now):
            return messages.PermissionsUpdate(permissions=permissions(now))
        case sink.TrackMutedByServer(track=track, muted=muted):
            return messages.Muted(track_id=track, muted=muted)
        case sink.TrackUnpublishedByServer(track=track, code=code, text=text):
            return messages.Unpublished(track_id=track, code=code, message=text)
        case sink.MediaStateChanged(state=media):
            return messages.TransportUpdate.model_validate({"state": media})
        case sink.TrackReceived(track=track):
            return messages.TrackReceived(track_id=track)
        case sink.TrackAccessChanged(track=track, participant=participant, allowed=allowed):
            return messages.TrackAccess(track_id=track, participant_id=participant, allowed=allowed)
        case sink.DataReceived(sender=sender, topic=topic, payload=payload, reliable=reliable):
            return messages.DataReceived(
                identity=sender or "", topic=topic, payload=payload, reliable=reliable
            )
        case sink.DataTracksChanged(tracks=tracks):
            return messages.DataTracks(tracks=tuple(_received(*item) for item in tracks.items()))
        case sink.Leave(code=leave, text=text, reconnect=reconnect):
            return messages.LeaveNotice(code=leave.value, message=text, reconnect=reconnect.value)
        case (
            sink.Joined()
            | sink.Moved()
            | sink.Resumed()
            | sink.ParticipantsChanged()
            | sink.RoomUpdated()
            | sink.SpeakersChanged()
            | sink.QualityChanged()
        ):
            raise TypeError(f"{type(news).__name__} is encoded by `event`")
        case sink.OfferMade():
            raise TypeError("native clients have one transport, on which they offer")
        case _:
            assert_never(news)


def _received(number: int, track: DataTrackInfo) -> values.ReceivedDataTrack:
    return values.ReceivedDataTrack(
        number=number,
        track_id=track.sid,
        participant_id=track.participant,
        identity=track.identity,
        name=track.name,
    )


def _participants_change(change: sink.ParticipantsChange) -> bytes:
    left = (
        message(values.Departure(id=gone.sid, identity=gone.identity, reason=gone.reason.value))
        for gone in change.left
    )
    return _wrap(
        type=b'"participants"',
        left=_list(left),
        joined=_participants(change.joined),
        updated=_participants(change.updated),
    )


def _participants(pictures: Iterable[Shared[ParticipantInfo]]) -> bytes:
    return _list(picture.encoded(DIALECT, _participant) for picture in pictures)


def _participant(picture: ParticipantInfo) -> bytes:
    return message(participant_info(picture))


def _room(room: RoomInfo) -> bytes:
    return message(room_info(room))


def _speakers(speakers: tuple[Speaker, ...]) -> bytes:
    return message(
        messages.Speakers(
            speakers=tuple(
                values.Speaker(
                    participant_id=speaker.participant,
                    identity=speaker.identity,
                    track_id=speaker.track,
                    level=round(min(1.0, max(0.0, speaker.level)), 3),
                )
                for speaker in speakers
            )
        )
    )


def _qualities(qualities: tuple[ParticipantQuality, ...]) -> bytes:
    return message(
        messages.Quality(
            participants=tuple(
                values.ConnectionQuality(
                    participant_id=each.participant,
                    identity=each.identity,
                    quality=each.quality.value,
                    score=round(min(4.5, max(1.0, each.score)), 2),
                )
                for each in qualities
            )
        )
    )


def _list(items: Iterable[bytes]) -> bytes:
    return b"[%b]" % b",".join(items)


def _wrap(**fields: bytes) -> bytes:
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name, value in fields.items())
