"""What a description says about the Opus of single sections (RFC 7587 section 7.1). Pure.

Negotiation states the same for every section; what is known of a track only comes later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from sfu.core.ids import Mid
from sfu.transport.sdp.model import Attribute, MediaDescription, SessionDescription

SILENCE_LEFT_OUT = "usedtx=1"
"""Asks a sender to send next to nothing while nobody speaks."""
STEREO_WANTED = ("stereo=1", "maxaveragebitrate=510000")
"""Asks a sender for two channels, at a rate that music may need; as LiveKit's server."""
STEREO_GIVEN = "sprop-stereo=1"
"""Says that two channels are sent."""


def state_opus(description: SessionDescription, stated: Mapping[Mid, Collection[str]]) -> SessionDescription:
    """The description with these parameters too in the Opus formats of sections, by mid."""
    if not stated:
        return description
    return replace(description, media=tuple(_state(media, stated) for media in description.media))


def _state(media: MediaDescription, stated: Mapping[Mid, Collection[str]]) -> MediaDescription:
    parameters = stated.get(Mid(media.value("mid") or ""))
    if not parameters:
        return media
    return replace(media, attributes=tuple(_lines(media, parameters)))


def _lines(media: MediaDescription, parameters: Collection[str]) -> Iterator[Attribute]:
    maps = (item.value or "" for item in media.attributes if item.name == "rtpmap")
    numbers = {
        value.partition(" ")[0] for value in maps if value.partition(" ")[2].lower().startswith("opus/")
    }
    for item in media.attributes:
        number, _, known = (item.value or "").partition(" ")
        if item.name != "fmtp" or number not in numbers:
            yield item
            continue
        more = (parameter for parameter in parameters if parameter not in known.split(";"))
        yield Attribute("fmtp", ";".join((f"{number} {known}", *more)))
