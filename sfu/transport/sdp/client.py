"""Offers of our own clients on the packet plane (load test, dense agents), and their answers.

The engine in client role is commanded by the same plan as the server: `accept` gives it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sfu.core.codecs import MediaKind
from sfu.core.ids import Mid
from sfu.transport.sdp.agreed import APPLICATION, Agreed, LocalDescription, Slot
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.offer import Offered, WantedSection, accept, offer

__all__ = ["ClientWish", "Publish", "accept", "client_offer"]


@dataclass(frozen=True, slots=True)
class Publish:
    """A track to publish."""

    kind: MediaKind
    cid: str
    """Track id of `a=msid`."""
    slots: tuple[Slot, ...]
    """One without rid, or one per rid with the lowest quality first. The same in every later wish."""
    stream: str = "-"


@dataclass(frozen=True, slots=True)
class ClientWish:
    """What a client wants of its transport. Grows: sections are never taken back, only fall silent."""

    receive_audio: int = 0
    """Sections that receive only: the server's slots for this client."""
    receive_video: int = 0
    publish: tuple[Publish, ...] = ()
    data: bool = True


def client_offer(agreed: Agreed, wish: ClientWish, local: LocalDescription, policy: CodecPolicy) -> Offered:
    """Offer what is agreed already at its place, then what the wish has more."""
    publish = {_key(item): item for item in wish.publish}
    spare = {MediaKind.AUDIO: wish.receive_audio, MediaKind.VIDEO: wish.receive_video}
    wanted: list[WantedSection] = []
    for section in agreed.sections:
        kept = WantedSection(section.mid, section.kind, slots=section.slots)
        if section.slots:
            item = publish.pop(section.slots[0].ids.slot, None)
            if item is not None:
                kept = replace(kept, sends=True, msid=(item.stream, item.cid))
        elif section.kind != APPLICATION and spare[MediaKind(section.kind)] > 0:
            spare[MediaKind(section.kind)] -= 1
            kept = replace(kept, receives=True)
        wanted.append(kept)

    def add(kind: str, item: Publish | None = None) -> None:
        mid = Mid(str(len(wanted)))
        if item is None:
            wanted.append(WantedSection(mid, kind, receives=kind != APPLICATION))
        else:
            msid = (item.stream, item.cid)
            wanted.append(WantedSection(mid, kind, slots=item.slots, sends=True, msid=msid))

    for item in publish.values():
        add(item.kind.value, item)
    for kind, count in spare.items():
        for _ in range(count):
            add(kind.value)
    if wish.data and not any(section.kind == APPLICATION for section in agreed.sections):
        add(APPLICATION)
    return offer(agreed, tuple(wanted), local, policy)


def _key(item: Publish) -> int:
    return item.slots[0].ids.slot
