"""One packet plane for all rooms of a process, and the beat at which sound passes between it and Python.

Every 20 ms all taps are read in one call and all players are topped up: a descriptor that woke us for each
packet would cost more than decoding it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

from sfu.agents.plane.local_ring import InheritedRing
from sfu.core.ids import TapId, TrackId, TransportId
from sfu.dataplane.commands import Command
from sfu.dataplane.events import (
    CommandFailed,
    DataReady,
    Event,
    KeyframeWanted,
    LocalRingClosed,
    TransportStateChanged,
)
from sfu.dataplane.plane import DataPlane, TrackPacket

BEAT_S = 0.02
PACKETS_PER_TAP = 512  # read at once: a keyframe is some hundred packets
CLOSE_DEADLINE_S = 2.0

_log = logging.getLogger(__name__)


class Reader(Protocol):
    """Takes what arrives in one section."""

    @property
    def waiting(self) -> bool:
        """Call it at the next beat even if nothing has come."""

    def on_packets(self, packets: Sequence[TrackPacket], now_s: float) -> None:
        """What came since the last beat, in the order of arrival."""


class Writer(Protocol):
    """Feeds one player."""

    def on_beat(self, queued: int) -> None:
        """So many of its frames wait to be sent."""


class Hub:
    """Use `acquire`; every `acquire` needs a `release`."""

    def __init__(self) -> None:
        self.plane = DataPlane(workers=1)
        self.plane.subscribe_events(self._on_event)
        self._users = 0
        self._readers: dict[TapId, Reader] = {}
        self._writers: dict[TrackId, Writer] = {}
        self._listeners: dict[TransportId, Callable[[Event], None]] = {}
        self._keyframes: defaultdict[TrackId, list[Callable[[], None]]] = defaultdict(list)
        self._loop = asyncio.get_running_loop()
        self._next_s = self._loop.time()
        self._beaten: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.Handle | None = None
        self._rings: tuple[int, ...] = ()
        """Those to the server that started this process, by its worker."""
        self._ring_lost = False

    @classmethod
    def acquire(cls) -> Hub:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        hub = _hubs.get(loop)
        if hub is None:
            hub = _hubs[loop] = cls()
            hub._timer = loop.call_soon(hub._beat)
        hub._users += 1
        return hub

    async def release(self) -> None:
        """The last one ends the plane."""
        self._users -= 1
        if self._users:
            return
        del _hubs[self._loop]
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self.plane.close(CLOSE_DEADLINE_S)
        except TimeoutError:
            _log.warning("the packet plane did not end in time")

    def local_rings(self, ring: InheritedRing) -> tuple[int, ...]:
        """Their numbers in our plane, by worker of the server; none where they are over, or never were."""
        if not self._rings and not self._ring_lost:
            try:
                self._rings = ring.join(self.plane.join_local_ring)
            except OSError as error:
                _log.warning("the server's rings cannot be used, media goes over the network: %s", error)
                self._ring_lost = True
            else:
                # Two planes must not read one ring: this one lives as long as the process.
                self._users += 1
        return () if self._ring_lost else self._rings

    def apply(self, *commands: Command) -> None:
        """Tell the plane."""
        self.plane.apply(commands)

    def listen(self, transport: TransportId, listener: Callable[[Event], None]) -> None:
        """Call back for news of a transport."""
        self._listeners[transport] = listener

    def forget(self, transport: TransportId) -> None:
        """End `listen`."""
        self._listeners.pop(transport, None)

    def read(self, track: TrackId, reader: Reader) -> TapId:
        """Begin to read a track."""
        tap = self.plane.open_tap(track)
        self._readers[tap] = reader
        return tap

    def stop_reading(self, tap: TapId) -> None:
        """End it."""
        if self._readers.pop(tap, None) is not None:
            self.plane.close_tap(tap)

    def write(self, track: TrackId, writer: Writer) -> None:
        """Begin to play a track."""
        self.plane.open_player(track)
        self._writers[track] = writer

    def stop_writing(self, track: TrackId) -> None:
        """End it."""
        if self._writers.pop(track, None) is not None:
            self.plane.close_player(track)

    def on_keyframe_wanted(self, track: TrackId, callback: Callable[[], None]) -> None:
        """Call back when somebody needs a keyframe of a track that we make."""
        self._keyframes[track].append(callback)

    def forget_keyframes(self, track: TrackId) -> None:
        """End `on_keyframe_wanted`."""
        self._keyframes.pop(track, None)

    async def beat(self) -> None:
        """Wait for the next one."""
        await asyncio.shield(self._beaten)

    def _beat(self) -> None:
        now_s = self._loop.time()
        self._beaten.set_result(None)
        self._beaten = self._loop.create_future()
        # A loop that stood still goes on from now; its taps have kept what came.
        self._next_s = max(self._next_s + BEAT_S, now_s)
        self._timer = self._loop.call_at(self._next_s, self._beat)
        came = dict(self.plane.read_taps(tuple(self._readers), PACKETS_PER_TAP))
        for tap, reader in tuple(self._readers.items()):
            packets = came.get(tap, ())
            if packets or reader.waiting:
                self._guard(reader.on_packets, packets, now_s)
        if self._writers:
            figures = self.plane.players()
            for track, writer in tuple(self._writers.items()):
                if track in figures:
                    self._guard(writer.on_beat, figures[track][0])

    def _guard(self, function: Callable[..., None], *arguments: object) -> None:
        # What one job's media trips over must not silence the others.
        try:
            function(*arguments)
        except Exception:
            _log.exception("media of a job failed")

    def _on_event(self, event: Event) -> None:
        match event:
            case TransportStateChanged() | DataReady():
                listener = self._listeners.get(event.transport)
                if listener is not None:
                    listener(event)
            case LocalRingClosed():
                self._ring_lost = True
            case KeyframeWanted():
                for callback in self._keyframes.get(event.track, ()):
                    callback()
            case CommandFailed():
                _log.debug("%s %d failed: %s", event.command, event.id, event.reason)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()
