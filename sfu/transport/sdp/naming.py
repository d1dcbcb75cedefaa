"""Says in our answer which track each section carries, for clients that learn it from there. Pure.

Negotiation answers every section in which the peer receives with a slot. What the slot carries changes
without it; a client that wants to read it there sees the section inactive while it carries nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sfu.core.ids import Mid
from sfu.transport.sdp.model import Attribute, Direction, MediaDescription, SessionDescription

_DIRECTIONS = {direction.value: direction for direction in Direction}
_STREAM_ATTRIBUTES = frozenset({"msid", "ssrc", "ssrc-group"})


def name_sections(
    description: SessionDescription, names: Mapping[Mid, tuple[str, str]]
) -> SessionDescription:
    """The description with the stream and track ids of `names`, by mid, in sections that we send in."""
    return replace(description, media=tuple(_name(media, names) for media in description.media))


def _name(media: MediaDescription, names: Mapping[Mid, tuple[str, str]]) -> MediaDescription:
    direction = next((_DIRECTIONS[item.name] for item in media.attributes if item.name in _DIRECTIONS), None)
    if direction is None or not direction.sends:
        return media
    name = names.get(Mid(media.value("mid") or ""))
    lines = _silenced(media.attributes, direction) if name is None else _named(media.attributes, name)
    return replace(media, attributes=tuple(lines))


def _named(lines: tuple[Attribute, ...], name: tuple[str, str]) -> Iterator[Attribute]:
    for item in lines:
        yield Attribute("msid", " ".join(name)) if item.name == "msid" else item


def _silenced(lines: tuple[Attribute, ...], direction: Direction) -> Iterator[Attribute]:
    silent = Direction.of(sends=False, receives=direction.receives)
    for item in lines:
        if item.name in _DIRECTIONS:
            yield Attribute(silent.value)
        elif item.name not in _STREAM_ATTRIBUTES:
            yield item
