"""Which addresses clients are told to send media to. Pure; the composition root looks at the machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from sfu.settings.models import RtcSettings

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Announcement:
    """What to announce, and what the operator should know about it."""

    addresses: tuple[str, ...]
    """Best first: public ones before private ones before loopback."""
    warnings: tuple[str, ...] = ()


def announcement(rtc: RtcSettings, machine: Iterable[str], in_container: bool) -> Announcement:
    """Decide by the rules of `rtc.announce`.

    Args:
        rtc: Named addresses are taken as they are.
        machine: Every address of this machine, as text.
        in_container: The machine seems to be a container, whose addresses nobody outside can reach.
    """
    loopback = (LOOPBACK,) if rtc.announce_loopback else ()
    if rtc.announce:
        return Announcement(tuple(dict.fromkeys((*rtc.announce, *loopback))))
    bound = [ipaddress.ip_address(address) for address in rtc.bind]
    found = [ipaddress.ip_address(address) for address in machine]
    usable = [address for address in found if _usable(address) and _receives(bound, address)]
    usable += [address for address in bound if not address.is_unspecified and not address.is_loopback]
    ordered = tuple(dict.fromkeys(str(address) for address in sorted(usable, key=_rank)))
    if not ordered:
        text = "this machine has no address but loopback: only clients on it can connect; see rtc.announce"
        named = any(address.is_loopback for address in bound)
        return Announcement((LOOPBACK,), () if named or loopback else (text,))
    warnings = []
    if in_container and all(ipaddress.ip_address(address).is_private for address in ordered):
        warnings.append(
            f"rtc.announce is not set, and this looks like a container with {', '.join(ordered)}: "
            "clients outside it get no media. Set rtc.announce to the address of the host"
        )
    return Announcement((*ordered, *loopback), tuple(warnings))


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _usable(address: _Address) -> bool:
    return not (
        address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    )


def _receives(bound: Iterable[_Address], address: _Address) -> bool:
    return any(
        own == address or (own.is_unspecified and (own.version == address.version or own.version == 6))
        for own in bound
    )


def _rank(address: _Address) -> tuple[bool, bool]:
    return (address.is_private, address.version == 6)
