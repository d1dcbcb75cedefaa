"""Layers of a section the peer sends in: by rid (RFC 8853), by SSRC group, or one."""

from __future__ import annotations

import re

from sfu.transport.plan import LayerSpec
from sfu.transport.sdp.section import Section

MAX_LAYERS = 4  # browsers send three; the packet plane's layer masks are small

# Lowest quality first. Neither SDP nor RTP says which rid is which; these are the names in use.
_LADDERS = (
    ("q", "h", "f"),
    ("l", "m", "h"),
    ("low", "mid", "high"),
    ("low", "medium", "high"),
    ("lo", "mid", "hi"),
)
_NUMBERED = re.compile(r"([A-Za-z_-]*)([0-9]{1,4})")


def order_rids(rids: tuple[str, ...]) -> tuple[str, ...]:
    """Rids from lowest to highest quality.

    By the usual names, else by number (`0`, `1`, `r2`), else as the peer listed them, which is how
    `sendEncodings` has it in practice.
    """
    for ladder in _LADDERS:
        if set(rids) <= set(ladder):
            return tuple(sorted(rids, key=ladder.index))
    matches = [_NUMBERED.fullmatch(rid) for rid in rids]
    numbers = {rid: int(match[2]) for rid, match in zip(rids, matches, strict=True) if match}
    prefixes = {match[1] for match in matches if match}
    if len(numbers) == len(rids) and len(prefixes) == 1:
        return tuple(sorted(rids, key=lambda rid: numbers[rid]))
    return rids


def accepted_rids(section: Section) -> tuple[str, ...]:
    """Rids to accept, in the peer's order; all it sends, up to `MAX_LAYERS`."""
    return section.rids[:MAX_LAYERS]


def read_layers(section: Section) -> tuple[LayerSpec, ...]:
    """What the peer sends in this section, lowest quality first, at least one.

    With rids the SSRCs are learnt from packets, as no line ties one to the other.
    """
    rids = accepted_rids(section)
    if rids:
        return tuple(LayerSpec(rid=rid) for rid in order_rids(rids))
    repairs: dict[int, int] = {}
    layers: tuple[int, ...] = ()
    for semantics, members in section.ssrc_groups:
        if semantics == "FID" and len(members) == 2 and members[0] != members[1]:
            repairs.setdefault(*members)
        elif semantics == "SIM" and not layers:
            layers = tuple(dict.fromkeys(members))[:MAX_LAYERS]
    if not layers:
        # The first that is not a repair stream: writers list media before its repair, but need not.
        repairing = set(repairs.values())
        layers = tuple(ssrc for ssrc in section.ssrcs if ssrc not in repairing)[:1] or tuple(repairs)[:1]
    return tuple(LayerSpec(ssrc=ssrc, rtx_ssrc=repairs.get(ssrc)) for ssrc in layers) or (LayerSpec(),)
