"""The packet plane as the control plane uses it: typed, on the event loop. The only importer of `_native`.

Commands are gathered and handed over once per loop turn; events come in batches through one descriptor.
Nothing here waits for a worker, and no worker waits for us.
"""

from __future__ import annotations

import asyncio
import atexit
import ipaddress
import itertools
import logging
import secrets
import string
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sfu.core.ids import ParticipantId, RoomId, SlotId, TapId, TrackId, TransportId, WorkerId
from sfu.dataplane import _native
from sfu.dataplane.commands import (
    AddTarget,
    Command,
    IceCredentials,
    LocalPath,
    ReadDataReceived,
    ReadStats,
    RemoveTarget,
    RemoveTransport,
    TapTarget,
)
from sfu.dataplane.events import (
    Answer,
    CommandFailed,
    Event,
    LocalRingClosed,
    TransportState,
    TransportStateChanged,
    WorkerStats,
    decode,
)
from sfu.dataplane.freshness import check
from sfu.dataplane.local_rings import LocalRings
from sfu.dataplane.placement import ROOM_SHARE, WORKER_DIGITS, NotPlacedError, Placed, Placement

check(_native.source_checksum)

log = logging.getLogger(__name__)

EVENTS_PER_TURN = 1000
"""Drained at once; about 10 ms of Python. The rest keeps the descriptor readable for the next turn."""
MESSAGES_PER_TURN = 2000
"""The same for data messages of transports in client role, which cost less each."""
ANSWER_TIMEOUT_S = 5.0
"""A worker answers in a turn, which takes milliseconds."""
BRIEF_TIMEOUT_S = 1.0
"""The same for a question that somebody's reconnection waits for: LiveKit's clients give it 5 s in all."""
EXIT_DEADLINE_S = 2.0
"""For workers that nobody closed before the interpreter ends."""

ICE_CHARACTERS = string.ascii_letters + string.digits + "+/"
"""RFC 8839 section 5.4."""
UFRAG_LENGTH, PASSWORD_LENGTH = 16, 24
"""84 random bits beside the worker, 144 bits: RFC 8445 section 5.3 asks for 24 and 128."""

Address = tuple[str, int]
TapPacket = tuple[int, int, int, bool, bytes]
"""Layer, extended sequence number, RTP timestamp, marker, payload."""
EmulatedNetwork = tuple[str, str, int]
"""Up, down and seed; the links as `LinkConfig` of dataplane/emulator reads them."""
LocalPacket = tuple[int, bool, int | None, bytes]
"""RTP timestamp, marker, audio level in -dBov (RFC 6464) or None, payload."""
TrackPacket = tuple[int, int, int, int, bool, bytes]
"""Layer, index of the codec, extended sequence number, RTP timestamp, marker, payload."""
PlayedFrame = tuple[int, bytes]
"""20 ms of Opus: audio level in -dBov (RFC 6464), payload."""
PlayerFigures = tuple[int, int, int, int]
"""Frames that wait; played, without silence; gaps in the sound; frames there was no room for."""
ClientMessage = tuple[bool, bytes]
"""Whether over the channel that loses nothing; the envelope of the server's dialect."""


Question = ReadStats | ReadDataReceived
"""What a worker answers, with the token that it was given."""


class DataPlane:
    """All packet workers of this process. To be made, used and closed on one running event loop."""

    def __init__(
        self,
        *,
        workers: int,
        bind: Sequence[str] = (),
        port: int = 0,
        port_per_worker: bool = False,
        announce: Sequence[str] = (),
        room_share: int = ROOM_SHARE,
        voices: int = 0,
        seed: int | None = None,
    ) -> None:
        """Bind and start.

        Args:
            workers: Threads; at least 1.
            bind: IP addresses to receive at. None for a plane of clients alone.
            port: UDP port; 0 takes any. With `port_per_worker` the first of a row.
            port_per_worker: A port for each worker in place of one for all.
            announce: IP addresses to give to clients, best first.
            room_share: Transports of a room on one worker before the next one gets some.
            voices: Voices of a large room that are forwarded at once; 0: all, as a plane of clients must.
            seed: Of SSRCs, tie-breakers and the like; random by default.

        Raises:
            OSError: An address is taken or not ours.
            ValueError: No worker, or something that is no address.
        """
        self._native = _native.Plane(
            workers=workers,
            bind=[_text(address, port) for address in bind],
            port_per_worker=port_per_worker,
            voices=voices,
            seed=secrets.randbits(64) if seed is None else seed,
        )
        self.workers = workers
        self.fingerprint = self._native.fingerprint
        """Of our DTLS certificate, as in `a=fingerprint`."""
        self._bound = [[_parse(address) for address in mine] for mine in self._native.addresses]
        self._announce = tuple(announce)
        self._placement = Placement(workers, room_share)
        self.local_rings = LocalRings(self._native, [WorkerId(index) for index in range(workers)])
        """To processes beside this one."""
        self._numbers = itertools.count(1)
        self._pending: defaultdict[WorkerId, list[object]] = defaultdict(list)
        self._flushing = False
        self._callbacks: list[Callable[[Event], None]] = []
        self._questions: dict[int, asyncio.Future[Any]] = {}
        self._taps: dict[TapId, tuple[TrackId, WorkerId]] = {}
        self._readers: dict[TransportId, Callable[[bool, bytes], None]] = {}
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._native.event_fd, self._drain)
        self._loop.add_reader(self._native.message_fd, self._drain_messages)
        atexit.register(self._at_exit)

    @property
    def age_s(self) -> float:
        """Seconds since the moment from which generators and meters count their times."""
        return self._native.age_s

    # Ids count up and are never reused, all kinds together: an id in a log names one thing.

    def new_room_id(self) -> RoomId:
        """A fresh id; so are the others."""
        return RoomId(next(self._numbers))

    def new_participant_id(self) -> ParticipantId:
        """See `new_room_id`."""
        return ParticipantId(next(self._numbers))

    def new_transport_id(self) -> TransportId:
        """See `new_room_id`."""
        return TransportId(next(self._numbers))

    def new_track_id(self) -> TrackId:
        """See `new_room_id`."""
        return TrackId(next(self._numbers))

    def new_slot_id(self) -> SlotId:
        """See `new_room_id`."""
        return SlotId(next(self._numbers))

    def new_meter_id(self) -> int:
        """See `new_room_id`."""
        return next(self._numbers)

    def place(self, room: RoomId) -> WorkerId:
        """The worker for a new transport of this room."""
        return self._placement.place(room)

    def credentials(self, worker: WorkerId) -> IceCredentials:
        """Fresh ones, whose ufrag leads to this worker."""
        prefix = f"{worker:0{WORKER_DIGITS}x}"
        return IceCredentials(
            prefix + _random_text(UFRAG_LENGTH - WORKER_DIGITS), _random_text(PASSWORD_LENGTH)
        )

    def addresses(self, worker: WorkerId) -> tuple[Address, ...]:
        """IP address and port to announce to clients of this worker, best first.

        An announced address that is bound itself has its own port; any other stands for a socket of its
        family, behind a wildcard or a NAT. One without such a socket is left out.
        """
        bound = self._bound[worker]
        found = []
        for text in self._announce:
            ip = ipaddress.ip_address(text)
            own = [port for address, port in bound if address == ip]
            family = [port for address, port in bound if address.version == ip.version]
            if ports := own or family:
                found.append((text, ports[0]))
        return tuple(found)

    def bound(self, worker: WorkerId) -> tuple[Address, ...]:
        """Where this worker really receives."""
        return tuple((str(address), port) for address, port in self._bound[worker])

    def local_path(self, secret: str, worker: WorkerId, transport: TransportId) -> LocalPath:
        """As `LocalRings.path`."""
        return self.local_rings.path(secret, worker, transport)

    def join_local_ring(self, memory: int, socket: int) -> int:
        """Client role: number of the ring on our first worker. The descriptors stay open. Raises OSError."""
        return self._native.join_local_ring(0, memory, socket)

    def apply(self, commands: Iterable[Command]) -> None:
        """Send commands, in order per worker. Never blocks; what fails comes back as `CommandFailed`."""
        for command in commands:
            try:
                self._enqueue(self._placement.route(command))
            except NotPlacedError as error:
                self._fail(WorkerId(0), command, error.number, str(error))

    def subscribe_events(self, callback: Callable[[Event], None]) -> None:
        """Call back on the loop for each event from now on."""
        self._callbacks.append(callback)

    async def stats(self) -> list[WorkerStats]:
        """Figures of all workers, at this moment.

        Raises:
            TimeoutError: A worker does not answer.
        """
        questions = [(WorkerId(index), ReadStats) for index in range(self.workers)]
        return await self._ask(questions, ANSWER_TIMEOUT_S)

    async def last_received(self, transport: TransportId) -> int:
        """Number of the last reliable data message that came by a transport from a client that counts them.

        0: none came, or its worker does not say.
        """
        try:
            worker = self._placement.worker(transport)
            question = (worker, lambda token: ReadDataReceived(transport, token))
            (answer,) = await self._ask([question], BRIEF_TIMEOUT_S)
        except (NotPlacedError, TimeoutError):
            return 0
        return int(answer.sequence)

    async def _ask(
        self, questions: Sequence[tuple[WorkerId, Callable[[int], Question]]], timeout_s: float
    ) -> list[Any]:
        """The answers, in order. Raises TimeoutError."""
        tokens = [next(self._numbers) for _ in questions]
        answers = [self._questions.setdefault(token, self._loop.create_future()) for token in tokens]
        for token, (worker, make) in zip(tokens, questions, strict=True):
            self._enqueue([(worker, make(token))])
        try:
            async with asyncio.timeout(timeout_s):
                return list(await asyncio.gather(*answers))
        finally:
            for token in tokens:
                self._questions.pop(token, None)

    # Client role: every transport has a socket of its own, which is all that tells two of them apart
    # at one server address.

    def open_socket(
        self, worker: WorkerId, address: str, network: EmulatedNetwork | None = None
    ) -> tuple[int, Address]:
        """Number (for `AddTransport.socket`) and address of a new socket at this IP address.

        Bind it to an address, not to the wildcard: answers have to come in where checks go out. With a
        network, everything it sends and receives passes that; the table `network` says what it did to all.
        Raises OSError, ValueError.
        """
        number, bound = self._native.open_socket(worker, _text(address, 0), network)
        ip, port = _parse(bound)
        return number, (str(ip), port)

    def close_socket(self, worker: WorkerId, number: int) -> None:
        """After all commands so far."""
        self._flush()
        self._native.close_socket(worker, number)

    def read_messages(self, transport: TransportId, callback: Callable[[bool, bytes], None]) -> None:
        """Call back on the loop for each data message that a transport in client role receives.

        The arguments are those of `ClientMessage`. A loop that stands still for more than some thousand
        messages loses the rest; the packet plane counts them.
        """
        self._readers[transport] = callback

    def send_messages(self, transport: TransportId, messages: list[ClientMessage]) -> None:
        """Send data messages as a client, after `DataReady`. What cannot be sent is counted as a drop.

        Reliable ones wait while their channel is full, up to 8 MiB. Raises NotPlacedError.
        """
        self._flush()
        self._native.send_messages(self._placement.worker(transport), transport, messages)

    def unsent_bytes(self, transport: TransportId) -> int:
        """Of reliable messages that its channel has no room for yet."""
        return self._native.unsent(transport)

    # Readers and writers in this process.

    def open_tap(self, track: TrackId) -> TapId:
        """Read a track from now on, in source numbering. Raises NotPlacedError."""
        tap = TapId(next(self._numbers))
        home = self._placement.home(track)
        self._native.open_tap(home, tap)
        self._taps[tap] = (track, home)
        self.apply([AddTarget(track, TapTarget(tap))])
        return tap

    def read_tap(self, tap: TapId, limit: int = 100) -> list[TapPacket]:
        """What came since, oldest first; a reader that sleeps longer than a second may lose some."""
        return self._native.read_tap(tap, limit)

    def read_taps(self, taps: Sequence[TapId], limit: int) -> list[tuple[TapId, list[TrackPacket]]]:
        """The same of many taps in one call: those that have packets, at most `limit` each."""
        return [(TapId(tap), packets) for tap, packets in self._native.read_taps(list(taps), limit)]

    def close_tap(self, tap: TapId) -> None:
        """End a tap. Its track may be gone already."""
        track, home = self._taps.pop(tap)
        self.apply([RemoveTarget(track, TapTarget(tap))])
        self._flush()
        self._native.close_tap(home, tap)

    def write_track(self, track: TrackId, layer: int, packets: list[LocalPacket]) -> None:
        """Feed a track with a `LocalSource`; its packets have the track's first codec.

        Raises NotPlacedError.
        """
        self._flush()
        self._native.write_track(self._placement.home(track), track, layer, packets)

    # Sound of a track with a `LocalSource`, paced by its worker: one packet each 20 ms, silence where
    # nothing waits.

    def open_player(self, track: TrackId) -> None:
        """Begin; silence is sent from now on. Raises NotPlacedError."""
        self._flush()
        self._native.open_player(self._placement.home(track), track, secrets.randbits(32))

    def play(self, track: TrackId, frames: list[PlayedFrame]) -> None:
        """Play these after what waits; 10 s may. Raises NotPlacedError."""
        self._native.play(self._placement.home(track), track, frames)

    def flush_player(self, track: TrackId) -> None:
        """Forget what waits: silent within 20 ms. Raises NotPlacedError."""
        self._native.flush_player(self._placement.home(track), track)

    def pause_player(self, track: TrackId, *, paused: bool) -> None:
        """Send nothing while its time goes on; what waits stays. Raises NotPlacedError."""
        self._native.pause_player(self._placement.home(track), track, paused)

    def close_player(self, track: TrackId) -> None:
        """End it. Raises NotPlacedError."""
        self._native.close_player(self._placement.home(track), track)

    def players(self) -> dict[TrackId, PlayerFigures]:
        """How all players are at this moment."""
        return {TrackId(line[0]): line[1:] for line in self._native.players()}

    async def close(self, deadline_s: float) -> None:
        """Close all transports, then join the workers. A second call does nothing.

        Raises:
            TimeoutError: A worker did not end in time; it is left behind.
        """
        if self._closed:
            return
        self.apply([RemoveTransport(transport) for transport in self._placement.transports])
        self._flush()
        self._closed = True
        self._loop.remove_reader(self._native.event_fd)
        self._loop.remove_reader(self._native.message_fd)
        for question in self._questions.values():
            question.cancel()
        atexit.unregister(self._at_exit)
        await asyncio.to_thread(self._native.close, deadline_s)

    def _at_exit(self) -> None:
        """Threads of ours must not run while the interpreter is taken down."""
        self._native.close(EXIT_DEADLINE_S)

    def _enqueue(self, placed: Iterable[Placed | tuple[WorkerId, Question]]) -> None:
        for worker, command in placed:
            self._pending[worker].append(command)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._closed:
            self._pending.clear()
            return
        pending, self._pending = self._pending, defaultdict(list)
        for worker, commands in pending.items():
            try:
                self._native.submit(worker, commands)
            except (TypeError, ValueError):
                self._submit_singly(worker, commands)

    def _submit_singly(self, worker: WorkerId, commands: list[object]) -> None:
        """One of them cannot be given to the engine; none was taken. The others must not suffer."""
        for command in commands:
            try:
                self._native.submit(worker, [command])
            except (TypeError, ValueError) as error:
                log.error("the packet plane refuses a command: %s", error)
                self._fail(worker, command, 0, str(error))

    def _fail(self, worker: WorkerId, command: object, number: int, reason: str) -> None:
        """Say so as the engine does: later, as an event."""
        self._loop.call_soon(self._tell, CommandFailed(worker, type(command).__name__, number, reason))

    def _drain(self) -> None:
        for line in self._native.drain(EVENTS_PER_TURN):
            try:
                event = decode(line)
            except Exception:
                log.exception("an event of the packet plane was lost")
                continue
            if isinstance(event, Answer):
                question = self._questions.pop(event.token, None)
                if question is not None and not question.done():
                    question.set_result(event)
                continue
            if isinstance(event, TransportStateChanged) and event.state is TransportState.CLOSED:
                self._enqueue(self._placement.transport_closed(event.transport))
                self._readers.pop(event.transport, None)
            if isinstance(event, LocalRingClosed):
                self.local_rings.closed(event.worker, event.ring)
            self._tell(event)

    def _drain_messages(self) -> None:
        for transport, reliable, message in self._native.drain_messages(MESSAGES_PER_TURN):
            reader = self._readers.get(TransportId(transport))
            if reader is None:
                continue
            try:
                reader(reliable, message)
            except Exception:
                log.exception("a reader of data messages failed")

    def _tell(self, event: Event) -> None:
        for callback in self._callbacks:
            try:
                callback(event)
            except Exception:
                # One listener's bug must not cost the others their news.
                log.exception("a listener failed on %s", type(event).__name__)


def _random_text(length: int) -> str:
    return "".join(secrets.choice(ICE_CHARACTERS) for _ in range(length))


def _text(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _parse(address: str) -> tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]:
    host, _, port = address.rpartition(":")
    return ipaddress.ip_address(host.strip("[]")), int(port)
