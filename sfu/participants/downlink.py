"""The second transport of a client that gets its media on one of its own: we offer, it answers.

Sections come as subscriptions need them. One that is offered can be bound to a track before the answer, so
that one exchange brings the track; the plane learns of it with the answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from sfu.core.codecs import MediaKind
from sfu.core.ids import Mid, RoomId, SlotId, TransportId
from sfu.dataplane.commands import (
    AddTransport,
    Command,
    IceCredentials,
    RemoveSlot,
    RestartIce,
    Role,
    Subscribe,
    Unsubscribe,
    UpdateSubscription,
)
from sfu.participants.connection import Connection, remote_command, slot_of
from sfu.participants.plane import PacketPlane
from sfu.router.plan import Assignment
from sfu.router.plan import Slot as RoutedSlot
from sfu.transport.commands import add_slot
from sfu.transport.lifecycle import Signal
from sfu.transport.sdp.agreed import APPLICATION, Slot
from sfu.transport.sdp.catalog import offered_codecs
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import write
from sfu.transport.sdp.offer import WantedSection
from sfu.transport.sdp.opus import STEREO_GIVEN, state_opus

Route = Subscribe | Unsubscribe | UpdateSubscription


class Downlink:
    """Begin with `offer`; feed its answer to `accept`; then offer again when `sections` or names changed."""

    def __init__(
        self,
        plane: PacketPlane,
        room: RoomId,
        policy: CodecPolicy,
        *,
        congestion_control: bool,
        playout_delay: tuple[int, int] | None = None,
    ) -> None:
        self.connection = Connection(
            plane, room, policy, congestion_control=congestion_control, playout_delay=playout_delay
        )
        self.offer_id = 0
        """Of the newest offer, counted from 1."""
        self.grown = False
        """There are sections that no offer has shown."""
        self._plane = plane
        self._policy = policy
        self._sections: list[WantedSection] = [WantedSection(Mid("0"), APPLICATION)]
        self._known: set[SlotId] = set()
        """Slots that the plane has."""

    @property
    def transport(self) -> TransportId:
        """Its id in the plane."""
        return self.connection.transport

    @property
    def offering(self) -> bool:
        """An offer waits for its answer."""
        return self.connection.peer.offering

    @property
    def sections(self) -> int:
        """How many there are, offered or not."""
        return len(self._sections)

    def grow(self, audio: int, video: int) -> None:
        """Add sections; tracks may be bound to them at once."""
        for kind, count in ((MediaKind.AUDIO, audio), (MediaKind.VIDEO, video)):
            codecs = [item.codec for item in offered_codecs(kind, self._policy)]
            for _ in range(count):
                mid = Mid(str(len(self._sections)))
                ids = self.connection.new_slot()
                self._sections.append(WantedSection(mid, kind.value, slots=(Slot(ids),)))
                self.connection.slots[ids.slot] = RoutedSlot(
                    id=ids.slot,
                    mid=mid,
                    kind=kind,
                    formats=frozenset(codec.format for codec in codecs),
                    codec_names=tuple(dict.fromkeys(codec.codec.mime for codec in codecs)),
                )
                self.grown = True

    def offer(
        self,
        names: Mapping[Mid, tuple[str, str]],
        *,
        stereo: Collection[Mid] = (),
        restart: bool = False,
    ) -> tuple[str, list[Command]]:
        """The next offer and what to tell the plane before it is sent.

        Args:
            names: Stream and track id of every section that is to send; the others fall silent.
            stereo: Sections whose sound has two channels.
            restart: The client's network may be another: check anew. Takes the place of an unanswered offer.

        Raises:
            NegotiationError: One is outstanding, and this is no restart.
        """
        peer, commands = self.connection.peer, list[Command]()
        if restart:
            peer.withdraw()
            peer.restart_ice()
        wanted = tuple(
            replace(section, sends=section.mid in names, msid=names.get(section.mid))
            for section in self._sections
        )
        offered = peer.offer(wanted)
        credentials = IceCredentials(peer.local.ufrag, peer.local.pwd)
        if not self.offer_id:
            # Who has our credentials may check before he answers.
            peer.lifecycle.handle(Signal.NEGOTIATED)
            commands.append(AddTransport(self.transport, self.connection.room, Role.SERVER, credentials))
        elif restart:
            commands.append(RestartIce(self.transport, credentials))
        self.offer_id += 1
        self.grown = False
        return write(state_opus(offered.offer, dict.fromkeys(stereo, (STEREO_GIVEN,)))), commands

    def accept(self, sdp: str, applied: Mapping[SlotId, Assignment]) -> list[Command]:
        """Take the client's answer; what to tell the plane, with the tracks that are bound already.

        Raises:
            SdpError, NegotiationError: It answers no offer of ours, or not this one.
        """
        peer, slots = self.connection.peer, self.connection.slots
        before = peer.plan
        after = peer.handle_answer(sdp).plan
        commands: list[Command] = []
        remote = remote_command(self.connection, after, opens_channels=True)
        if before is None or remote != remote_command(self.connection, before, opens_channels=True):
            commands.append(remote)
        agreed = {section.slot: section.codecs for section in before.send} if before is not None else {}
        left = set(self._known)
        for section in after.send:
            left.discard(section.slot)
            # Silent for now, but any track may come there.
            slots[section.slot] = replace(slot_of(section), active=True)
            if agreed.get(section.slot) != section.codecs:
                commands.append(add_slot(self.transport, section))
            if section.slot not in self._known:
                self._known.add(section.slot)
                bound = applied.get(section.slot)
                if bound is not None:
                    commands.append(Subscribe(section.slot, bound.track, bound.wish))
        for slot in left:
            self._known.discard(slot)
            commands.append(RemoveSlot(slot))
        wanted = {slot.ids.slot for section in self._sections for slot in section.slots}
        refused = {section.mid for section in peer.agreed.sections if section.rejected}
        for slot, item in list(slots.items()):
            if slot not in wanted or item.mid in refused:
                del slots[slot]
        return commands

    def renew_slot(self, slot: RoutedSlot) -> tuple[SlotId, list[Command]]:
        """As `Connection.renew_slot`; the plane learns of the new one with the next answer."""
        ids = self.connection.new_slot()
        self._sections = [
            replace(section, slots=(Slot(ids),)) if section.mid == slot.mid else section
            for section in self._sections
        ]
        del self.connection.slots[slot.id]
        self.connection.slots[ids.slot] = replace(slot, id=ids.slot)
        known = slot.id in self._known
        self._known.discard(slot.id)
        return ids.slot, [RemoveSlot(slot.id)] if known else []

    def routes(self, commands: Iterable[Route]) -> list[Route]:
        """Those that the plane can follow now; the rest comes with the answer."""
        return [command for command in commands if command.slot in self._known]
