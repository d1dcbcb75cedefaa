"""The Rust module. Only `sfu.dataplane.plane` imports it; everything else uses that facade."""

from typing import Self, final

__all__ = ["Plane", "source_checksum"]

source_checksum: int
"""CRC-32 of the Rust sources it was built from; see `freshness.py`."""

@final
class Plane:
    """All packet workers of one process.

    A call that names a worker or tap that is not there raises ValueError; after `close`, RuntimeError.
    """

    def __new__(cls, *, workers: int, bind: list[str], port_per_worker: bool, voices: int, seed: int) -> Self:
        """Bind and start. Raises OSError naming the address, ValueError for one that is none."""

    @property
    def fingerprint(self) -> str:
        """`sha-256 AB:CD:...`."""

    @property
    def addresses(self) -> list[list[str]]:
        """Per worker, in the order of `bind`; the port is the real one."""

    @property
    def event_fd(self) -> int:
        """Readable while `drain` would return something."""

    @property
    def age_s(self) -> float:
        """Seconds since the epoch of generated packets and meters."""

    def submit(self, worker: int, commands: list[object]) -> None:
        """Dataclasses of `commands.py`. TypeError and ValueError name the field; then none was taken."""

    def drain(self, limit: int) -> list[tuple[object, ...]]:
        """Lines for `events.decode`."""

    def open_socket(
        self, worker: int, address: str, network: tuple[str, str, int] | None = None
    ) -> tuple[int, str]:
        """Number and address of one more socket.

        `network`: text of an emulated link up and down (`airside_emulator::LinkConfig`) and its seed;
        ValueError for text that is none.
        """

    @property
    def message_fd(self) -> int:
        """Readable while `drain_messages` would return something."""

    def drain_messages(self, limit: int) -> list[tuple[int, bool, bytes]]:
        """Transport in client role, whether over the reliable channel, envelope; oldest first per worker."""

    def send_messages(self, worker: int, transport: int, messages: list[tuple[bool, bytes]]) -> None:
        """Whether over the reliable channel, envelope."""

    def unsent(self, transport: int) -> int:
        """Bytes of reliable messages that wait for room in its channel."""

    def close_socket(self, worker: int, number: int) -> None: ...
    def create_local_ring(self, worker: int) -> tuple[int, tuple[int, int]]:
        """Number of a new ring, and descriptors for the other process: memory and socket. OSError."""

    def join_local_ring(self, worker: int, memory: int, socket: int) -> int:
        """The other side of one; the descriptors stay the caller's. OSError."""

    def close_local_ring(self, worker: int, number: int) -> None: ...
    def open_tap(self, worker: int, tap: int) -> None: ...
    def close_tap(self, worker: int, tap: int) -> None: ...
    def read_tap(self, tap: int, limit: int) -> list[tuple[int, int, int, bool, bytes]]:
        """Layer, extended sequence number, RTP timestamp, marker, payload."""

    def read_taps(
        self, taps: list[int], limit: int
    ) -> list[tuple[int, list[tuple[int, int, int, int, bool, bytes]]]]:
        """Each tap with packets: layer, index of the codec, extended sequence number, RTP timestamp,
        marker, payload.
        """

    def open_player(self, worker: int, track: int, timestamp: int) -> None: ...
    def play(self, worker: int, track: int, frames: list[tuple[int, bytes]]) -> None:
        """Audio level and payload."""

    def flush_player(self, worker: int, track: int) -> None: ...
    def pause_player(self, worker: int, track: int, paused: bool) -> None: ...
    def close_player(self, worker: int, track: int) -> None: ...
    def players(self) -> list[tuple[int, int, int, int, int]]:
        """Track, frames that wait, frames played, gaps, frames dropped."""

    def write_track(
        self, worker: int, track: int, layer: int, packets: list[tuple[int, bool, int | None, bytes]]
    ) -> None:
        """RTP timestamp, marker, audio level, payload."""

    def close(self, deadline_s: float) -> None:
        """Join the workers. Raises TimeoutError; a second call tries again, or does nothing."""
