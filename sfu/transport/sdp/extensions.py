"""RTP header extensions: which are taken, under which id (RFC 8285)."""

from __future__ import annotations

from collections.abc import Sequence

from sfu.core.codecs import Codec, MediaKind
from sfu.transport.errors import NegotiationError
from sfu.transport.sdp.model import Direction
from sfu.transport.sdp.section import ExtMap, Section

MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
VIDEO_ORIENTATION = "urn:3gpp:video-orientation"
PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
TRANSMISSION_OFFSET = "urn:ietf:params:rtp-hdrext:toffset"
DEPENDENCY_DESCRIPTOR = (
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

_COMMON = frozenset(
    {MID, RID, REPAIRED_RID, ABS_SEND_TIME, TRANSPORT_CC, ABS_CAPTURE_TIME, TRANSMISSION_OFFSET}
)
ANSWERED: dict[MediaKind, frozenset[str]] = {
    MediaKind.AUDIO: _COMMON | {AUDIO_LEVEL},
    MediaKind.VIDEO: _COMMON | {VIDEO_ORIENTATION, PLAYOUT_DELAY, DEPENDENCY_DESCRIPTOR},
}

RESERVED_ID = 15  # ends a block of one-byte headers (RFC 8285 section 4.2)
LAST_ONE_BYTE_ID = 14


def takes_descriptor(section: Section, codecs: Sequence[Codec]) -> bool:
    """Whether the dependency descriptor is any good in a section with these codecs.

    A peer that sends VP8 leaves the temporal layer and picture ids out of its payloads when the descriptor
    tells them (libwebrtc `MinimizeDescriptor`), so it must be going to send something else.
    """
    return not section.direction.sends or (bool(codecs) and codecs[0] in (Codec.AV1, Codec.VP9))


def select_extensions(
    section: Section, kind: MediaKind, ids: dict[int, str], *, allow_mixed: bool, described: bool
) -> tuple[ExtMap, ...]:
    """Extensions of a section that are agreed to, with the direction the answer states.

    Whether the section sends or receives makes no difference: libwebrtc derives what later sections may use
    from what any transceiver agreed to.

    Args:
        section: The offered one.
        kind: What it carries.
        ids: URI by id of the BUNDLE group so far, whether agreed to or not; grows.
        allow_mixed: Two-byte headers are agreed, so ids above 14 can be used.
        described: Layers may be told by the dependency descriptor; see `takes_descriptor`.

    Raises:
        NegotiationError: An id means two things in one BUNDLE group (RFC 8843 section 7.1.3).
    """
    taken: dict[str, ExtMap] = {}
    for offered in section.extensions:
        if ids.setdefault(offered.id, offered.uri) != offered.uri:
            raise NegotiationError(
                section.mid,
                f"extmap id {offered.id} is both {ids[offered.id]} and {offered.uri} in one BUNDLE group",
            )
        if offered.uri not in ANSWERED[kind] or offered.uri in taken:
            continue
        # A structure of several layers does not fit a one-byte header.
        if offered.uri == DEPENDENCY_DESCRIPTOR and not (described and allow_mixed):
            continue
        if offered.id > LAST_ONE_BYTE_ID and (
            not allow_mixed or offered.id == RESERVED_ID or offered.id > 255
        ):
            continue
        if offered.direction is Direction.INACTIVE:
            continue
        direction = offered.direction.reversed if offered.direction is not None else None
        taken[offered.uri] = ExtMap(offered.id, offered.uri, direction)
    return tuple(taken.values())
