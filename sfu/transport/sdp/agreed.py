"""What both sides have agreed to so far: input and output of every negotiation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sfu.core.codecs import MediaKind
from sfu.core.ids import Mid
from sfu.transport.plan import (
    DtlsRole,
    LayerSpec,
    ReceiveSection,
    SendSection,
    SlotIds,
    TransportPlan,
)
from sfu.transport.sdp.candidates import Candidate
from sfu.transport.sdp.codecs import SelectedCodec
from sfu.transport.sdp.model import SessionDescription

APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class LocalDescription:
    """Our side of the transport. New `ufrag` and `pwd` mean an ICE restart, or follow the peer's."""

    ufrag: str
    pwd: str
    fingerprint: str
    """As in `a=fingerprint`: `sha-256 AB:CD:...`."""
    candidates: tuple[Candidate, ...] = ()
    ice_lite: bool = True
    """We are the server: lite, and passive in DTLS."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One stream that we send in a section."""

    ids: SlotIds
    rid: str | None = None


@dataclass(frozen=True, slots=True)
class AgreedSection:
    """One section, by its place in every later description."""

    mid: Mid
    kind: str
    rejected: bool = False
    """Out of use; its place may be taken by a new mid."""
    sends: bool = False
    """We do, now."""
    receives: bool = False
    """We do, now."""
    codecs: tuple[SelectedCodec, ...] = ()
    layers: tuple[LayerSpec, ...] = ()
    cid: str = ""
    sent: bool = False
    """The peer has sent in it at some time."""
    slots: tuple[Slot, ...] = ()
    """Kept while the section lives, also when the peer does not receive for a time."""

    def has_feedback(self, name: str) -> bool:
        """Some codec agreed to this RTCP feedback."""
        return any(name in codec.feedback for codec in self.codecs)


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """The peer's side of ICE and DTLS."""

    ufrag: str
    pwd: str
    fingerprints: tuple[tuple[str, bytes], ...]
    candidates: tuple[tuple[str, int], ...]


class SlotRule(StrEnum):
    """In which offered sections we may ever send."""

    ANY = "any"
    RECEIVING = "receiving"
    """Those in which the peer has never sent: its clients keep the two apart."""
    NONE = "none"
    """Another transport is for that."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """State between negotiations. Begin with `Agreed()`."""

    session_id: int = 0
    version: int = 0
    """Of our descriptions: counts up."""
    sections: tuple[AgreedSection, ...] = ()
    remote: RemoteTransport | None = None
    setup: DtlsRole = DtlsRole.PASSIVE
    extensions: tuple[tuple[int, str], ...] = ()
    allow_mixed: bool = False

    def section(self, mid: str) -> AgreedSection | None:
        """The section of that mid, if it is in use."""
        return next((item for item in self.sections if item.mid == mid and not item.rejected), None)


@dataclass(frozen=True, slots=True)
class Negotiation:
    """Outcome of one negotiation."""

    answer: SessionDescription
    """Ours, or the peer's to an offer of ours."""
    agreed: Agreed
    plan: TransportPlan
    ice_restart: bool
    """The peer has new ICE credentials: it checks anew, and `plan` has them."""


def make_plan(agreed: Agreed) -> TransportPlan:
    """The plan that says what is agreed.

    Raises:
        ValueError: Nothing has been agreed yet.
    """
    if agreed.remote is None:
        msg = "no negotiation has taken place"
        raise ValueError(msg)
    receive = tuple(_receive(section) for section in agreed.sections if section.receives)
    transport_cc = any(section.transport_cc for section in receive)
    return TransportPlan(
        ice_ufrag=agreed.remote.ufrag,
        ice_pwd=agreed.remote.pwd,
        fingerprints=agreed.remote.fingerprints,
        setup=agreed.setup,
        candidates=agreed.remote.candidates,
        extensions=agreed.extensions,
        allow_mixed=agreed.allow_mixed,
        transport_cc=transport_cc,
        remb=not transport_cc and any(section.remb for section in receive),
        receive=receive,
        send=tuple(_send(section, slot) for section in agreed.sections for slot in section.slots),
        data=any(section.kind == APPLICATION and not section.rejected for section in agreed.sections),
    )


def _receive(section: AgreedSection) -> ReceiveSection:
    transport_cc = section.has_feedback("transport-cc")
    return ReceiveSection(
        mid=section.mid,
        kind=MediaKind(section.kind),
        codecs=tuple(item.codec for item in section.codecs),
        layers=section.layers,
        cid=section.cid,
        transport_cc=transport_cc,
        remb=not transport_cc and section.has_feedback("goog-remb"),
    )


def _send(section: AgreedSection, slot: Slot) -> SendSection:
    codecs = tuple(item.codec for item in section.codecs)
    repaired = any(codec.rtx_payload_type is not None for codec in codecs)
    return SendSection(
        mid=section.mid,
        kind=MediaKind(section.kind),
        codecs=codecs,
        ssrc=slot.ids.ssrc,
        rtx_ssrc=slot.ids.rtx_ssrc if repaired else None,
        slot=slot.ids.slot,
        active=section.sends,
        rid=slot.rid,
    )
