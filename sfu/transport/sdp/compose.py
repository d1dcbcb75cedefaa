"""Lines of the sections we write. What is repeated in every section is there because aiortc wants it so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sfu.transport.plan import SlotIds
from sfu.transport.sdp.agreed import LocalDescription, Slot
from sfu.transport.sdp.candidates import write_candidate
from sfu.transport.sdp.codecs import SelectedCodec
from sfu.transport.sdp.model import Attribute, Connection, Direction, MediaDescription
from sfu.transport.sdp.section import ExtMap

PORT = 9  # discard: the real one is in the candidates (RFC 8840 section 4.1.1)
RTP_PROTOCOL = "UDP/TLS/RTP/SAVPF"
SCTP_PROTOCOL = "UDP/DTLS/SCTP"
SCTP_FORMAT = "webrtc-datachannel"
SCTP_PORT = 5000  # RFC 8841 leaves it open, every stack uses this one
MAX_MESSAGE_BYTES = 64 * 1024  # the longest data message the envelope admits; RFC 8841's default


def transport_lines(local: LocalDescription, setup: str) -> Iterator[Attribute]:
    """ICE and DTLS of one section. Candidates too: aiortc takes those of the last section of a bundle."""
    yield Attribute("ice-ufrag", local.ufrag)
    yield Attribute("ice-pwd", local.pwd)
    yield Attribute("fingerprint", local.fingerprint)
    yield Attribute("setup", setup)
    for candidate in local.candidates:
        yield Attribute("candidate", write_candidate(candidate))
    yield Attribute("end-of-candidates")


def extension_lines(extensions: Iterable[ExtMap]) -> Iterator[Attribute]:
    """`a=extmap`, with a direction where there is one."""
    for item in extensions:
        suffix = f"/{item.direction}" if item.direction is not None else ""
        yield Attribute("extmap", f"{item.id}{suffix} {item.uri}")


def codec_lines(codecs: Iterable[SelectedCodec]) -> Iterator[Attribute]:
    """`a=rtpmap`, `a=rtcp-fb` and `a=fmtp`, each codec followed by its RTX."""
    for item in codecs:
        codec, number = item.codec, str(item.codec.payload_type)
        channels = f"/{codec.channels}" if codec.channels > 1 else ""
        yield Attribute("rtpmap", f"{number} {item.encoding}/{codec.clock_rate}{channels}")
        for feedback in item.feedback:
            yield Attribute("rtcp-fb", f"{number} {feedback}")
        if codec.fmtp:
            yield Attribute("fmtp", f"{number} {codec.fmtp}")
        if codec.rtx_payload_type is not None:
            yield Attribute("rtpmap", f"{codec.rtx_payload_type} rtx/{codec.clock_rate}")
            yield Attribute("fmtp", f"{codec.rtx_payload_type} apt={number}")


def codec_formats(codecs: Iterable[SelectedCodec]) -> tuple[str, ...]:
    """Payload types for the m= line, each codec followed by its RTX."""
    numbers: list[str] = []
    for item in codecs:
        numbers.append(str(item.codec.payload_type))
        if item.codec.rtx_payload_type is not None:
            numbers.append(str(item.codec.rtx_payload_type))
    return tuple(numbers)


def ssrc_lines(ids: SlotIds, cname: str, *, repaired: bool) -> Iterator[Attribute]:
    """The stable SSRC of a stream and of its RTX, for receivers that route by SSRC."""
    if repaired:
        yield Attribute("ssrc-group", f"FID {ids.ssrc} {ids.rtx_ssrc}")
    yield Attribute("ssrc", f"{ids.ssrc} cname:{cname}")
    if repaired:
        yield Attribute("ssrc", f"{ids.rtx_ssrc} cname:{cname}")


def media_section(
    mid: str | None,
    kind: str,
    protocol: str,
    direction: Direction,
    *,
    transport: Iterable[Attribute],
    codecs: tuple[SelectedCodec, ...],
    extensions: Iterable[ExtMap],
    rtcp_rsize: bool,
    msid: tuple[str, str] | None,
    slots: tuple[Slot, ...],
    cname: str,
    rids: tuple[str, ...] = (),
    rid_direction: str = "recv",
) -> MediaDescription:
    """An audio or video section in use."""
    lines = [] if mid is None else [Attribute("mid", mid)]
    lines.append(Attribute(direction.value))
    if msid is not None:
        lines.append(Attribute("msid", " ".join(msid)))
    lines += transport
    lines.append(Attribute("rtcp-mux"))
    if rtcp_rsize:
        lines.append(Attribute("rtcp-rsize"))
    lines += extension_lines(extensions)
    lines += codec_lines(codecs)
    for rid in rids:
        lines.append(Attribute("rid", f"{rid} {rid_direction}"))
    if rids:
        lines.append(Attribute("simulcast", f"{rid_direction} {';'.join(rids)}"))
    repaired = any(item.codec.rtx_payload_type is not None for item in codecs)
    for slot in slots:
        if slot.rid is None:
            lines += ssrc_lines(slot.ids, cname, repaired=repaired)
    return MediaDescription(
        kind, PORT, protocol, codec_formats(codecs), connection=Connection(), attributes=tuple(lines)
    )


def data_section(mid: str | None, protocol: str, transport: Iterable[Attribute]) -> MediaDescription:
    """The section of the SCTP association (RFC 8841)."""
    lines = [] if mid is None else [Attribute("mid", mid)]
    lines += transport
    lines.append(Attribute("sctp-port", str(SCTP_PORT)))
    lines.append(Attribute("max-message-size", str(MAX_MESSAGE_BYTES)))
    return MediaDescription(
        "application", PORT, protocol, (SCTP_FORMAT,), connection=Connection(), attributes=tuple(lines)
    )


def rejected_section(
    mid: str | None, offered: MediaDescription, transport: Iterable[Attribute]
) -> MediaDescription:
    """A refused section: port 0, and all else as in a section in use, which aiortc reads all the same."""
    lines = [] if mid is None else [Attribute("mid", mid)]
    lines.append(Attribute(Direction.INACTIVE.value))
    lines += transport
    if offered.kind in ("audio", "video"):
        lines.append(Attribute("rtcp-mux"))
        lines += [
            Attribute(item.name, item.value) for item in offered.attributes if item.name in ("rtpmap", "fmtp")
        ]
    return MediaDescription(
        offered.kind, 0, offered.protocol, offered.formats, connection=Connection(), attributes=tuple(lines)
    )
