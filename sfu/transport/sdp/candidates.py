"""ICE candidates in SDP (RFC 8839 section 5.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from sfu.transport.errors import SdpError
from sfu.transport.sdp.grammar import read_number

MAX_CANDIDATES = 32  # per description; a host with a dozen interfaces on both IP versions stays below

HOST_TYPE_PREFERENCE = 126  # RFC 8445 section 5.1.2.2
RTP_COMPONENT = 1  # the only one: rtcp-mux is required


@dataclass(frozen=True, slots=True)
class Candidate:
    """One address and port at which the writer may be reached."""

    foundation: str
    component: int
    protocol: str
    """`udp` or `tcp`, lower case."""
    priority: int
    address: str
    """An IP address, or a name (mDNS candidates end in `.local`)."""
    port: int
    type: str
    """`host`, `srflx`, `prflx`, `relay`."""
    tcp_type: str | None = None
    ufrag: str | None = None


def host_candidate(
    address: str, port: int, *, local_preference: int = 65535, protocol: str = "udp"
) -> Candidate:
    """Our own candidate at an address we listen at, or one that is forwarded to us.

    Args:
        address: IP address in text.
        port: Where we listen.
        local_preference: 0..65535; greater is tried first (RFC 8445 section 5.1.2.1).
        protocol: Only `udp` so far.
    """
    priority = (HOST_TYPE_PREFERENCE << 24) + (local_preference << 8) + (256 - RTP_COMPONENT)
    # Equal foundations mean equal base address, type and protocol (RFC 8445 section 5.1.1.3).
    foundation = f"{65535 - local_preference + 1}"
    return Candidate(foundation, RTP_COMPONENT, protocol, priority, address, port, "host")


def parse_candidate(value: str) -> Candidate:
    """Read `a=candidate`'s value, also with `candidate:` or `a=candidate:` before it.

    Raises:
        SdpError: It is not a candidate.
    """
    value = value.removeprefix("a=").removeprefix("candidate:")
    words = value.split()
    if len(words) < 8 or words[6] != "typ":
        raise SdpError(
            0, "a candidate needs foundation, component, protocol, priority, address, port, typ and type"
        )
    component, priority = read_number(words[1], 256), read_number(words[3], 2**32 - 1)
    port = read_number(words[5], 65535)
    if not component or priority is None or port is None:
        raise SdpError(0, "component, priority or port of a candidate is out of range")
    extensions = dict(zip(words[8::2], words[9::2], strict=False))
    return Candidate(
        foundation=words[0],
        component=component,
        protocol=words[2].lower(),
        priority=priority,
        address=words[4],
        port=port,
        type=words[7],
        tcp_type=extensions.get("tcptype"),
        ufrag=extensions.get("ufrag"),
    )


def write_candidate(candidate: Candidate) -> str:
    """The value of `a=candidate`."""
    text = (
        f"{candidate.foundation} {candidate.component} {candidate.protocol} {candidate.priority}"
        f" {candidate.address} {candidate.port} typ {candidate.type}"
    )
    return text if candidate.tcp_type is None else f"{text} tcptype {candidate.tcp_type}"


def reachable(candidates: Iterable[Candidate]) -> tuple[tuple[str, int], ...]:
    """Where checks can be sent: addresses and ports over UDP, by falling priority, without repeats.

    Ignored: TCP, RTCP components, names (mDNS and DNS are never resolved: a peer must not make us
    send queries), unspecified, multicast and broadcast addresses, port 0, what is beyond `MAX_CANDIDATES`.
    """
    usable = {
        (candidate.address, candidate.port): candidate.priority
        for candidate in sorted(candidates, key=lambda item: item.priority)
        if candidate.protocol == "udp"
        and candidate.component == RTP_COMPONENT
        and candidate.port
        and _is_unicast(candidate.address)
    }
    ordered = sorted(usable, key=lambda key: usable[key], reverse=True)
    return tuple(ordered[:MAX_CANDIDATES])


def _is_unicast(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return not (address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255")
