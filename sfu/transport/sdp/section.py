"""A media section of the peer, read: attributes become typed values. Nothing is decided here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from sfu.transport.errors import NegotiationError, SdpError
from sfu.transport.sdp.candidates import MAX_CANDIDATES, Candidate, parse_candidate
from sfu.transport.sdp.formats import parse_fmtp
from sfu.transport.sdp.grammar import read_number
from sfu.transport.sdp.model import Attribute, Direction, MediaDescription, SessionDescription

MAX_MID_BYTES = 16  # what a one-byte header extension carries (RFC 8285 section 4.2); so for rids
MAX_FINGERPRINTS = 8  # one per hash function is usual
MAX_SSRCS = 64  # per section; three layers with RTX and FEC are 9
MAX_RIDS = 16  # per section; browsers send at most 3

DIGEST_BYTES = {"sha-1": 20, "sha-224": 28, "sha-256": 32, "sha-384": 48, "sha-512": 64}
SETUPS = frozenset({"actpass", "active", "passive", "holdconn"})

_MID = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")
_RID = re.compile(r"[0-9A-Za-z_-]+")
_ICE_CHARS = re.compile(r"[0-9A-Za-z+/]+")


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload type with everything said about it."""

    payload_type: int
    encoding: str
    """As spelled in `a=rtpmap`."""
    clock_rate: int
    channels: int
    fmtp: str
    feedback: frozenset[str]
    """`a=rtcp-fb` values such as `nack pli`, also those given for `*`."""

    @property
    def parameters(self) -> dict[str, str]:
        """`fmtp` as a mapping."""
        return parse_fmtp(self.fmtp)


@dataclass(frozen=True, slots=True)
class ExtMap:
    """`a=extmap` (RFC 8285 section 8)."""

    id: int
    uri: str
    direction: Direction | None = None


@dataclass(frozen=True, slots=True)
class TransportAttributes:
    """ICE and DTLS attributes of one section, or of the session for all that have none."""

    ufrag: str | None = None
    pwd: str | None = None
    fingerprints: tuple[tuple[str, bytes], ...] = ()
    setup: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """What a peer says about one media section."""

    mid: str
    has_mid: bool
    """False: the peer gave none and `mid` is the section's number."""
    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    direction: Direction
    payloads: tuple[Payload, ...]
    """In the order of the m= line."""
    extensions: tuple[ExtMap, ...]
    transport: TransportAttributes
    candidates: tuple[Candidate, ...]
    msid: tuple[str, str] | None
    """Stream id (may be `-`) and track id."""
    rids: tuple[str, ...]
    """That the peer sends, in the order of `a=simulcast`, else of `a=rid`."""
    received_rids: tuple[str, ...]
    """That the peer takes; only in answers to a client of ours."""
    ssrcs: tuple[int, ...]
    ssrc_groups: tuple[tuple[str, tuple[int, ...]], ...]
    rtcp_mux: bool
    rtcp_rsize: bool
    bundle_only: bool
    allow_mixed: bool
    sctp_port: int | None

    @property
    def rejected(self) -> bool:
        """Port 0, and not because it is bundle-only (RFC 8843 section 6)."""
        return self.port == 0 and not self.bundle_only


def bundle_group(description: SessionDescription) -> tuple[str, ...] | None:
    """Mids of the first BUNDLE group, its tag first (RFC 8843); None when there is no such group."""
    for value in description.values("group"):
        semantics, *mids = value.split()
        if semantics == "BUNDLE":
            return tuple(dict.fromkeys(mids))
    return None


def read_sections(description: SessionDescription) -> tuple[Section, ...]:
    """Read every section.

    Raises:
        SdpError: An attribute that WebRTC gives a meaning cannot be read.
        NegotiationError: Two sections have the same mid, or declare the same SSRC.
    """
    reader = _Reader()
    for attribute in description.attributes:
        reader.read(attribute)
    session = TransportAttributes(
        reader.ufrag, reader.pwd, tuple(dict.fromkeys(reader.fingerprints)), reader.setup
    )
    sections = tuple(
        _read_section(media, index, session, defaults=reader) for index, media in enumerate(description.media)
    )
    mids: set[str] = set()
    owners: dict[int, str] = {}
    for section in sections:
        if section.mid in mids:
            raise NegotiationError(section.mid, "another section has the same mid")
        mids.add(section.mid)
        for ssrc in section.ssrcs:
            owner = owners.setdefault(ssrc, section.mid)
            if owner != section.mid:
                raise NegotiationError(section.mid, f"SSRC {ssrc} is declared in section {owner} too")
    return sections


def _read_section(
    media: MediaDescription, index: int, session: TransportAttributes, *, defaults: _Reader
) -> Section:
    reader = _Reader()
    for attribute in media.attributes:
        reader.read(attribute)
    return Section(
        mid=reader.mid if reader.mid is not None else str(index),
        has_mid=reader.mid is not None,
        kind=media.kind,
        port=media.port,
        protocol=media.protocol,
        formats=media.formats,
        direction=reader.direction or defaults.direction or Direction.SENDRECV,
        payloads=tuple(reader.payloads(media)),
        extensions=tuple(reader.extensions),
        transport=TransportAttributes(
            ufrag=reader.ufrag or session.ufrag,
            pwd=reader.pwd or session.pwd,
            fingerprints=tuple(dict.fromkeys(reader.fingerprints)) or session.fingerprints,
            setup=reader.setup or session.setup,
        ),
        candidates=tuple(reader.candidates),
        msid=reader.msid,
        rids=reader.ordered_rids("send"),
        received_rids=reader.ordered_rids("recv"),
        ssrcs=tuple(reader.ssrcs),
        ssrc_groups=tuple(dict.fromkeys(reader.ssrc_groups)),
        rtcp_mux=reader.rtcp_mux,
        rtcp_rsize=reader.rtcp_rsize,
        bundle_only=reader.bundle_only,
        allow_mixed=reader.allow_mixed or defaults.allow_mixed,
        sctp_port=reader.sctp_port,
    )


@dataclass(slots=True)
class _Reader:
    """Attributes seen so far of one section, or of the session."""

    mid: str | None = None
    direction: Direction | None = None
    setup: str | None = None
    ufrag: str | None = None
    pwd: str | None = None
    fingerprints: list[tuple[str, bytes]] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    rtpmaps: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    fmtps: dict[str, str] = field(default_factory=dict)
    feedback: dict[str, set[str]] = field(default_factory=dict)
    extensions: list[ExtMap] = field(default_factory=list)
    msid: tuple[str, str] | None = None
    rids: dict[str, str] = field(default_factory=dict)
    simulcast: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ssrcs: dict[int, None] = field(default_factory=dict)
    ssrc_groups: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    bundle_only: bool = False
    allow_mixed: bool = False
    sctp_port: int | None = None

    def read(self, attribute: Attribute) -> None:
        value, line = attribute.value or "", attribute.line
        match attribute.name:
            case "rtpmap":
                self._rtpmap(value, line)
            case "fmtp":
                payload_type, _, parameters = value.partition(" ")
                self.fmtps.setdefault(payload_type, parameters.strip())
            case "rtcp-fb":
                payload_type, _, feedback = value.partition(" ")
                self.feedback.setdefault(payload_type, set()).add(" ".join(feedback.split()))
            case "ssrc":
                self._ssrc(value, line)
            case "extmap":
                self._extmap(value, line)
            case "candidate":
                self._candidate(value)
            case "mid":
                if not _MID.fullmatch(value) or len(value) > MAX_MID_BYTES:
                    raise SdpError(line, f"a mid is a token of at most {MAX_MID_BYTES} bytes")
                self.mid = self._once("mid", self.mid, value, line)
            case "sendrecv" | "sendonly" | "recvonly" | "inactive" as name:
                direction = Direction(name)
                if self.direction not in (None, direction):
                    raise SdpError(line, "a second direction contradicts the first")
                self.direction = direction
            case "setup":
                if value not in SETUPS:
                    raise SdpError(line, "setup must be actpass, active, passive or holdconn")
                self.setup = self._once("setup", self.setup, value, line)
            case "ice-ufrag":
                self.ufrag = self._once("ice-ufrag", self.ufrag, _ice(value, 4, line), line)
            case "ice-pwd":
                self.pwd = self._once("ice-pwd", self.pwd, _ice(value, 22, line), line)
            case "fingerprint":
                self._fingerprint(value, line)
            case "msid":
                # Several are several streams of one track: the track id is the same (RFC 8830).
                stream, _, track = value.partition(" ")
                self.msid = self.msid or (stream, track.strip())
            case "rid":
                self._rid(value, line)
            case "simulcast":
                self._simulcast(value, line)
            case "ssrc-group":
                self._ssrc_group(value, line)
            case "rtcp-mux":
                self.rtcp_mux = True
            case "rtcp-rsize":
                self.rtcp_rsize = True
            case "bundle-only":
                self.bundle_only = True
            case "extmap-allow-mixed":
                self.allow_mixed = True
            case "sctp-port":
                self.sctp_port = read_number(value.strip(), 65535)

    @staticmethod
    def _once(name: str, old: str | None, new: str, line: int) -> str:
        if old not in (None, new):
            raise SdpError(line, f"a second {name} contradicts the first")
        return new

    def _rtpmap(self, value: str, line: int) -> None:
        rtpmap = _read_rtpmap(value)
        if rtpmap is None:
            raise SdpError(line, "rtpmap needs payload type and encoding/clock rate[/channels]")
        self.rtpmaps.setdefault(*rtpmap)

    def _extmap(self, value: str, line: int) -> None:
        words = value.split()
        if len(words) < 2:
            raise SdpError(line, "extmap needs an id and a URI")
        id_text, slash, direction_text = words[0].partition("/")
        number = read_number(id_text, 2**31)
        # 4096..4351 stand for "an id of your choice" (RFC 8285 section 7): read, never chosen.
        if number is None or not (1 <= number <= 255 or 4096 <= number <= 4351):
            raise SdpError(line, f"extmap id {id_text[:12]} is outside 1..255")
        try:
            direction = Direction(direction_text) if slash else None
        except ValueError as error:
            raise SdpError(line, "extmap has an unknown direction") from error
        self.extensions.append(ExtMap(number, words[1], direction))

    def _candidate(self, value: str) -> None:
        if len(self.candidates) < MAX_CANDIDATES:
            try:
                self.candidates.append(parse_candidate(value))
            except SdpError:
                return  # unknown forms are ignored (RFC 8839 section 5.1)

    def _fingerprint(self, value: str, line: int) -> None:
        words = value.split()
        name = words[0].lower() if len(words) == 2 else ""
        try:
            digest = bytes.fromhex(words[1].replace(":", "")) if name else b""
        except ValueError:
            digest = b""
        if not digest:
            raise SdpError(line, "fingerprint needs a hash name and hexadecimal bytes")
        if len(digest) != DIGEST_BYTES.get(name, len(digest)):
            raise SdpError(line, f"fingerprint is not as long as {name}")
        if len(self.fingerprints) == MAX_FINGERPRINTS:
            raise SdpError(line, f"more than {MAX_FINGERPRINTS} fingerprints")
        if name in DIGEST_BYTES:
            self.fingerprints.append((name, digest))

    def _rid(self, value: str, line: int) -> None:
        words = value.split()
        if len(words) < 2 or words[1] not in ("send", "recv"):
            raise SdpError(line, "rid needs a name and send or recv")
        if not _RID.fullmatch(words[0]) or len(words[0]) > MAX_MID_BYTES:
            raise SdpError(line, f"a rid has at most {MAX_MID_BYTES} letters, digits, - and _")
        if self.rids.setdefault(words[0], words[1]) != words[1]:
            raise SdpError(line, f"rid {words[0]} is both sent and received")
        if len(self.rids) > MAX_RIDS:
            raise SdpError(line, f"more than {MAX_RIDS} rids")

    def _simulcast(self, value: str, line: int) -> None:
        words = value.split()
        if len(words) not in (2, 4):
            raise SdpError(line, "simulcast needs send or recv and a list of rids")
        for direction, listed in zip(words[::2], words[1::2], strict=True):
            if direction not in ("send", "recv") or direction in self.simulcast:
                raise SdpError(line, "simulcast needs send or recv, each once")
            # Of alternatives (separated by commas) the first; ~ marks a paused one (RFC 8853 section 5.1).
            chosen = (item.split(",")[0].removeprefix("~") for item in listed.split(";"))
            self.simulcast[direction] = tuple(dict.fromkeys(chosen))

    def _ssrc(self, value: str, line: int) -> None:
        number, _, attribute = value.partition(" ")
        ssrc = read_number(number, 2**32 - 1)
        if ssrc is None:
            raise SdpError(line, "ssrc needs a number below 2^32")
        self.ssrcs[ssrc] = None
        if attribute.startswith("msid:") and self.msid is None:
            # GStreamer says it only here, the form before RFC 8830.
            stream, _, track = attribute.removeprefix("msid:").partition(" ")
            self.msid = (stream, track.strip())
        if len(self.ssrcs) > MAX_SSRCS:
            raise SdpError(line, f"more than {MAX_SSRCS} SSRCs")

    def _ssrc_group(self, value: str, line: int) -> None:
        semantics, *numbers = value.split() or [""]
        ssrcs = tuple(read_number(number, 2**32 - 1) for number in numbers)
        members = tuple(ssrc for ssrc in ssrcs if ssrc is not None)
        if not semantics or not ssrcs or len(members) != len(ssrcs) or len(members) > MAX_SSRCS:
            raise SdpError(line, "ssrc-group needs semantics and SSRCs")
        self.ssrc_groups.append((semantics, members))
        if len(self.ssrc_groups) > MAX_SSRCS:
            raise SdpError(line, f"more than {MAX_SSRCS} SSRC groups")

    def ordered_rids(self, direction: str) -> tuple[str, ...]:
        declared = [name for name, value in self.rids.items() if value == direction]
        listed = [name for name in self.simulcast.get(direction, ()) if name in declared]
        return tuple(listed or declared)

    def payloads(self, media: MediaDescription) -> Iterator[Payload]:
        for text in dict.fromkeys(media.formats):
            payload_type, rtpmap = read_number(text, 127), self.rtpmaps.get(text)
            if payload_type is None or rtpmap is None:
                continue  # static audio types (RFC 3551), which nothing here forwards
            feedback = frozenset(self.feedback.get(text, set()) | self.feedback.get("*", set()))
            yield Payload(payload_type, *rtpmap, fmtp=self.fmtps.get(text, ""), feedback=feedback)


# The same few hundred values come with every offer of a browser.
@lru_cache(maxsize=512)
def _read_rtpmap(value: str) -> tuple[str, tuple[str, int, int]] | None:
    words = value.split()
    parts = words[1].split("/") if len(words) == 2 else []
    clock_rate = read_number(parts[1], 2**31) if len(parts) in (2, 3) else None
    channels = read_number(parts[2], 255) if len(parts) == 3 else 1
    if not clock_rate or not channels:
        return None
    return words[0], (parts[0], clock_rate, channels)


def _ice(value: str, shortest: int, line: int) -> str:
    # RFC 8839 section 5.4: 4 (22 for the password) to 256 ice-chars.
    if not _ICE_CHARS.fullmatch(value) or not shortest <= len(value) <= 256:
        raise SdpError(line, f"ICE credentials are {shortest} to 256 letters, digits, + and /")
    return value
