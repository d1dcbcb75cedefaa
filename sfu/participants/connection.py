"""A participant's transport: what was agreed about it, and what the plane was told."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace

from sfu.core.codecs import Codec
from sfu.core.ids import Mid, RoomId, SlotId, Ssrc, TransportId, WorkerId
from sfu.dataplane.commands import (
    AddTransport,
    Command,
    IceCredentials,
    RemoveSlot,
    RestartIce,
    Role,
    SetRemote,
)
from sfu.participants.plane import PacketPlane
from sfu.router.plan import Slot
from sfu.transport.commands import add_slot, set_remote
from sfu.transport.peer import Considered, Peer
from sfu.transport.plan import DtlsRole, SendSection, SlotIds, TransportPlan
from sfu.transport.sdp.agreed import LocalDescription, SlotRule
from sfu.transport.sdp.candidates import host_candidate
from sfu.transport.sdp.codecs import CodecPolicy

MAX_PREFERENCE = 65535
"""Local preference of our best address (RFC 8445 section 5.1.2.1)."""


class Connection:
    """One transport in its room. `consider` changes nothing; `commit` makes an answer true."""

    def __init__(
        self,
        plane: PacketPlane,
        room: RoomId,
        policy: CodecPolicy,
        slot_rule: SlotRule = SlotRule.ANY,
        *,
        congestion_control: bool,
        playout_delay: tuple[int, int] | None = None,
        local_ring: str = "",
    ) -> None:
        """Raises LocalRingRefusedError where `local_ring` is a secret that this server has not given."""
        self.transport: TransportId = plane.new_transport_id()
        self.room = room
        self.worker = plane.place(room)
        self.local_path = plane.local_path(local_ring, self.worker, self.transport) if local_ring else None
        """To a process beside ours, in place of the network."""
        self.slots: dict[SlotId, Slot] = {}
        self.congestion_control = congestion_control
        """What is sent follows what the client's network takes."""
        self.playout_delay = playout_delay
        """How long its client shall hold pictures back; see `SetRemote`."""
        self._slot_rule = slot_rule
        credentials = plane.credentials(self.worker)
        local = LocalDescription(
            ufrag=credentials.ufrag,
            pwd=credentials.password,
            fingerprint=plane.fingerprint,
            candidates=tuple(
                host_candidate(address, port, local_preference=MAX_PREFERENCE - rank)
                for rank, (address, port) in enumerate(plane.addresses(self.worker))
            ),
        )
        self.new_slot = _slot_source(plane)
        self.peer = Peer(local, policy, self.new_slot, _credential_source(plane, self.worker))

    @property
    def local_route(self) -> tuple[WorkerId, int] | None:
        """Whose ring it is on, and which number it has there; None: it is on the network."""
        return (self.worker, self.local_path.route) if self.local_path is not None else None

    @property
    def has_data(self) -> bool:
        """An SCTP association is agreed."""
        return self.peer.plan is not None and self.peer.plan.data

    @property
    def sections(self) -> int:
        """Places in the description, rejected ones included: they never go away."""
        return len(self.peer.agreed.sections)

    def consider(
        self,
        sdp: str,
        refused: Collection[Mid] = (),
        plain: Collection[Mid] = (),
        preferred: Mapping[Mid, Codec] | None = None,
    ) -> Considered:
        """Answer an offer. Raises SdpError, NegotiationError.

        Args:
            sdp: The client's offer.
            refused: Sections in which it may not send.
            plain: Sections whose sound must come without redundancy.
            preferred: What it should send in a section, where it offers that.
        """
        return self.peer.consider(
            sdp, refused=refused, plain=plain, slot_rule=self._slot_rule, preferred=preferred
        )

    def commit(self, considered: Considered) -> list[Command]:
        """Take an answer as agreed; commands that tell the plane, tracks excepted."""
        before, after = self.peer.plan, considered.negotiation.plan
        commands: list[Command] = []
        credentials = IceCredentials(considered.local.ufrag, considered.local.pwd)
        if before is None:
            commands.append(
                AddTransport(self.transport, self.room, Role.SERVER, credentials, local_path=self.local_path)
            )
        elif considered.negotiation.ice_restart:
            commands.append(RestartIce(self.transport, credentials))
        remote = remote_command(self, after)
        if before is None or remote != remote_command(self, before):
            commands.append(remote)
        commands += self._change_slots(before.send if before is not None else (), after.send)
        self.peer.settle(considered)
        return commands

    def renew_slot(self, slot: Slot) -> tuple[SlotId | None, list[Command]]:
        """Put another slot, with another SSRC, in the place of one of ours; None if the section has gone."""
        self.peer.renew_slot(slot.mid)
        del self.slots[slot.id]
        commands: list[Command] = [RemoveSlot(slot.id)]
        plan = self.peer.plan
        for section in plan.send if plan is not None else ():
            if section.mid == slot.mid:
                self.slots[section.slot] = slot_of(section)
                return section.slot, [*commands, add_slot(self.transport, section)]
        return None, commands

    def _change_slots(
        self, before: tuple[SendSection, ...], after: tuple[SendSection, ...]
    ) -> Iterator[Command]:
        known = {section.slot: section for section in before}
        for slot in known.keys() - {section.slot for section in after}:
            del self.slots[slot]
            yield RemoveSlot(slot)
        for section in after:
            self.slots[section.slot] = slot_of(section)
            old = known.get(section.slot)
            if old is None or (old.codecs, old.rtx_ssrc) != (section.codecs, section.rtx_ssrc):
                yield add_slot(self.transport, section)


# Not methods: a connection that its own peer refers to would live until the garbage collector comes.


def _credential_source(plane: PacketPlane, worker: WorkerId) -> Callable[[], tuple[str, str]]:
    def new_credentials() -> tuple[str, str]:
        credentials = plane.credentials(worker)
        return credentials.ufrag, credentials.password

    return new_credentials


def _slot_source(plane: PacketPlane) -> Callable[[], SlotIds]:
    taken: set[int] = {0}

    def new_ssrc() -> Ssrc:
        # A receiver report must name one stream of the transport.
        while (number := secrets.randbits(32)) in taken:
            pass
        taken.add(number)
        return Ssrc(number)

    return lambda: SlotIds(plane.new_slot_id(), new_ssrc(), new_ssrc())


def remote_command(connection: Connection, plan: TransportPlan, *, opens_channels: bool = False) -> SetRemote:
    """The command that makes the plane know the far side."""
    return replace(
        set_remote(connection.transport, plan),
        candidates=(),
        dtls_active=plan.setup is DtlsRole.ACTIVE,
        opens_channels=opens_channels,
        congestion_control=connection.congestion_control,
        playout_delay=connection.playout_delay,
    )


def slot_of(section: SendSection) -> Slot:
    """The section as routing sees it."""
    return Slot(
        id=section.slot,
        mid=section.mid,
        kind=section.kind,
        formats=frozenset(codec.format for codec in section.codecs),
        codec_names=tuple(dict.fromkeys(codec.codec.mime for codec in section.codecs)),
        active=section.active,
    )
