"""What a publisher says about a track for its receivers' sake. Handed on; the server acts on none of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sfu.tracks.layers import LayerInfo


class AudioFeature(StrEnum):
    """How sound was captured or is sent."""

    STEREO = "stereo"
    NO_DTX = "no_dtx"
    AUTO_GAIN_CONTROL = "auto_gain_control"
    ECHO_CANCELLATION = "echo_cancellation"
    NOISE_SUPPRESSION = "noise_suppression"
    ENHANCED_NOISE_CANCELLATION = "enhanced_noise_cancellation"
    PRECONNECT_BUFFER = "preconnect_buffer"


class TrailerFeature(StrEnum):
    """What is appended to each frame of a video track."""

    USER_TIMESTAMP = "user_timestamp"
    FRAME_ID = "frame_id"
    USER_DATA = "user_data"


class BackupPolicy(StrEnum):
    """What happens for a receiver that cannot decode a track's first codec."""

    PREFER_REGRESSION = "prefer_regression"
    """All get the second codec where that is possible; with our server as in `REGRESSION`."""
    SIMULCAST = "simulcast"
    """It gets the second codec, all others the first."""
    REGRESSION = "regression"
    """All who can take the second codec get it, and the first may stop."""


@dataclass(frozen=True, slots=True)
class TrackHints:
    """All of it; the defaults say nothing."""

    stream: str = ""
    """Tracks of one publisher with the same name belong together."""
    dtx: bool = True
    """Silence may be left out (RFC 6716 section 2.1.9)."""
    red: bool = True
    """Sound may be sent with redundancy (RFC 2198)."""
    audio_features: tuple[AudioFeature, ...] = ()
    trailer_features: tuple[TrailerFeature, ...] = ()
    backup_policy: BackupPolicy = BackupPolicy.PREFER_REGRESSION
    layers: tuple[LayerInfo, ...] = ()
    """As announced, lowest first: with SVC there is one stream, and the track itself has one layer."""


NO_HINTS = TrackHints()
