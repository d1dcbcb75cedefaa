"""Lines of the native module as events."""

from __future__ import annotations

import pytest

from sfu.core.ids import RoomId, SlotId, TrackId, TransportId, WorkerId
from sfu.core.quality import Direction, QualityClass
from sfu.dataplane.events import (
    AllocationReason,
    Answer,
    CloseReason,
    CommandFailed,
    Data,
    DataNumber,
    DataReady,
    Event,
    KeyframeWanted,
    LayerStarted,
    LayerStopped,
    LocalRingClosed,
    Quality,
    Resync,
    SlotAllocation,
    SlotLayer,
    Speakers,
    Speech,
    TransportState,
    TransportStateChanged,
    UnknownEventError,
    WantedLayers,
    WorkerStats,
    decode,
)

W = WorkerId(1)

LINES: list[tuple[tuple[object, ...], Event | Answer]] = [
    (
        ("transport_state", 1, 5, "connected", "none", ("192.0.2.1", 9)),
        TransportStateChanged(
            W, TransportId(5), TransportState.CONNECTED, CloseReason.NONE, ("192.0.2.1", 9)
        ),
    ),
    (
        ("transport_state", 1, 5, "closed", "consent_expired", None),
        TransportStateChanged(W, TransportId(5), TransportState.CLOSED, CloseReason.CONSENT_EXPIRED, None),
    ),
    (("data_ready", 1, 5), DataReady(W, TransportId(5))),
    (("local_ring_closed", 1, 3, True), LocalRingClosed(W, 3, True)),
    (("layer_started", 1, 7, 2, 0), LayerStarted(W, TrackId(7), 2, 0)),
    (("layer_stopped", 1, 7, 2), LayerStopped(W, TrackId(7), 2)),
    (("slot_layer", 1, 9, None), SlotLayer(W, SlotId(9), None)),
    (
        ("slot_allocation", 1, 9, (1, 2), False, "link", "360p: …", (900_000, 620_000, 1_500_000)),
        SlotAllocation(
            W, SlotId(9), (1, 2), False, AllocationReason.LINK, "360p: …", 900_000, 620_000, 1_500_000
        ),
    ),
    (
        ("slot_allocation", 1, 9, None, True, "paused", "paused: …", (None, 40_000, 71_000)),
        SlotAllocation(W, SlotId(9), None, True, AllocationReason.PAUSED, "paused: …", None, 40_000, 71_000),
    ),
    (("wanted_layers", 1, 7, 1), WantedLayers(W, TrackId(7), 1)),
    (("wanted_layers", 1, 7, None), WantedLayers(W, TrackId(7), None)),
    (("keyframe_wanted", 1, 7, 0), KeyframeWanted(W, TrackId(7), 0)),
    (
        ("quality", 1, 5, "up", "poor", 2.5),
        Quality(W, TransportId(5), Direction.UP, QualityClass.POOR, 2.5),
    ),
    (("speakers", 1, 3, ((7, 200),)), Speakers(W, RoomId(3), ((TrackId(7), 200),))),
    (("speech", 1, 3, 7, True, 0.02), Speech(W, RoomId(3), TrackId(7), True, 0.02)),
    (("data", 1, 5, "airside/x", b"y"), Data(W, TransportId(5), "airside/x", b"y")),
    (
        ("command_failed", 1, "subscribe", 9, "no such track"),
        CommandFailed(W, "subscribe", 9, "no such track"),
    ),
    (("data_received", 1, 7, 42), DataNumber(W, 7, 42)),
    (("resync", 1), Resync(W)),
]


@pytest.mark.parametrize(
    ("line", "event"), LINES, ids=lambda value: str(value[0]) if isinstance(value, tuple) else ""
)
def test_each_line_is_its_event(line: tuple[object, ...], event: Event | Answer) -> None:
    assert decode(line) == event


@pytest.mark.parametrize(
    "line",
    [("surprise", 1), ("data_ready", 1), ("transport_state", 1, 5, "flying", "none", None), ("resync", 1, 2)],
)
def test_what_this_code_does_not_know_is_one_error(line: tuple[object, ...]) -> None:
    with pytest.raises(UnknownEventError):
        decode(line)


def test_stats_answer_questions_about_their_tables() -> None:
    tables = {"slots": {"slot": [1, 2], "packets": [10, 20]}, "empty": {}}
    stats = decode(("stats", 1, 77, tables))
    assert isinstance(stats, WorkerStats)
    assert stats.token == 77
    assert stats.total("slots", "packets") == 30
    assert stats.total("slots", "nothing") == stats.total("nothing", "packets") == 0
    assert stats.rows("slots") == [{"slot": 1, "packets": 10}, {"slot": 2, "packets": 20}]
    assert stats.rows("empty") == []
