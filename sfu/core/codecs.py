"""Media words: kinds, sources, codecs. Values are the wire's and the packet plane's."""

from __future__ import annotations

from enum import StrEnum


class MediaKind(StrEnum):
    """What a section, track or slot carries."""

    AUDIO = "audio"
    VIDEO = "video"


class TrackSource(StrEnum):
    """Where a publisher says its media comes from. Names as in LiveKit's `canPublishSources`."""

    CAMERA = "camera"
    MICROPHONE = "microphone"
    SCREEN_SHARE = "screen_share"
    SCREEN_SHARE_AUDIO = "screen_share_audio"
    UNKNOWN = "unknown"

    @property
    def kind(self) -> MediaKind | None:
        """What can come from there; None: either."""
        return _SOURCE_KINDS.get(self)


_SOURCE_KINDS = {
    TrackSource.CAMERA: MediaKind.VIDEO,
    TrackSource.SCREEN_SHARE: MediaKind.VIDEO,
    TrackSource.MICROPHONE: MediaKind.AUDIO,
    TrackSource.SCREEN_SHARE_AUDIO: MediaKind.AUDIO,
}


class Encryption(StrEnum):
    """End-to-end encryption of a track's payload. The server records it and never looks inside."""

    NONE = "none"
    GCM = "gcm"
    CUSTOM = "custom"


class Codec(StrEnum):
    """Codecs the plane understands; values are the encoding names of `a=rtpmap`, in lower case."""

    OPUS = "opus"
    RED = "red"
    VP8 = "vp8"
    H264 = "h264"
    VP9 = "vp9"
    AV1 = "av1"
    H265 = "h265"

    @property
    def kind(self) -> MediaKind:
        """Audio or video."""
        return MediaKind.AUDIO if self in _AUDIO else MediaKind.VIDEO

    @property
    def mime(self) -> str:
        """`audio/opus`, `video/VP8`: the spelling clients compare with."""
        return f"{self.kind.value}/{self.value if self in _AUDIO else self.value.upper()}"


_AUDIO = frozenset({Codec.OPUS, Codec.RED})
