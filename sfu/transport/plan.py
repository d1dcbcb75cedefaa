"""The outcome of a negotiation, in the words of the packet plane: what it is told about one transport.

A plan is whole, never a difference: the owner compares it with the plan before and sends the commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sfu.core.codecs import Codec, MediaKind
from sfu.core.ids import Mid, SlotId


class DtlsRole(StrEnum):
    """Our side of `a=setup` (RFC 8842). A server's answers are passive, a client's active. Whoever answers an
    offer of the server decides; some stacks are passive towards a lite agent."""

    ACTIVE = "active"
    PASSIVE = "passive"


@dataclass(frozen=True, slots=True)
class NegotiatedCodec:
    """One payload type of one section."""

    payload_type: int
    """0..127, outside 64..95 (RFC 5761 section 4)."""
    codec: Codec
    clock_rate: int
    """RTP ticks per second."""
    channels: int
    fmtp: str
    """As agreed, without the payload type; "" when there is none."""
    rtx_payload_type: int | None
    nack: bool
    """Generic NACK is agreed."""
    format: int
    """Codec and format parameters as one number; equal numbers may be forwarded to each other."""
    pli: bool = True
    """Picture loss indications are agreed (RFC 4585 section 6.3.1)."""
    fir: bool = False
    """Full intra requests are agreed (RFC 5104 section 4.3.1)."""


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One simulcast layer, or the only one. What is None is learnt from packets."""

    rid: str | None = None
    ssrc: int | None = None
    rtx_ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class SlotIds:
    """What one outgoing stream keeps for the life of its transport."""

    slot: SlotId
    ssrc: int
    rtx_ssrc: int


@dataclass(frozen=True, slots=True)
class ReceiveSection:
    """A section the peer sends in: at most one track."""

    mid: Mid
    kind: MediaKind
    codecs: tuple[NegotiatedCodec, ...]
    """What the peer may send; it prefers the first."""
    layers: tuple[LayerSpec, ...]
    """Lowest quality first; at least one."""
    cid: str
    """Track id of `a=msid` (RFC 8830), "" when there is none."""
    transport_cc: bool
    """Transport-wide feedback is agreed."""
    remb: bool
    """REMB is agreed, and transport-wide feedback is not."""


@dataclass(frozen=True, slots=True)
class SendSection:
    """A section we send in. `slot`, SSRCs and mid never change while the section lives."""

    mid: Mid
    kind: MediaKind
    codecs: tuple[NegotiatedCodec, ...]
    """What the peer takes, by its preference."""
    ssrc: int
    rtx_ssrc: int | None
    slot: SlotId
    active: bool
    """The peer wants to receive now. An inactive slot stays, bound to nothing: its sequence goes on."""
    rid: str | None = None
    """Only where we publish simulcast, as a client: one entry per layer, lowest quality first."""


@dataclass(frozen=True, slots=True)
class TransportPlan:
    """Everything agreed about one transport."""

    ice_ufrag: str
    """The peer's, like the password."""
    ice_pwd: str
    fingerprints: tuple[tuple[str, bytes], ...]
    """Hash name in lower case, digest. One of them must be the peer's certificate."""
    setup: DtlsRole
    """Ours."""
    candidates: tuple[tuple[str, int], ...]
    """The peer's UDP addresses and ports, by falling priority. A lite responder does without."""
    extensions: tuple[tuple[int, str], ...]
    """Header extensions by id, for the whole BUNDLE group."""
    allow_mixed: bool
    """Two-byte header extensions may be sent (RFC 8285 section 6)."""
    transport_cc: bool
    """Some section we receive in agreed to transport-wide feedback."""
    remb: bool
    """Some section we receive in agreed to REMB, and none to transport-wide feedback."""
    receive: tuple[ReceiveSection, ...]
    send: tuple[SendSection, ...]
    data: bool
    """An SCTP association is agreed."""
