"""SDP text to model and back (RFC 8866 section 9). The reader is tolerant, the writer strict.

Tolerated: bare LF, blank lines at the end, missing s= and t=, lines in another order, unknown line types,
attributes whose name is not a token (skipped). Refused: what is over a limit, has control characters, or
whose o=, c=, b= or m= line cannot be read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sfu.transport.errors import SdpError
from sfu.transport.sdp.model import (
    Attribute,
    Bandwidth,
    Connection,
    MediaDescription,
    Origin,
    SessionDescription,
)

MAX_BYTES = 256 * 1024  # a browser's offer with 200 sections is about 150 kB
MAX_SECTIONS = 200  # DESIGN's slots keep rooms far below; libwebrtc itself slows down above
MAX_LINE_BYTES = 8 * 1024  # the longest real lines are AV1 fmtp and certificates, under 1 kB
MAX_LINES = 10_000  # 256 kB of real lines (about 30 bytes each) is less

_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")
_PROTOCOL = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+(?:/[!#-'*+\-.0-9A-Z^-~]+)*")
_WORD = re.compile(r"[^\x00-\x20\x7f]+")  # non-ws-string
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")  # all but tab; CR and LF are gone by then
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Names of nine lines in ten; looking one up is quicker than matching it.
_COMMON_NAMES = frozenset(
    {
        "rtpmap",
        "rtcp-fb",
        "fmtp",
        "extmap",
        "candidate",
        "ssrc",
        "mid",
        "msid",
        "ice-ufrag",
        "ice-pwd",
        "setup",
    }
)


def read_number(text: str, maximum: int) -> int | None:
    """A decimal number of ASCII digits, at most `maximum`; None when it is not."""
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        return None
    number = int(text)
    return number if number <= maximum else None


@dataclass(slots=True)
class _Section:
    """What is being read: the session, or one section."""

    head: MediaDescription | None = None
    connection: Connection | None = None
    bandwidths: list[Bandwidth] = field(default_factory=list)
    attributes: list[Attribute] = field(default_factory=list)

    def media(self) -> MediaDescription:
        head = self.head
        assert head is not None, "only sections are turned into media"  # noqa: S101
        return MediaDescription(
            kind=head.kind,
            port=head.port,
            protocol=head.protocol,
            formats=head.formats,
            port_count=head.port_count,
            connection=self.connection,
            bandwidths=tuple(self.bandwidths),
            attributes=tuple(self.attributes),
            line=head.line,
        )


def parse(text: str | bytes) -> SessionDescription:
    """Read a description.

    Raises:
        SdpError: Not UTF-8, not SDP, or over a limit of this module. Nothing else.
    """
    lines = _lines(text)
    if not lines or lines[0] != "v=0":
        raise SdpError(1, "does not begin with v=0")
    origin: Origin | None = None
    name = "-"
    session = current = _Section()
    sections: list[_Section] = []
    for number, line in enumerate(lines[1:], start=2):
        if len(line) < 2 or line[1] != "=":
            raise SdpError(number, "is not of the form x=value")
        value = line[2:]
        match line[0]:
            case "a":
                attribute = _attribute(value, number)
                if attribute is not None:
                    current.attributes.append(attribute)
            case "m":
                if len(sections) == MAX_SECTIONS:
                    raise SdpError(number, f"more than {MAX_SECTIONS} media sections")
                current = _Section(_media_line(value, number))
                sections.append(current)
            case "c":
                # Several are for multicast (RFC 8866 section 5.7): the first will do.
                current.connection = current.connection or _connection(value, number)
            case "b":
                bandwidth = _bandwidth(value)
                if bandwidth is not None:
                    current.bandwidths.append(bandwidth)
            case "o" if origin is None and not sections:
                origin = _origin(value, number)
            case "s" if not sections:
                name = value or "-"
            case "v":
                raise SdpError(number, "a second description begins")
    if origin is None:
        raise SdpError(0, "no o= line")
    return SessionDescription(
        origin=origin,
        name=name,
        connection=session.connection,
        bandwidths=tuple(session.bandwidths),
        attributes=tuple(session.attributes),
        media=tuple(section.media() for section in sections),
    )


def _lines(text: str | bytes) -> list[str]:
    if len(text) > MAX_BYTES:
        raise SdpError(0, f"longer than {MAX_BYTES} bytes")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise SdpError(0, "not UTF-8") from error
    elif not text.isascii():
        if _SURROGATE.search(text):
            raise SdpError(0, "not Unicode")
        if len(text.encode()) > MAX_BYTES:
            raise SdpError(0, f"longer than {MAX_BYTES} bytes")
    if text.count("\n") >= MAX_LINES:
        raise SdpError(0, f"more than {MAX_LINES} lines")
    lines = text.replace("\r\n", "\n").rstrip("\r\n").split("\n")
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE_BYTES or (not line.isascii() and len(line.encode()) > MAX_LINE_BYTES):
            raise SdpError(number, f"longer than {MAX_LINE_BYTES} bytes")
        if not line.isprintable() and _CONTROL.search(line):
            raise SdpError(number, "holds a control character")
    return lines


def _attribute(value: str, line: int) -> Attribute | None:
    name, colon, rest = value.partition(":")
    if name not in _COMMON_NAMES and not _TOKEN.fullmatch(name):
        return None
    return Attribute(name, rest if colon else None, line)


def _origin(value: str, line: int) -> Origin:
    words = value.split()
    if len(words) != 6 or words[3] != "IN":
        raise SdpError(line, "o= needs user name, id, version, IN, address type, address")
    session_id, version = read_number(words[1], 2**64 - 1), read_number(words[2], 2**64 - 1)
    if session_id is None or version is None:
        raise SdpError(line, "session id and version in o= must be numbers below 2^64")
    if not _TOKEN.fullmatch(words[4]):
        raise SdpError(line, "o= has no readable address type")
    return Origin(session_id, version, words[0], words[4], words[5])


def _connection(value: str, line: int) -> Connection:
    words = value.split()
    if len(words) != 3 or words[0] != "IN" or not _TOKEN.fullmatch(words[1]):
        raise SdpError(line, "c= needs IN, address type, address")
    return Connection(words[2], words[1])


def _bandwidth(value: str) -> Bandwidth | None:
    kind, _, amount = value.partition(":")
    number = read_number(amount.strip(), 2**63 - 1)
    # A limit that cannot be read limits nothing.
    return Bandwidth(kind, number) if number is not None and _TOKEN.fullmatch(kind) else None


def _media_line(value: str, line: int) -> MediaDescription:
    words = value.split()
    if len(words) < 4:
        raise SdpError(line, "m= needs kind, port, protocol and at least one format")
    kind, ports, protocol, *formats = words
    port_text, slash, count_text = ports.partition("/")
    port, count = read_number(port_text, 65535), read_number(count_text, 65535) if slash else 1
    if port is None or not count:
        raise SdpError(line, "m= has no readable port")
    if not (_TOKEN.fullmatch(kind) and _PROTOCOL.fullmatch(protocol)):
        raise SdpError(line, "kind and protocol in m= must be tokens")
    if not all(_TOKEN.fullmatch(word) for word in formats):
        raise SdpError(line, "formats in m= must be tokens")
    return MediaDescription(kind, port, protocol, tuple(formats), count, line=line)


def write(description: SessionDescription) -> str:
    """The description as text, lines ended by CRLF.

    Raises:
        ValueError: A value cannot be written, such as one with a line break in it. A bug of ours.
    """
    origin = description.origin
    lines = [
        "v=0",
        f"o={_word(origin.username)} {origin.session_id} {origin.version}"
        f" IN {_token(origin.address_type)} {_word(origin.address)}",
        f"s={_text(description.name) or '-'}",
    ]
    lines += _shared_lines(description)
    # t= stands between b= and a= of the session (RFC 8866 section 9).
    lines.append("t=0 0")
    lines += _attribute_lines(description.attributes)
    for media in description.media:
        count = f"/{media.port_count}" if media.port_count != 1 else ""
        formats = " ".join(_token(item) for item in media.formats)
        if not formats:
            msg = "a section needs a format"
            raise ValueError(msg)
        if not _PROTOCOL.fullmatch(media.protocol):
            msg = f"not a protocol: {media.protocol!r}"
            raise ValueError(msg)
        lines.append(f"m={_token(media.kind)} {media.port}{count} {media.protocol} {formats}")
        lines += _shared_lines(media)
        lines += _attribute_lines(media.attributes)
    return "\r\n".join(lines) + "\r\n"


def _shared_lines(part: SessionDescription | MediaDescription) -> list[str]:
    lines: list[str] = []
    if part.connection is not None:
        lines.append(f"c=IN {_token(part.connection.address_type)} {_word(part.connection.address)}")
    lines += [f"b={_token(item.kind)}:{item.value}" for item in part.bandwidths]
    return lines


def _attribute_lines(attributes: tuple[Attribute, ...]) -> list[str]:
    return [
        f"a={_token(item.name)}" if item.value is None else f"a={_token(item.name)}:{_text(item.value)}"
        for item in attributes
    ]


def _token(value: str) -> str:
    if value not in _COMMON_NAMES and not _TOKEN.fullmatch(value):
        msg = f"not a token: {value!r}"
        raise ValueError(msg)
    return value


def _word(value: str) -> str:
    if not _WORD.fullmatch(value):
        msg = f"not a word: {value!r}"
        raise ValueError(msg)
    return value


def _text(value: str) -> str:
    if not value.isprintable() and (_CONTROL.search(value) or _SURROGATE.search(value)):
        msg = f"cannot be written on one line: {value!r}"
        raise ValueError(msg)
    return value
