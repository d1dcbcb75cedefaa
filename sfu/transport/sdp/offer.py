"""Our own offers and their answers: of servers in two-connection dialects, of clients on the packet plane."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from sfu.core.codecs import MediaKind
from sfu.core.ids import Mid
from sfu.transport.errors import NegotiationError
from sfu.transport.plan import DtlsRole
from sfu.transport.sdp.agreed import (
    APPLICATION,
    Agreed,
    AgreedSection,
    LocalDescription,
    Negotiation,
    Slot,
    make_plan,
)
from sfu.transport.sdp.catalog import offered_codecs, offered_extensions
from sfu.transport.sdp.checks import check_mux, read_setup, read_transport, usable_sections
from sfu.transport.sdp.codecs import CodecPolicy, select_codecs
from sfu.transport.sdp.compose import (
    RTP_PROTOCOL,
    SCTP_PROTOCOL,
    data_section,
    media_section,
    transport_lines,
)
from sfu.transport.sdp.extensions import select_extensions
from sfu.transport.sdp.model import Attribute, Direction, MediaDescription, Origin, SessionDescription
from sfu.transport.sdp.section import Section, read_sections
from sfu.transport.sdp.simulcast import read_layers

DEFAULT_CNAME = "airside"  # of sections without a msid; the packet plane sends one CNAME per publisher anyway


@dataclass(frozen=True, slots=True)
class WantedSection:
    """A section as we would have it. `mid` names it in every later offer."""

    mid: Mid
    kind: str
    """`audio`, `video` or `application`."""
    receives: bool = False
    slots: tuple[Slot, ...] = ()
    """What we send: nothing, one stream, or one per rid with the lowest quality first."""
    sends: bool = False
    msid: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer that waits for its answer. One at a time; what changes meanwhile goes into the next."""

    offer: SessionDescription
    before: Agreed
    wanted: tuple[WantedSection, ...]
    local: LocalDescription
    policy: CodecPolicy


def offer(
    agreed: Agreed, wanted: tuple[WantedSection, ...], local: LocalDescription, policy: CodecPolicy
) -> Offered:
    """Write an offer.

    Args:
        agreed: Outcome of the negotiation before, `Agreed()` at first.
        wanted: All sections: those agreed to at their place, then new ones. One that is not wanted any more
            is wanted with neither direction; it keeps its place and its slots.
        local: Our side.
        policy: Codecs.

    Raises:
        ValueError: An agreed section is not at its place.
    """
    for old, new in zip(agreed.sections, wanted, strict=False):
        if old.mid != new.mid or old.kind != new.kind:
            msg = f"section {new.mid} stands where {old.mid} is agreed"
            raise ValueError(msg)
    if len(wanted) < len(agreed.sections):
        msg = "agreed sections are missing"
        raise ValueError(msg)
    media = tuple(_section(section, local, policy) for section in wanted)
    attributes = [
        Attribute("group", " ".join(["BUNDLE", *(section.mid for section in wanted)])),
        Attribute("extmap-allow-mixed"),
        Attribute("msid-semantic", "WMS *"),
    ]
    if local.ice_lite:
        attributes.append(Attribute("ice-lite"))
    session_id = agreed.session_id or zlib.crc32(local.ufrag.encode()) + 1
    description = SessionDescription(
        Origin(session_id, agreed.version + 1), attributes=tuple(attributes), media=media
    )
    return Offered(description, agreed, wanted, local, policy)


def _section(wanted: WantedSection, local: LocalDescription, policy: CodecPolicy) -> MediaDescription:
    transport = transport_lines(local, "actpass")
    if wanted.kind == APPLICATION:
        return data_section(wanted.mid, SCTP_PROTOCOL, transport)
    kind = MediaKind(wanted.kind)
    sends = wanted.sends and bool(wanted.slots)
    return media_section(
        wanted.mid,
        wanted.kind,
        RTP_PROTOCOL,
        Direction.of(sends=sends, receives=wanted.receives),
        transport=transport,
        codecs=offered_codecs(kind, policy),
        extensions=offered_extensions(kind),
        rtcp_rsize=True,
        msid=wanted.msid if sends else None,
        slots=wanted.slots if sends else (),
        cname=wanted.msid[0] if wanted.msid else DEFAULT_CNAME,
        rids=tuple(slot.rid for slot in wanted.slots if slot.rid is not None) if sends else (),
        rid_direction="send",
    )


def accept(offered: Offered, answer: SessionDescription) -> Negotiation:
    """Take the answer to an offer of ours.

    Raises:
        SdpError: An attribute cannot be read.
        NegotiationError: The answer does not fit the offer, or breaks a rule that offers obey too.
    """
    sections = read_sections(answer)
    _check_fit(offered, sections)
    usable = usable_sections(answer, sections)
    if not usable:
        raise NegotiationError("", "every section was refused")
    check_mux(usable)
    setup = read_setup(usable, "")
    if setup not in ("active", "passive"):
        raise NegotiationError(usable[0].mid, "setup in an answer must be active or passive")
    before = offered.before
    remote = read_transport(before, sections, usable)
    allow_mixed = all(section.allow_mixed for section in usable if section.kind != APPLICATION)
    usable_mids = {section.mid for section in usable}
    extensions: dict[int, str] = {}
    states: list[AgreedSection] = []
    for wanted, section in zip(offered.wanted, sections, strict=True):
        if section.mid not in usable_mids:
            states.append(AgreedSection(mid=wanted.mid, kind=wanted.kind, rejected=True))
        elif wanted.kind == APPLICATION:
            states.append(AgreedSection(mid=wanted.mid, kind=wanted.kind))
        else:
            states.append(_agree(wanted, section, offered.policy, extensions, allow_mixed=allow_mixed))
    new = Agreed(
        session_id=offered.offer.origin.session_id,
        version=offered.offer.origin.version,
        sections=tuple(states),
        remote=remote,
        setup=DtlsRole.PASSIVE if setup == "active" else DtlsRole.ACTIVE,
        extensions=tuple(sorted(extensions.items())),
        allow_mixed=allow_mixed,
    )
    restarted = before.remote is not None and before.remote.ufrag != remote.ufrag
    return Negotiation(answer, new, make_plan(new), restarted)


def _check_fit(offered: Offered, sections: tuple[Section, ...]) -> None:
    if len(sections) != len(offered.wanted):
        raise NegotiationError("", f"{len(sections)} sections answer {len(offered.wanted)}")
    for wanted, section in zip(offered.wanted, sections, strict=True):
        if section.kind != wanted.kind or (section.has_mid and section.mid != wanted.mid):
            raise NegotiationError(section.mid, f"answers {wanted.kind} section {wanted.mid}")


def _agree(
    wanted: WantedSection,
    section: Section,
    policy: CodecPolicy,
    extensions: dict[int, str],
    *,
    allow_mixed: bool,
) -> AgreedSection:
    kind = MediaKind(wanted.kind)
    ids = {item.id: item.uri for item in offered_extensions(kind)}
    taken = select_extensions(section, kind, ids, allow_mixed=allow_mixed, described=True)
    extensions.update((item.id, item.uri) for item in taken)
    receives = wanted.receives and section.direction.sends
    return AgreedSection(
        mid=wanted.mid,
        kind=wanted.kind,
        sends=wanted.sends and bool(wanted.slots) and section.direction.receives,
        receives=receives,
        codecs=select_codecs(section, kind, policy),
        layers=read_layers(section) if receives else (),
        cid=section.msid[1] if receives and section.msid else "",
        slots=_accepted_slots(wanted.slots, section),
    )


def _accepted_slots(slots: tuple[Slot, ...], section: Section) -> tuple[Slot, ...]:
    if not slots or slots[0].rid is None:
        return slots
    accepted = tuple(slot for slot in slots if slot.rid in section.received_rids)
    # An answer without simulcast means one stream (RFC 8853 section 5.3.2): the best.
    return accepted or (Slot(slots[-1].ids),)
