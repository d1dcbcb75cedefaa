"""What must hold across the sections of a description before any of them is looked at."""

from __future__ import annotations

from collections.abc import Sequence

from sfu.core.codecs import MediaKind
from sfu.core.ids import Mid
from sfu.transport.errors import NegotiationError
from sfu.transport.sdp.agreed import APPLICATION, Agreed, RemoteTransport
from sfu.transport.sdp.candidates import reachable
from sfu.transport.sdp.compose import SCTP_FORMAT, SCTP_PORT
from sfu.transport.sdp.model import SessionDescription
from sfu.transport.sdp.section import Section, bundle_group

MEDIA_KINDS = frozenset(kind.value for kind in MediaKind)
RTP_PROTOCOLS = frozenset(
    {"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF", "RTP/SAVP"}
)  # RFC 8829 section 5.1.2
SCTP_PROTOCOLS = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})  # RFC 8841 section 4


def usable_sections(description: SessionDescription, sections: Sequence[Section]) -> tuple[Section, ...]:
    """Sections that can carry something: not rejected, of a kind we know, in the BUNDLE group, tag first.

    Without a group (RFC 8843 makes it optional) only the first such section is: there is one transport.
    """
    group = bundle_group(description)
    sctp = 0
    usable: list[Section] = []
    for section in sections:
        if section.rejected:
            continue
        if section.kind in MEDIA_KINDS and section.protocol in RTP_PROTOCOLS:
            usable.append(section)
        elif section.kind == APPLICATION and _carries_data(section):
            sctp += 1
            if sctp == 1:  # one association per transport (RFC 8841 section 9)
                usable.append(section)
    if group is None:
        return tuple(usable[:1])
    order = {mid: place for place, mid in enumerate(group)}
    bundled = [section for section in usable if section.has_mid and section.mid in order]
    return tuple(sorted(bundled, key=lambda section: order[section.mid]))


def _carries_data(section: Section) -> bool:
    return (
        section.protocol in SCTP_PROTOCOLS
        and section.formats[0] == SCTP_FORMAT
        and section.sctp_port in (None, SCTP_PORT)
    )


def check_order(agreed: Agreed, sections: Sequence[Section]) -> None:
    """Sections stay at their place for the life of the session (RFC 3264 section 8).

    Raises:
        NegotiationError: One vanished, or its place was taken before it was given up.
    """
    if len(sections) < len(agreed.sections):
        raise NegotiationError("", f"{len(sections)} sections where {len(agreed.sections)} are agreed")
    for old, new in zip(agreed.sections, sections, strict=False):
        if not old.rejected and (old.mid != new.mid or old.kind != new.kind):
            raise NegotiationError(new.mid, f"stands where {old.kind} section {old.mid} was agreed")


def check_mux(usable: Sequence[Section]) -> None:
    """RTP and RTCP share a port. One section may say so for its group (RFC 8843 section 7.1.3).

    Raises:
        NegotiationError: None says so.
    """
    media = [section for section in usable if section.kind in MEDIA_KINDS]
    if media and not any(section.rtcp_mux for section in media):
        raise NegotiationError(media[0].mid, "a=rtcp-mux is required")


def read_setup(usable: Sequence[Section], default: str) -> str:
    """`a=setup` of the group.

    Raises:
        NegotiationError: Sections of one transport contradict each other.
    """
    setups = {section.transport.setup: section for section in usable if section.transport.setup is not None}
    if len(setups) > 1:
        section = list(setups.values())[1]
        raise NegotiationError(section.mid, f"setup is {' and '.join(map(str, setups))} in one BUNDLE group")
    return str(next(iter(setups), default))


def read_transport(agreed: Agreed, sections: Sequence[Section], usable: Sequence[Section]) -> RemoteTransport:
    """ICE and DTLS of the peer: those of the group's tag, else of the first section that has them.

    Raises:
        NegotiationError: They are missing, or the certificate changed.
    """
    ufrag, pwd = read_credentials(sections, usable)
    fingerprints = next(
        (item.transport.fingerprints for item in [*usable, *sections] if item.transport.fingerprints), ()
    )
    if not fingerprints:
        raise NegotiationError("", "a=fingerprint with a known hash function is required")
    if agreed.remote is not None and not set(fingerprints) & set(agreed.remote.fingerprints):
        raise NegotiationError("", "the certificate changed; that needs a new session")
    candidates = [candidate for section in sections for candidate in section.candidates]
    current = [item for item in candidates if item.ufrag in (None, ufrag)]
    return RemoteTransport(ufrag, pwd, fingerprints, reachable(current))


def read_credentials(sections: Sequence[Section], usable: Sequence[Section]) -> tuple[str, str]:
    """ICE user fragment and password of the peer.

    Raises:
        NegotiationError: There are none.
    """
    for section in [*usable, *sections]:
        transport = section.transport
        if transport.ufrag is not None and transport.pwd is not None:
            return transport.ufrag, transport.pwd
    raise NegotiationError("", "a=ice-ufrag and a=ice-pwd are required")


def group_value(usable: Sequence[Section], accepted: set[Mid]) -> str:
    """The answer's `a=group`: accepted mids in the order of the offer's group (RFC 8843 section 7.3)."""
    return " ".join(["BUNDLE", *(section.mid for section in usable if section.mid in accepted)])
