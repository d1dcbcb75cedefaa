"""What the domain needs of the packet plane. The facade in `sfu.dataplane` is one, a recorder another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from sfu.core.ids import ParticipantId, RoomId, SlotId, TrackId, TransportId, WorkerId
from sfu.dataplane.commands import Command, IceCredentials, LocalPath
from sfu.dataplane.events import Event, WorkerStats


class PacketPlane(Protocol):
    """Commands go out, events come back, both in order per worker. Ids count up and are never reused."""

    @property
    def fingerprint(self) -> str:
        """Of our DTLS certificate, as in `a=fingerprint`: `sha-256 AB:CD:...`."""

    def new_room_id(self) -> RoomId: ...

    def new_participant_id(self) -> ParticipantId: ...

    def new_transport_id(self) -> TransportId: ...

    def new_track_id(self) -> TrackId: ...

    def new_slot_id(self) -> SlotId: ...

    def place(self, room: RoomId) -> WorkerId:
        """The worker for a new transport of this room."""

    def credentials(self, worker: WorkerId) -> IceCredentials:
        """Fresh ones that lead to this worker."""

    def addresses(self, worker: WorkerId) -> tuple[tuple[str, int], ...]:
        """IP address and port to announce to clients of this worker, best first."""

    def local_path(self, secret: str, worker: WorkerId, transport: TransportId) -> LocalPath:
        """The way of a transport to a process that this server started. Raises LocalRingRefusedError."""

    def apply(self, commands: Iterable[Command]) -> None:
        """Send commands. Never blocks; what fails comes back as `CommandFailed`."""

    def subscribe_events(self, callback: Callable[[Event], None]) -> None:
        """Call back on the loop for each event from now on."""

    async def stats(self) -> Sequence[WorkerStats]:
        """Every worker's figures, as of now."""

    async def last_received(self, transport: TransportId) -> int:
        """Number of the last reliable data message that came by a transport, of a client that counts them; 0:
        none, or unknown."""

    async def close(self, deadline_s: float) -> None:
        """Close transports, join the workers."""
