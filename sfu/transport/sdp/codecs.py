"""Which of the offered payload types are taken, and what is said about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sfu.core.codecs import Codec, MediaKind
from sfu.core.ids import Mid
from sfu.transport.errors import NoCommonCodecError
from sfu.transport.plan import NegotiatedCodec
from sfu.transport.sdp.formats import format_name, format_number, parse_fmtp
from sfu.transport.sdp.grammar import read_number
from sfu.transport.sdp.section import Payload, Section

RTCP_CONFLICT = range(64, 96)  # with the marker bit these look like RTCP on one port (RFC 5761 section 4)

TRANSPORT_CC = "transport-cc"
REMB = "goog-remb"
FEEDBACK: dict[MediaKind, tuple[str, ...]] = {
    MediaKind.AUDIO: (TRANSPORT_CC, "nack"),
    MediaKind.VIDEO: (REMB, TRANSPORT_CC, "ccm fir", "nack", "nack pli"),
}

_CODECS = {codec.value: codec for codec in Codec}
# Clock rate, channels; RFC 7587 section 7.
_SHAPES: dict[Codec, tuple[int, int]] = {Codec.OPUS: (48000, 2), Codec.RED: (48000, 2)}
_VIDEO_SHAPE = (90000, 1)

# Parameters that describe the format, which an answer repeats. Others say what one side prefers to receive.
_FORMAT_PARAMETERS: dict[Codec, tuple[str, ...]] = {
    Codec.H264: ("level-asymmetry-allowed", "packetization-mode", "profile-level-id"),
    Codec.VP9: ("profile-id",),
    Codec.AV1: ("level-idx", "profile", "tier"),
    Codec.H265: ("level-id", "profile-id", "tier-flag", "tx-mode"),
}
_OPUS_WANTED = "minptime=10;useinbandfec=1"  # what we ask a sender for: FEC covers single losses


@dataclass(frozen=True, slots=True)
class CodecPolicy:
    """What may be agreed to. Order matters in our own offers; an answer follows the peer's order."""

    audio: tuple[Codec, ...] = (Codec.OPUS, Codec.RED)
    """RED (RFC 2198) only beside the Opus that is inside."""
    video: tuple[Codec, ...] = (Codec.VP8, Codec.H264, Codec.VP9, Codec.AV1, Codec.H265)
    preferred: Mapping[Mid, Codec] = field(default_factory=dict)
    """Listed first in the answer of that section, where it is offered."""
    rtx: bool = True

    @classmethod
    def of(cls, names: Iterable[str]) -> CodecPolicy:
        """These codecs, by their names. ValueError for one that the packet plane does not know."""
        codecs = [Codec(name) for name in names]
        if Codec.OPUS in codecs:
            # Redundancy around Opus is no codec of its own.
            codecs.append(Codec.RED)
        return cls(
            audio=tuple(codec for codec in codecs if codec.kind is MediaKind.AUDIO),
            video=tuple(codec for codec in codecs if codec.kind is MediaKind.VIDEO),
        )

    def enabled(self, kind: MediaKind) -> tuple[Codec, ...]:
        """Codecs of a kind."""
        return self.audio if kind is MediaKind.AUDIO else self.video


@dataclass(frozen=True, slots=True)
class SelectedCodec:
    """One payload type that is agreed to, with what an SDP line needs beyond the plan."""

    codec: NegotiatedCodec
    encoding: str
    feedback: tuple[str, ...]


def select_codecs(
    section: Section, kind: MediaKind, policy: CodecPolicy, *, redundant: bool | None = None
) -> tuple[SelectedCodec, ...]:
    """Payload types of the section that are agreed to, in the peer's order; a preferred codec first.

    RED stands first if `redundant`, so that a sender uses it; it is not agreed to if that is False. H.264 is
    told apart by packetization mode and profile (RFC 6184 section 8.2.2), VP9 and AV1 by profile;
    several payload types of one codec are kept.

    Raises:
        NoCommonCodecError: None is.
    """
    enabled = policy.enabled(kind)
    retransmission = _retransmission(section) if policy.rtx and kind is MediaKind.VIDEO else {}
    selected: list[SelectedCodec] = []
    for payload in section.payloads:
        codec = _codec_of(payload, kind)
        if codec is None or codec not in enabled or payload.payload_type in RTCP_CONFLICT:
            continue
        if codec is Codec.RED and (redundant is False or not _surrounds_opus(payload, section)):
            continue
        number, fmtp = _format(codec, payload.fmtp)
        if number is None:
            continue
        feedback = tuple(item for item in FEEDBACK[kind] if item in payload.feedback)
        agreed = NegotiatedCodec(
            payload_type=payload.payload_type,
            codec=codec,
            clock_rate=payload.clock_rate,
            channels=payload.channels,
            fmtp=fmtp,
            rtx_payload_type=retransmission.get(payload.payload_type),
            nack="nack" in feedback,
            format=number,
            pli="nack pli" in feedback,
            fir="ccm fir" in feedback,
        )
        selected.append(SelectedCodec(agreed, payload.encoding, feedback))
    if all(item.codec.codec is Codec.RED for item in selected):
        raise NoCommonCodecError(
            section.mid,
            offered_names(section, kind),
            tuple(format_name(codec, {}) for codec in enabled if codec is not Codec.RED),
        )
    wanted = policy.preferred.get(Mid(section.mid))
    if wanted is None and redundant:
        wanted = Codec.RED
    return tuple(sorted(selected, key=lambda item: item.codec.codec is not wanted))


def offered_names(section: Section, kind: MediaKind) -> tuple[str, ...]:
    """Codecs of a section as people read them, each once, without RTX, RED and FEC."""
    names: dict[str, None] = {}
    for payload in section.payloads:
        codec = _codec_of(payload, kind)
        if codec is Codec.RED:
            continue
        if codec is not None:
            names[format_name(codec, payload.parameters)] = None
        elif payload.encoding.lower() not in ("rtx", "red", "ulpfec", "flexfec-03", "telephone-event", "cn"):
            names[payload.encoding] = None
    return tuple(names)


def _codec_of(payload: Payload, kind: MediaKind) -> Codec | None:
    codec = _CODECS.get(payload.encoding.lower())
    if codec is None:
        return None
    shape = _SHAPES.get(codec, _VIDEO_SHAPE)
    if codec.kind is not kind or (payload.clock_rate, payload.channels) != shape:
        return None
    return codec


def _surrounds_opus(payload: Payload, section: Section) -> bool:
    """Everything in this RED is one Opus of the section (RFC 2198 section 5)."""
    inside = set(payload.fmtp.split("/"))
    opus = (item.payload_type for item in section.payloads if _codec_of(item, MediaKind.AUDIO) is Codec.OPUS)
    return len(inside) == 1 and any(str(number) in inside for number in opus)


def _retransmission(section: Section) -> dict[int, int]:
    """RTX payload type by the one it repeats (RFC 4588 section 8.6)."""
    found: dict[int, int] = {}
    for payload in section.payloads:
        if payload.encoding.lower() == "rtx" and payload.payload_type not in RTCP_CONFLICT:
            repeated = read_number(payload.parameters.get("apt", ""), 127)
            if repeated is not None:
                found.setdefault(repeated, payload.payload_type)
    return found


# The same few dozen values come with every offer of a browser.
@lru_cache(maxsize=256)
def _format(codec: Codec, fmtp: str) -> tuple[int | None, str]:
    """The format's number, and the parameters that an answer states."""
    parameters = parse_fmtp(fmtp)
    return format_number(codec, parameters), _answer_fmtp(codec, parameters)


def _answer_fmtp(codec: Codec, parameters: Mapping[str, str]) -> str:
    if codec is Codec.OPUS:
        # A sender that has stereo to give may give it; others would only spend bits.
        return _OPUS_WANTED + (";stereo=1" if parameters.get("sprop-stereo") == "1" else "")
    if codec is Codec.RED:
        return "/".join(parameters)
    return ";".join(
        f"{name}={parameters[name]}" for name in _FORMAT_PARAMETERS.get(codec, ()) if name in parameters
    )
