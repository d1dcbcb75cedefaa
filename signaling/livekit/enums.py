"""Words of the domain beside LiveKit's enumerations, both ways. Pure.

An unknown number of a newer client becomes the value that means least.
"""

from collections.abc import Iterable
from typing import Any

from livekit.protocol import models, rtc

from sfu.core.codecs import Codec, Encryption, MediaKind, TrackSource
from sfu.core.quality import QualityClass
from sfu.participants.info import ParticipantKind, ParticipantState
from sfu.participants.sink import LeaveCode, Reconnect
from sfu.tracks.hints import AudioFeature, BackupPolicy, TrailerFeature

TRACK_TYPES = {MediaKind.AUDIO: models.TrackType.AUDIO, MediaKind.VIDEO: models.TrackType.VIDEO}
MEDIA_KINDS = {number: kind for kind, number in TRACK_TYPES.items()}

TRACK_SOURCES = {
    TrackSource.UNKNOWN: models.TrackSource.UNKNOWN,
    TrackSource.CAMERA: models.TrackSource.CAMERA,
    TrackSource.MICROPHONE: models.TrackSource.MICROPHONE,
    TrackSource.SCREEN_SHARE: models.TrackSource.SCREEN_SHARE,
    TrackSource.SCREEN_SHARE_AUDIO: models.TrackSource.SCREEN_SHARE_AUDIO,
}
SOURCES = {number: source for source, number in TRACK_SOURCES.items()}

ENCRYPTION_TYPES = {
    Encryption.NONE: models.Encryption.NONE,
    Encryption.GCM: models.Encryption.GCM,
    Encryption.CUSTOM: models.Encryption.CUSTOM,
}
ENCRYPTIONS = {number: encryption for encryption, number in ENCRYPTION_TYPES.items()}

AUDIO_TRACK_FEATURES = {
    AudioFeature.STEREO: models.AudioTrackFeature.TF_STEREO,
    AudioFeature.NO_DTX: models.AudioTrackFeature.TF_NO_DTX,
    AudioFeature.AUTO_GAIN_CONTROL: models.AudioTrackFeature.TF_AUTO_GAIN_CONTROL,
    AudioFeature.ECHO_CANCELLATION: models.AudioTrackFeature.TF_ECHO_CANCELLATION,
    AudioFeature.NOISE_SUPPRESSION: models.AudioTrackFeature.TF_NOISE_SUPPRESSION,
    AudioFeature.ENHANCED_NOISE_CANCELLATION: models.AudioTrackFeature.TF_ENHANCED_NOISE_CANCELLATION,
    AudioFeature.PRECONNECT_BUFFER: models.AudioTrackFeature.TF_PRECONNECT_BUFFER,
}
AUDIO_FEATURES = {number: feature for feature, number in AUDIO_TRACK_FEATURES.items()}

PACKET_TRAILER_FEATURES = {
    TrailerFeature.USER_TIMESTAMP: models.PacketTrailerFeature.PTF_USER_TIMESTAMP,
    TrailerFeature.FRAME_ID: models.PacketTrailerFeature.PTF_FRAME_ID,
    TrailerFeature.USER_DATA: models.PacketTrailerFeature.PTF_USER_DATA,
}
TRAILER_FEATURES = {number: feature for feature, number in PACKET_TRAILER_FEATURES.items()}

BACKUP_CODEC_POLICIES = {
    BackupPolicy.PREFER_REGRESSION: models.BackupCodecPolicy.PREFER_REGRESSION,
    BackupPolicy.SIMULCAST: models.BackupCodecPolicy.SIMULCAST,
    BackupPolicy.REGRESSION: models.BackupCodecPolicy.REGRESSION,
}
BACKUP_POLICIES = {number: policy for policy, number in BACKUP_CODEC_POLICIES.items()}

KINDS = {
    ParticipantKind.STANDARD: models.ParticipantInfo.Kind.STANDARD,
    ParticipantKind.AGENT: models.ParticipantInfo.Kind.AGENT,
    ParticipantKind.INGRESS: models.ParticipantInfo.Kind.INGRESS,
    ParticipantKind.EGRESS: models.ParticipantInfo.Kind.EGRESS,
    ParticipantKind.SIP: models.ParticipantInfo.Kind.SIP,
    ParticipantKind.CONNECTOR: models.ParticipantInfo.Kind.CONNECTOR,
    ParticipantKind.BRIDGE: models.ParticipantInfo.Kind.BRIDGE,
    ParticipantKind.RELAY: models.ParticipantInfo.Kind.BRIDGE,
}

STATES = {
    ParticipantState.JOINING: models.ParticipantInfo.State.JOINED,
    ParticipantState.ACTIVE: models.ParticipantInfo.State.ACTIVE,
    ParticipantState.LEAVING: models.ParticipantInfo.State.DISCONNECTED,
    ParticipantState.GONE: models.ParticipantInfo.State.DISCONNECTED,
}

DISCONNECT_REASONS = {
    LeaveCode.CLIENT_LEFT: models.DisconnectReason.CLIENT_INITIATED,
    LeaveCode.DUPLICATE_IDENTITY: models.DisconnectReason.DUPLICATE_IDENTITY,
    LeaveCode.REMOVED: models.DisconnectReason.PARTICIPANT_REMOVED,
    LeaveCode.ROOM_DELETED: models.DisconnectReason.ROOM_DELETED,
    LeaveCode.ROOM_CLOSED: models.DisconnectReason.ROOM_CLOSED,
    LeaveCode.SERVER_SHUTDOWN: models.DisconnectReason.SERVER_SHUTDOWN,
    LeaveCode.SIGNAL_LOST: models.DisconnectReason.SIGNAL_CLOSE,
    LeaveCode.MEDIA_LOST: models.DisconnectReason.CONNECTION_TIMEOUT,
    LeaveCode.MEDIA_CLOSED: models.DisconnectReason.CLIENT_INITIATED,
    LeaveCode.MEDIA_FAILED: models.DisconnectReason.JOIN_FAILURE,
    LeaveCode.NEGOTIATION_FAILED: models.DisconnectReason.STATE_MISMATCH,
    LeaveCode.MOVED: models.DisconnectReason.MIGRATION,
    LeaveCode.SUPERSEDED: models.DisconnectReason.UNKNOWN_REASON,
    LeaveCode.INTERNAL: models.DisconnectReason.UNKNOWN_REASON,
}

QUALITIES = {
    QualityClass.LOST: models.ConnectionQuality.LOST,
    QualityClass.POOR: models.ConnectionQuality.POOR,
    QualityClass.GOOD: models.ConnectionQuality.GOOD,
    QualityClass.EXCELLENT: models.ConnectionQuality.EXCELLENT,
}

ACTIONS = {
    Reconnect.NO: rtc.LeaveRequest.Action.DISCONNECT,
    Reconnect.RESUME: rtc.LeaveRequest.Action.RESUME,
    Reconnect.REJOIN: rtc.LeaveRequest.Action.RECONNECT,
}

SVC_CODECS = frozenset({Codec.VP9.mime.lower(), Codec.AV1.mime.lower()})
"""Codecs whose layers come in one stream, unless each has a rid."""


def name_of(enum: Any, number: int) -> str:
    """The enumeration's name of a number, in lower case; its digits if it is newer than we are."""
    value = enum.DESCRIPTOR.values_by_number.get(number)
    return str(number) if value is None else str(value.name).lower()


def numbers_of(enum: Any, names: Iterable[str]) -> list[int]:
    """The numbers of what `name_of` gave; words it does not know are left out."""
    values = enum.DESCRIPTOR.values_by_name
    found = [values[name.upper()].number if name.upper() in values else name for name in names]
    return [int(item) for item in found if not isinstance(item, str) or item.isdecimal()]
