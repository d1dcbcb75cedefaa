"""A plan as commands: the words of a negotiation for those of the packet plane. Pure.

The server's side and whoever takes the client's part (agents, load test) say the same by them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sfu.core.ids import RoomId, TrackId, TransportId
from sfu.dataplane.commands import (
    AddSlot,
    AddTrack,
    IceCredentials,
    LayerSpec,
    ReceiveCodec,
    SendCodec,
    SetRemote,
    TransportSource,
)
from sfu.transport.plan import NegotiatedCodec, ReceiveSection, SendSection, TransportPlan


def receive_codecs(codecs: Iterable[NegotiatedCodec]) -> tuple[ReceiveCodec, ...]:
    """What a track may be sent as."""
    return tuple(
        ReceiveCodec(
            item.payload_type,
            item.codec,
            item.clock_rate,
            item.rtx_payload_type,
            item.nack,
            item.format,
            item.pli,
            item.fir,
        )
        for item in codecs
    )


def set_remote(transport: TransportId, plan: TransportPlan) -> SetRemote:
    """The far side as a client knows it: with the addresses to send checks to."""
    return SetRemote(
        transport=transport,
        ice=IceCredentials(plan.ice_ufrag, plan.ice_pwd),
        fingerprints=plan.fingerprints,
        candidates=plan.candidates,
        extensions=plan.extensions,
        allow_mixed=plan.allow_mixed,
        transport_cc=plan.transport_cc,
        remb=plan.remb,
        data=plan.data,
    )


def add_slot(transport: TransportId, section: SendSection) -> AddSlot:
    """The command that makes the plane know an outgoing section."""
    return AddSlot(
        slot=section.slot,
        transport=transport,
        mid=section.mid,
        rid=section.rid,
        kind=section.kind,
        ssrc=section.ssrc,
        rtx_ssrc=section.rtx_ssrc,
        codecs=tuple(
            SendCodec(item.payload_type, item.codec, item.clock_rate, item.rtx_payload_type, item.format)
            for item in section.codecs
        ),
    )


def add_track(track: TrackId, section: ReceiveSection, transport: TransportId, room: RoomId) -> AddTrack:
    """The command that makes the plane accept what comes in a section, or know it anew."""
    return AddTrack(
        track=track,
        room=room,
        source=TransportSource(transport, section.mid),
        kind=section.kind,
        codecs=receive_codecs(section.codecs),
        layers=tuple(LayerSpec(spec.rid, spec.ssrc, spec.rtx_ssrc) for spec in section.layers),
        muted=False,
        cname="",
    )
