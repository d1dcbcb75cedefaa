"""One section of an answer: what we take of it, and the lines that say so."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from sfu.core.codecs import MediaKind
from sfu.core.ids import Mid
from sfu.transport.plan import DtlsRole, SlotIds
from sfu.transport.sdp.agreed import APPLICATION, Agreed, AgreedSection, LocalDescription, Slot, SlotRule
from sfu.transport.sdp.codecs import REMB, TRANSPORT_CC, CodecPolicy, SelectedCodec, select_codecs
from sfu.transport.sdp.compose import data_section, media_section, rejected_section, transport_lines
from sfu.transport.sdp.extensions import TRANSPORT_CC as TRANSPORT_CC_URI
from sfu.transport.sdp.extensions import select_extensions, takes_descriptor
from sfu.transport.sdp.model import Attribute, Direction, MediaDescription
from sfu.transport.sdp.section import ExtMap, Section
from sfu.transport.sdp.simulcast import accepted_rids, read_layers

MsidOf = Callable[[Mid], tuple[str, str]]


@dataclass(frozen=True, slots=True)
class AnswerInput:
    """What an answer depends on beside the offer; see `negotiate.answer`."""

    agreed: Agreed
    local: LocalDescription
    policy: CodecPolicy
    new_slot: Callable[[], SlotIds]
    refused: Collection[Mid]
    plain: Collection[Mid]
    slot_rule: SlotRule
    msid: MsidOf


@dataclass(slots=True)
class SectionAnswerer:
    """Answers section by section; collects what belongs to the BUNDLE group as a whole."""

    given: AnswerInput
    setup: DtlsRole
    allow_mixed: bool
    offered_ids: dict[int, str] = field(default_factory=dict)
    """URI by id, agreed to or not, in this session so far."""
    extensions: dict[int, str] = field(default_factory=dict)

    def reject(self, section: Section, offered: MediaDescription) -> tuple[AgreedSection, MediaDescription]:
        """Refuse the section. Slots it had are gone with it."""
        state = AgreedSection(mid=Mid(section.mid), kind=section.kind, rejected=True)
        return state, rejected_section(self._mid(section), offered, self._transport())

    def data(self, section: Section) -> tuple[AgreedSection, MediaDescription]:
        """Agree to the SCTP association."""
        state = AgreedSection(mid=Mid(section.mid), kind=APPLICATION)
        return state, data_section(self._mid(section), section.protocol, self._transport())

    def media(self, section: Section) -> tuple[AgreedSection, MediaDescription]:
        """Agree to an audio or video section, as far as both sides want it.

        Raises:
            NegotiationError: No common codec, or an extension id means two things.
        """
        given, kind, mid = self.given, MediaKind(section.kind), Mid(section.mid)
        redundant = (mid not in given.plain) if section.direction.sends else None
        selected = select_codecs(section, kind, given.policy, redundant=redundant)
        extensions = select_extensions(
            section,
            kind,
            self.offered_ids,
            allow_mixed=self.allow_mixed,
            described=takes_descriptor(section, [item.codec.codec for item in selected]),
        )
        self.extensions.update((item.id, item.uri) for item in extensions)
        codecs = _settle_feedback(selected, extensions)
        receives = section.direction.sends and mid not in given.refused
        before = given.agreed.section(mid)
        sent = section.direction.sends or (before is not None and before.sent)
        sends = section.direction.receives and self._may_send(sent=sent)
        slots = before.slots if before is not None else ()
        if sends and not slots:
            slots = (Slot(given.new_slot()),)
        state = AgreedSection(
            mid=mid,
            kind=section.kind,
            sends=sends,
            receives=receives,
            codecs=codecs,
            layers=read_layers(section) if receives else (),
            cid=section.msid[1] if receives and section.msid else "",
            sent=sent,
            slots=slots,
        )
        stream_id, track_id = given.msid(mid)
        description = media_section(
            self._mid(section),
            section.kind,
            section.protocol,
            Direction.of(sends=sends, receives=receives),
            transport=self._transport(),
            codecs=codecs,
            extensions=extensions,
            rtcp_rsize=section.rtcp_rsize,
            msid=(stream_id, track_id) if sends else None,
            slots=slots if sends else (),
            cname=stream_id,
            rids=accepted_rids(section) if receives else (),
        )
        return state, description

    def _may_send(self, *, sent: bool) -> bool:
        rule = self.given.slot_rule
        return rule is SlotRule.ANY or (rule is SlotRule.RECEIVING and not sent)

    def _mid(self, section: Section) -> str | None:
        return section.mid if section.has_mid else None

    def _transport(self) -> list[Attribute]:
        return list(transport_lines(self.given.local, self.setup.value))


def _settle_feedback(
    codecs: tuple[SelectedCodec, ...], extensions: tuple[ExtMap, ...]
) -> tuple[SelectedCodec, ...]:
    # Transport-wide feedback needs its sequence numbers; beside it, REMB would be a second opinion.
    if any(item.uri == TRANSPORT_CC_URI for item in extensions):
        unwanted = REMB if any(TRANSPORT_CC in item.feedback for item in codecs) else ""
    else:
        unwanted = TRANSPORT_CC
    return tuple(
        replace(item, feedback=tuple(name for name in item.feedback if name != unwanted)) for item in codecs
    )
