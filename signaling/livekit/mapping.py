"""The domain's pictures of rooms, people and tracks as LiveKit's messages. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace

from livekit.protocol import models

from sfu.core.codecs import MediaKind, TrackSource
from sfu.participants.info import ParticipantInfo, RoomInfo
from sfu.participants.permissions import Permissions
from sfu.participants.sink import LeaveCode, ParticipantLeft
from sfu.tracks.data_track import DataTrackInfo
from sfu.tracks.hints import AudioFeature
from sfu.tracks.layers import LayerInfo
from sfu.tracks.track import Backup, TrackInfo
from signaling.livekit import enums

SIF_TRAILER_BYTES = 12  # what ends a frame that the server makes itself; it makes none, clients want some
RIDS = ("q", "h", "f")  # of the SDKs, lowest quality first
_SCREENS = frozenset({TrackSource.SCREEN_SHARE, TrackSource.SCREEN_SHARE_AUDIO})
_CAMERAS = frozenset({TrackSource.CAMERA, TrackSource.MICROPHONE})


def section_name(track: TrackInfo, sync: bool) -> tuple[str, str]:
    """Stream and track id of the section that carries a track: the clients read both."""
    group = stream_of(track) if sync else track.sid
    return f"{track.participant}|{group}", track.sid


def stream_of(track: TrackInfo) -> str:
    """Tracks of a participant with the same name belong together."""
    if track.hints.stream:
        return track.hints.stream
    if track.source in _CAMERAS:
        return "camera"
    return "screen" if track.source in _SCREENS else "unknown"


def track_info(track: TrackInfo) -> models.TrackInfo:
    """A track as the wire shows it."""
    video = track.kind is MediaKind.VIDEO
    layers = video_layers(track) if video else []
    mode = layer_mode(track) if video else models.VideoLayer.Mode.MODE_UNUSED
    codec = models.SimulcastCodecInfo(
        mime_type=track.mime,
        mid=track.mid,
        cid=track.cid,
        layers=layers,
        video_layer_mode=mode,
        sdp_cid=track.cid,
    )
    return models.TrackInfo(
        sid=track.sid,
        type=enums.TRACK_TYPES[track.kind],
        name=track.name,
        muted=track.muted,
        width=track.width_px,
        height=track.height_px,
        simulcast=len(layers) > 1 and mode == models.VideoLayer.Mode.ONE_SPATIAL_LAYER_PER_STREAM,
        disable_dtx=not track.hints.dtx,
        source=enums.TRACK_SOURCES[track.source],
        layers=layers,
        mime_type=track.mime,
        mid=track.mid,
        codecs=[codec, *_backup_codec(track, layers)],
        stereo=track.stereo,
        disable_red=not track.hints.red,
        encryption=enums.ENCRYPTION_TYPES[track.encryption],
        stream=stream_of(track),
        audio_features=_audio_features(track),
        backup_codec_policy=enums.BACKUP_CODEC_POLICIES[track.hints.backup_policy],
        packet_trailer_features=[
            enums.PACKET_TRAILER_FEATURES[feature] for feature in track.hints.trailer_features
        ],
    )


def _backup_codec(track: TrackInfo, layers: list[models.VideoLayer]) -> list[models.SimulcastCodecInfo]:
    """The second codec of a track, sent or only announced."""
    if not track.backup_mime:
        return []
    sent = track.backup or Backup(track.backup_mime, "", "")
    mode = models.VideoLayer.Mode.ONE_SPATIAL_LAYER_PER_STREAM
    return [
        models.SimulcastCodecInfo(
            mime_type=sent.mime,
            mid=sent.mid,
            cid=sent.cid,
            layers=layers,
            video_layer_mode=mode,
            sdp_cid=sent.cid,
        )
    ]


def layer_mode(track: TrackInfo) -> models.VideoLayer.Mode:
    """Whether its layers come in one stream."""
    if track.mime.lower() in enums.SVC_CODECS and not track.simulcast:
        return models.VideoLayer.Mode.MULTIPLE_SPATIAL_LAYERS_PER_STREAM
    return models.VideoLayer.Mode.ONE_SPATIAL_LAYER_PER_STREAM


def spatial_layers(track: TrackInfo) -> tuple[LayerInfo, ...]:
    """Its layers, lowest first: with SVC those announced, else the streams there are."""
    return track.hints.layers if len(track.hints.layers) > len(track.layers) else track.layers


def video_layers(track: TrackInfo) -> list[models.VideoLayer]:
    """The same on the wire."""
    return [
        models.VideoLayer(
            quality=_quality(index),
            width=layer.width_px,
            height=layer.height_px,
            bitrate=layer.bitrate_bps,
            spatial_layer=index,
            rid=layer.rid or "",
        )
        for index, layer in enumerate(spatial_layers(track))
    ]


def _quality(index: int) -> models.VideoQuality:
    return (models.VideoQuality.LOW, models.VideoQuality.MEDIUM, models.VideoQuality.HIGH)[min(index, 2)]


def _audio_features(track: TrackInfo) -> list[models.AudioTrackFeature]:
    if track.kind is not MediaKind.AUDIO:
        return []
    features = dict.fromkeys(track.hints.audio_features)
    if track.stereo:
        features[AudioFeature.STEREO] = None
    if not track.hints.dtx:
        features[AudioFeature.NO_DTX] = None
    return [enums.AUDIO_TRACK_FEATURES[feature] for feature in features]


def data_track_info(track: DataTrackInfo) -> models.DataTrackInfo:
    """A data track as the wire shows it."""
    shown = models.DataTrackInfo.FromString(track.description)
    shown.MergeFrom(
        models.DataTrackInfo(
            pub_handle=track.handle,
            sid=track.sid,
            name=track.name,
            encryption=enums.ENCRYPTION_TYPES[track.encryption],
        )
    )
    return shown


def permission(now: Permissions) -> models.ParticipantPermission:
    """Permissions as the wire shows them."""
    sources = now.can_publish_sources
    return models.ParticipantPermission(
        can_subscribe=now.can_subscribe,
        can_publish=now.can_publish,
        can_publish_data=now.can_publish_data,
        hidden=now.hidden,
        recorder=now.recorder,
        # A set that allows nothing must not look like the empty list, which allows everything.
        can_publish_sources=[
            enums.TRACK_SOURCES[source] for source in sorted(sources or {TrackSource.UNKNOWN})
        ]
        if sources is not None
        else [],
        can_update_metadata=now.can_update_metadata,
        agent=now.agent,
        can_subscribe_metrics=now.can_subscribe_metrics,
    )


def participant_info(participant: ParticipantInfo) -> models.ParticipantInfo:
    """A participant as the wire shows it."""
    return models.ParticipantInfo(
        sid=participant.sid,
        identity=participant.identity,
        state=enums.STATES[participant.state],
        tracks=[track_info(track) for track in participant.tracks],
        metadata=participant.metadata,
        joined_at=int(participant.joined_at),
        joined_at_ms=int(participant.joined_at * 1000),
        name=participant.name,
        version=participant.version,
        permission=permission(participant.permissions),
        is_publisher=bool(participant.tracks),
        kind=enums.KINDS[participant.kind],
        kind_details=enums.numbers_of(models.ParticipantInfo.KindDetail, participant.kind_details),  # type: ignore[arg-type]
        attributes=dict(participant.attributes),
        data_tracks=[data_track_info(track) for track in participant.data_tracks],
        client_protocol=participant.client.protocol,
        capabilities=enums.numbers_of(models.ClientInfo.Capability, participant.client.capabilities),  # type: ignore[arg-type]
    )


def departed(left: ParticipantLeft) -> models.ParticipantInfo:
    """Somebody who is gone, as he was: clients take what is missing for a change."""
    if left.info is not None:
        gone = participant_info(replace(left.info.value, tracks=()))
    else:
        gone = models.ParticipantInfo(sid=left.sid, identity=left.identity)
    gone.state = models.ParticipantInfo.State.DISCONNECTED
    gone.disconnect_reason = enums.DISCONNECT_REASONS[left.reason]
    return gone


def disconnect_reason(code: LeaveCode | None) -> models.DisconnectReason:
    """Why somebody is gone."""
    return enums.DISCONNECT_REASONS[code or LeaveCode.INTERNAL]


def is_handover(left: ParticipantLeft, arrived: Iterable[str]) -> bool:
    """Its identity lives on under another sid: clients see that by themselves."""
    return left.reason is LeaveCode.DUPLICATE_IDENTITY and left.identity in arrived


def room(info: RoomInfo, codecs: Iterable[models.Codec] = ()) -> models.Room:
    """A room as the wire shows it."""
    return models.Room(
        sid=info.sid,
        name=info.name,
        empty_timeout=int(info.empty_timeout_s),
        departure_timeout=int(info.departure_timeout_s),
        max_participants=info.max_participants,
        creation_time=int(info.created_at),
        creation_time_ms=int(info.created_at * 1000),
        enabled_codecs=list(codecs),
        metadata=info.metadata,
        num_participants=info.num_participants,
        num_publishers=info.num_publishers,
        active_recording=info.recording,
    )


def sif_trailer(info: RoomInfo) -> bytes:
    """Bytes of its own for each life of a room."""
    return hashlib.sha256(f"sif {info.sid}".encode()).digest()[:SIF_TRAILER_BYTES]
