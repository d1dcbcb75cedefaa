"""What the engines tell us. Names and fields as in dataplane/engine/src/event.rs, plus the worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sfu.core.ids import RoomId, SlotId, TrackId, TransportId, WorkerId


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


@dataclass(frozen=True, slots=True)
class Speakers:
    """Active speakers of this worker's publishers changed; at most 2.5/s per room."""

    worker: WorkerId
    room: RoomId
    speakers: tuple[tuple[TrackId, int], ...]
    """Loudest first: track and level, 0 (silent) to 255 (loud). Empty: nobody speaks."""


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
    | Speakers
    | Data
    | CommandFailed
    | Resync
)


@dataclass(frozen=True, slots=True)
class WorkerStats:
    """One worker's figures: tables of equally long columns, as in dataplane/engine/src/stats.rs."""

    worker: WorkerId
    tables: Mapping[str, Mapping[str, Sequence[int | float]]]
    """Table, column, rows. Units are in the column names; NaN where there is no measurement."""
