"""Offer to answer (RFC 3264, 8829, 8843): one pure function for browsers, agents, WHIP and WHEP.

We never answer with more than was offered, keep the order of sections, and give every section in which the
peer receives a slot at once, with an SSRC that stays.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection

from sfu.core.ids import Mid
from sfu.transport.errors import NegotiationError, NoCommonCodecError
from sfu.transport.plan import DtlsRole, SlotIds
from sfu.transport.sdp.agreed import (
    APPLICATION,
    Agreed,
    AgreedSection,
    LocalDescription,
    Negotiation,
    SlotRule,
    make_plan,
)
from sfu.transport.sdp.answering import AnswerInput, MsidOf, SectionAnswerer
from sfu.transport.sdp.checks import (
    MEDIA_KINDS,
    check_mux,
    check_order,
    group_value,
    read_credentials,
    read_setup,
    read_transport,
    usable_sections,
)
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.model import Attribute, MediaDescription, Origin, SessionDescription
from sfu.transport.sdp.section import bundle_group, read_sections


def slot_msid(mid: Mid) -> tuple[str, str]:
    """Stream and track id of a slot.

    One stream each: libwebrtc holds the video of a stream back for its audio, and two slots are two people's
    as often as not.
    """
    return f"slot-{mid}", f"airside-slot-{mid}"


def is_ice_restart(agreed: Agreed, offer: SessionDescription) -> bool:
    """The offer has other ICE credentials than agreed, so the answer needs new ones (RFC 8839 section 4.4.1).

    Raises:
        SdpError, NegotiationError: As `answer`.
    """
    if agreed.remote is None:
        return False
    sections = read_sections(offer)
    ufrag, _ = read_credentials(sections, usable_sections(offer, sections))
    return ufrag != agreed.remote.ufrag


def answer(
    agreed: Agreed,
    offer: SessionDescription,
    local: LocalDescription,
    policy: CodecPolicy,
    new_slot: Callable[[], SlotIds],
    *,
    refused: Collection[Mid] = (),
    plain: Collection[Mid] = (),
    slot_rule: SlotRule = SlotRule.ANY,
    msid: MsidOf = slot_msid,
) -> Negotiation:
    """Answer an offer. We are the DTLS server.

    Args:
        agreed: Outcome of the negotiation before, `Agreed()` at first.
        offer: The peer's.
        local: Our side. Needs new credentials when `is_ice_restart` says so, else the ones in use.
        policy: Codecs.
        new_slot: Called once for each section in which the peer receives for the first time.
        refused: Sections in which the peer may not send.
        plain: Sections whose sound must come without redundancy.
        slot_rule: In which sections the peer may ever get something.
        msid: Stream and track id for a section we send in.

    Raises:
        SdpError: An attribute cannot be read.
        NegotiationError: No rtcp-mux, fingerprint or ICE credentials; no common codec, where `slot_rule` is
            ANY or in the first section; the peer wants to be the DTLS server; nothing usable; sections
            moved, vanished or contradict each other.
    """
    sections = read_sections(offer)
    check_order(agreed, sections)
    usable = usable_sections(offer, sections)
    if not usable:
        raise NegotiationError("", "no section can be used: RTP or SCTP over DTLS, in one BUNDLE group")
    check_mux(usable)
    if read_setup(usable, "actpass") not in ("actpass", "active"):
        raise NegotiationError(usable[0].mid, "setup must be actpass or active: this server is passive")
    remote = read_transport(agreed, sections, usable)
    allow_mixed = all(section.allow_mixed for section in usable if section.kind in MEDIA_KINDS)

    answerer = SectionAnswerer(
        AnswerInput(agreed, local, policy, new_slot, refused, plain, slot_rule, msid),
        setup=DtlsRole.PASSIVE,
        allow_mixed=allow_mixed,
        # What an id means stays for the session (RFC 8285 section 6).
        offered_ids=dict(agreed.extensions),
    )
    usable_mids = {section.mid for section in usable}
    states: list[AgreedSection] = []
    media: list[MediaDescription] = []
    for section, offered in zip(sections, offer.media, strict=True):
        if section.mid not in usable_mids:
            state, description = answerer.reject(section, offered)
        elif section.kind == APPLICATION:
            state, description = answerer.data(section)
        else:
            try:
                state, description = answerer.media(section)
            except NoCommonCodecError:
                if slot_rule is SlotRule.ANY or not states:
                    raise
                # Clients whose tracks are declared apart from offers take a refused section for a track that
                # fails, and a refused offer for the end of everything.
                state, description = answerer.reject(section, offered)
        states.append(state)
        media.append(description)

    new = Agreed(
        session_id=agreed.session_id or zlib.crc32(local.ufrag.encode()) + 1,
        version=agreed.version + 1,
        sections=tuple(states),
        remote=remote,
        setup=DtlsRole.PASSIVE,
        extensions=tuple(sorted(answerer.extensions.items())),
        allow_mixed=allow_mixed,
    )
    accepted = {state.mid for state in states if not state.rejected}
    attributes: list[Attribute] = []
    if bundle_group(offer) is not None:
        attributes.append(Attribute("group", group_value(usable, accepted)))
    if allow_mixed:
        attributes.append(Attribute("extmap-allow-mixed"))
    attributes.append(Attribute("msid-semantic", "WMS *"))
    if local.ice_lite:
        attributes.append(Attribute("ice-lite"))
    return Negotiation(
        answer=SessionDescription(
            Origin(new.session_id, new.version), attributes=tuple(attributes), media=tuple(media)
        ),
        agreed=new,
        plan=make_plan(new),
        ice_restart=agreed.remote is not None and agreed.remote.ufrag != remote.ufrag,
    )
