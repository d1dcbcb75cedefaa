"""What our own offers list: payload types, header extension ids. Numbers are libwebrtc's where it has one."""

from __future__ import annotations

from sfu.core.codecs import Codec, MediaKind
from sfu.transport.plan import NegotiatedCodec
from sfu.transport.sdp import extensions as uris
from sfu.transport.sdp.codecs import FEEDBACK, CodecPolicy, SelectedCodec
from sfu.transport.sdp.formats import format_number, parse_fmtp
from sfu.transport.sdp.section import ExtMap

# Codec, payload type, its RTX, format parameters. Never 64..95 (RFC 5761 section 4).
_PAYLOADS: tuple[tuple[Codec, int, int | None, str], ...] = (
    (Codec.OPUS, 111, None, "minptime=10;useinbandfec=1"),
    (Codec.RED, 63, None, "111/111"),
    (Codec.VP8, 96, 97, ""),
    (Codec.H264, 108, 109, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
    (Codec.H264, 104, 105, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
    (Codec.H264, 112, 113, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"),
    (Codec.VP9, 98, 99, "profile-id=0"),
    (Codec.VP9, 100, 101, "profile-id=2"),
    (Codec.AV1, 45, 46, "level-idx=5;profile=0;tier=0"),
    (Codec.H265, 116, 117, "level-id=93;profile-id=1;tier-flag=0;tx-mode=SRST"),
)
_ENCODINGS = {Codec.OPUS: "opus", Codec.RED: "red"}

_EXTENSION_IDS = {
    uris.AUDIO_LEVEL: 1,
    uris.ABS_SEND_TIME: 2,
    uris.TRANSPORT_CC: 3,
    uris.MID: 4,
    uris.PLAYOUT_DELAY: 5,
    uris.ABS_CAPTURE_TIME: 6,
    uris.RID: 10,
    uris.REPAIRED_RID: 11,
    uris.DEPENDENCY_DESCRIPTOR: 12,
    uris.VIDEO_ORIENTATION: 13,
    uris.TRANSMISSION_OFFSET: 14,
}


def offered_codecs(kind: MediaKind, policy: CodecPolicy) -> tuple[SelectedCodec, ...]:
    """Every payload type we offer for a kind, in the policy's order."""
    enabled = policy.enabled(kind)
    rows = [row for row in _PAYLOADS if row[0] in enabled]
    offered: list[SelectedCodec] = []
    for codec, payload_type, repair, fmtp in sorted(rows, key=lambda row: enabled.index(row[0])):
        number = format_number(codec, parse_fmtp(fmtp))
        if number is None:
            continue
        audio = kind is MediaKind.AUDIO
        agreed = NegotiatedCodec(
            payload_type=payload_type,
            codec=codec,
            clock_rate=48000 if audio else 90000,
            channels=2 if audio else 1,
            fmtp=fmtp,
            rtx_payload_type=repair if policy.rtx else None,
            nack=True,
            format=number,
            pli=not audio,
            fir=not audio,
        )
        offered.append(SelectedCodec(agreed, _ENCODINGS.get(codec, codec.value.upper()), FEEDBACK[kind]))
    return tuple(offered)


def offered_extensions(kind: MediaKind) -> tuple[ExtMap, ...]:
    """Header extensions we offer for a kind, by id; an id means the same in every section."""
    wanted = uris.ANSWERED[kind]
    return tuple(
        ExtMap(number, uri)
        for uri, number in sorted(_EXTENSION_IDS.items(), key=lambda item: item[1])
        if uri in wanted
    )
