"""What the engines tell us. Names and fields as in dataplane/engine/src/event.rs, plus the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sfu.core.errors import ServerError
from sfu.core.ids import RoomId, SlotId, TrackId, TransportId, WorkerId
from sfu.core.quality import Direction, QualityClass


class TransportState(StrEnum):
    """States of a transport as seen from outside."""

    ICE_CONNECTED = "ice_connected"
    """A valid check came (or, in client role, one of ours was answered)."""
    CONNECTED = "connected"
    """DTLS is done, the fingerprint matched, SRTP keys are in place."""
    DISCONNECTED = "disconnected"
    """No consent for 10 s; media still flows if it can."""
    CLOSED = "closed"
    """Gone; see the reason. Nothing of it exists any more."""


class CloseReason(StrEnum):
    """Why a transport closed."""

    NONE = "none"
    REMOVED = "removed"
    PEER_CLOSED = "peer_closed"
    CONSENT_EXPIRED = "consent_expired"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    HANDSHAKE_FAILED = "handshake_failed"
    FINGERPRINT_MISMATCH = "fingerprint_mismatch"
    DATA_BACKPRESSURE = "data_backpressure"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class TransportStateChanged:
    """`Event::TransportState`."""

    worker: WorkerId
    transport: TransportId
    state: TransportState
    reason: CloseReason
    """`NONE` unless closed."""
    remote: tuple[str, int] | None
    """The selected pair's far end."""


@dataclass(frozen=True, slots=True)
class DataReady:
    """The peer's data channels work: reliable and lossy both open."""

    worker: WorkerId
    transport: TransportId


@dataclass(frozen=True, slots=True)
class LayerStarted:
    """First packet of a layer since it last stopped. Only from the worker the publisher is on."""

    worker: WorkerId
    track: TrackId
    layer: int
    """Index into its layers."""
    codec: int
    """What it really sends: index into the track's codecs."""


@dataclass(frozen=True, slots=True)
class LayerStopped:
    """A layer fell silent."""

    worker: WorkerId
    track: TrackId
    layer: int


@dataclass(frozen=True, slots=True)
class SlotLayer:
    """What a slot forwards changed; coalesced."""

    worker: WorkerId
    slot: SlotId
    layer: int | None
    """None: nothing (paused, or waiting for a keyframe)."""


class AllocationReason(StrEnum):
    """Why a video slot gets what it gets, and not more."""

    WANTED = "wanted"
    """It is all that is wanted and published."""
    NOT_WANTED = "not_wanted"
    """The viewer wants nothing now."""
    NOT_PUBLISHED = "not_published"
    """No layer of it is coming."""
    LINK = "link"
    """The next better quality does not fit."""
    SETTLING = "settling"
    """The next better quality fits, and is taken when that has held for a while."""
    PAUSED = "paused"
    """Not even the lowest quality fits."""
    OVERSHOOT = "overshoot"
    """The lowest quality does not fit, and the track may not be paused."""


@dataclass(frozen=True, slots=True)
class SlotAllocation:
    """What the way to a subscriber allows one of its video slots changed, or why; coalesced."""

    worker: WorkerId
    slot: SlotId
    target: tuple[int, int] | None
    """Spatial layer, and the highest temporal layer with it. None: nothing is forwarded."""
    paused: bool
    """The network is why nothing is forwarded."""
    reason: AllocationReason
    text: str
    """The reason for people: `360p: the link gives 620 kbit/s, 720p needs 1500`."""
    estimate_bps: int | None
    """What may be sent to the subscriber in all. None: no limit is known."""
    available_bps: int
    """What of it this track could have; 0 where the reason names none."""
    needed_bps: int
    """What the next better quality needs; 0 where the reason names none."""


@dataclass(frozen=True, slots=True)
class WantedLayers:
    """The best layer that anybody takes changed. More is told at once, less late; only by the home worker."""

    worker: WorkerId
    track: TrackId
    best: int | None
    """Index into its layers. None: nobody takes anything."""


@dataclass(frozen=True, slots=True)
class KeyframeWanted:
    """Who gets a track with a `LocalSource` waits for a keyframe: make one. Told again until it comes."""

    worker: WorkerId
    track: TrackId
    layer: int
    """Index into its layers."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How good the way to or from a peer is changed, in a word; at most once in 5 s for each direction."""

    worker: WorkerId
    transport: TransportId
    direction: Direction
    quality: QualityClass
    score: float
    """Mean opinion score of its worst track, 1 to 4.5."""


@dataclass(frozen=True, slots=True)
class Speakers:
    """Active speakers of this worker's publishers changed; at most 2.5/s per room."""

    worker: WorkerId
    room: RoomId
    speakers: tuple[tuple[TrackId, int], ...]
    """Loudest first: track and level, 0 (silent) to 255 (loud). Empty: nobody speaks."""


@dataclass(frozen=True, slots=True)
class Speech:
    """Somebody began to speak, or has stopped for a while."""

    worker: WorkerId
    room: RoomId
    track: TrackId
    speaking: bool
    ago_s: float
    """Since the packet that it began or ended with, when this was read from the plane."""


@dataclass(frozen=True, slots=True)
class LocalRingClosed:
    """A local ring is over, with its transports."""

    worker: WorkerId
    ring: int
    broken: bool
    """The other process wrote what cannot be; else it has gone, or the ring was closed."""


@dataclass(frozen=True, slots=True)
class Data:
    """A data message addressed to the server."""

    worker: WorkerId
    transport: TransportId
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class CommandFailed:
    """A command could not be done: our bug, or it crossed with a transport that closed."""

    worker: WorkerId
    command: str
    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Resync:
    """The queue overflowed and merged: read the stats."""

    worker: WorkerId


Event = (
    TransportStateChanged
    | DataReady
    | LayerStarted
    | LayerStopped
    | SlotLayer
    | SlotAllocation
    | WantedLayers
    | KeyframeWanted
    | Quality
    | Speakers
    | Speech
    | LocalRingClosed
    | Data
    | CommandFailed
    | Resync
)


@dataclass(frozen=True, slots=True)
class DataNumber:
    """`Event::DataReceived`, the answer to `ReadDataReceived`."""

    worker: WorkerId
    token: int
    sequence: int
    """Of the newest reliable message that its sender numbered; 0: none came."""


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """One worker's figures: tables of equally long columns, as in dataplane/engine/src/stats.rs."""

    worker: WorkerId
    tables: Mapping[str, Mapping[str, Sequence[int | float]]]
    """Table, column, rows. Units are in the column names; NaN where there is no measurement.

    Beside the engine's tables: `loop` (one row: sockets, system calls, processor time, latency inside the
    worker), `local_rings` (one row: what passes between it and processes beside ours), and as histograms with
    a bound and a count per row `receive_batch`, `residence`, `lag`.
    """
    token: int = field(default=0, repr=False)
    """Of the request that asked."""

    def total(self, table: str, column: str) -> float:
        """Sum over all rows; 0 where there is no such column."""
        return sum(self.tables.get(table, {}).get(column, ()))

    def rows(self, table: str) -> list[dict[str, int | float]]:
        """A table row by row, for tables that are short."""
        columns = self.tables.get(table, {})
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


class UnknownEventError(ServerError):
    """The native module tells something this code does not know: they are not of one build."""


Answer = WorkerStats | DataNumber
"""To whoever asked, by its token."""

# One line of `drain` by its kind; the order of fields is that of dataplane/python/src/binding/events.rs.
_DECODERS: Mapping[str, Callable[..., Event | Answer]] = {
    "transport_state": lambda worker, transport, state, reason, remote: TransportStateChanged(
        worker, transport, TransportState(state), CloseReason(reason), remote
    ),
    "data_ready": DataReady,
    "layer_started": LayerStarted,
    "layer_stopped": LayerStopped,
    "slot_layer": SlotLayer,
    "slot_allocation": lambda worker, slot, target, paused, reason, text, rates: SlotAllocation(
        worker, slot, target, paused, AllocationReason(reason), text, *rates
    ),
    "wanted_layers": WantedLayers,
    "keyframe_wanted": KeyframeWanted,
    "quality": lambda worker, transport, direction, quality, score: Quality(
        worker, transport, Direction(direction), QualityClass(quality), score
    ),
    "speakers": Speakers,
    "speech": Speech,
    "local_ring_closed": LocalRingClosed,
    "data": Data,
    "data_received": DataNumber,
    "stats": lambda worker, token, tables: WorkerStats(worker, tables, token),
    "command_failed": CommandFailed,
    "resync": Resync,
}


def decode(line: tuple[object, ...]) -> Event | Answer:
    """One line of the native `drain`: kind, worker, fields.

    Raises:
        UnknownEventError: A kind or a value that is not listed here.
    """
    kind, *fields = line
    try:
        return _DECODERS[str(kind)](*fields)
    except (KeyError, TypeError, ValueError) as error:
        raise UnknownEventError(f"{kind}: {error}") from error
