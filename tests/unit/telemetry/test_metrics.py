"""Metrics: what the domain reports is counted, what the plane counted is shown, labels stay bounded."""

import pytest

from sfu.core.codecs import MediaKind, TrackSource
from sfu.core.observer import JoinStep, JoinTrace, Observer
from sfu.telemetry.metrics import Metrics
from sfu.telemetry.plane_metrics import PlaneMetrics


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"airside_{name}", labels)


def test_it_is_an_observer_and_counts_a_whole_life(metrics: Metrics) -> None:
    observer: Observer = metrics
    observer.room_opened()
    observer.join_outcome("ok")
    observer.join_outcome("room_full")
    observer.participant_entered("agent")
    observer.track_published(MediaKind.AUDIO, TrackSource.MICROPHONE)
    observer.subscription_bound(MediaKind.AUDIO)
    assert value(metrics, "rooms") == 1
    assert value(metrics, "joins_total", outcome="room_full") == 1
    assert value(metrics, "participants", kind="agent") == 1
    assert value(metrics, "tracks", kind="audio", source="microphone") == 1
    observer.subscription_unbound(MediaKind.AUDIO)
    observer.track_unpublished(MediaKind.AUDIO, TrackSource.MICROPHONE)
    observer.participant_left("agent", "client_left")
    observer.room_closed("empty")
    assert value(metrics, "rooms") == value(metrics, "subscriptions", kind="audio") == 0
    assert value(metrics, "participants_left_total", kind="agent", reason="client_left") == 1


def test_join_steps_are_histograms(metrics: Metrics) -> None:
    metrics.join_step(JoinStep.DTLS, 0.02)
    trace = JoinTrace(started_at=1.0)
    trace.finish(JoinStep.AUTH, 1.5)
    metrics.join_finished(trace)
    assert value(metrics, "join_seconds_sum", step="dtls") == pytest.approx(0.02)
    assert value(metrics, "join_total_seconds_sum") == pytest.approx(0.5)


def test_labels_from_peers_are_bounded(metrics: Metrics) -> None:
    for code in range(1000, 5000):
        metrics.socket_opened()
        metrics.socket_closed(code)
    for method in ("GET", "BREW", "X" * 100):
        metrics.http_handled(method, 418, 0.1)
    text = metrics.expose().decode()
    assert text.count("airside_signaling_closed_total{") < 40
    assert value(metrics, "signaling_connections") == 0
    assert value(metrics, "http_request_seconds_count", method="other", status="4xx") == 2


def test_units_are_in_the_names(metrics: Metrics) -> None:
    PlaneMetrics(metrics.registry)
    ours = [family for family in metrics.registry.collect() if family.name.startswith("airside_")]
    for family in ours:
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_ratio")), family.name
        assert family.documentation.endswith("."), family.name


def layer(
    track: int, packets: int, *, video: int = 0, lost: int = 0, jitter_s: float = 0.002
) -> dict[str, float]:
    return {
        "track": track,
        "layer": 0,
        "video": video,
        "packets": packets,
        "bytes": packets * 100,
        "nacks_sent": lost,
        "repaired": 0,
        "keyframe_requests": 1,
        "expected": packets + lost,
        "lost": lost,
        "freezes": 0,
        "concealed": lost,
        "jitter_s": jitter_s,
    }


def tables(*layers: dict[str, float], **more: dict[str, list[float]]) -> dict[str, dict[str, list[float]]]:
    columns = {name: [row[name] for row in layers] for name in layers[0]} if layers else {}
    return {"layers": columns, "drops": {"too_old": [2.0], "bad_tag": [0.0]}, **more}


@pytest.fixture
def plane(metrics: Metrics) -> PlaneMetrics:
    return PlaneMetrics(metrics.registry)


def test_counters_follow_streams_and_outlive_them(metrics: Metrics, plane: PlaneMetrics) -> None:
    plane.update(0, tables(layer(1, 10), layer(2, 100, video=1)))
    plane.update(0, tables(layer(1, 15), layer(2, 150, video=1)))
    plane.update(0, tables(layer(3, 5)))
    plane.update(1, tables(layer(1, 0)))
    assert value(metrics, "packets_total", kind="audio", direction="in") == 20
    assert value(metrics, "packets_total", kind="video", direction="in") == 150
    assert value(metrics, "bytes_total", kind="video", direction="in") == 15_000
    assert value(metrics, "plis_total", kind="video", direction="in") == 1
    assert value(metrics, "packets_total", kind="audio", direction="out") is None


def test_a_reused_number_never_counts_backwards(metrics: Metrics, plane: PlaneMetrics) -> None:
    plane.update(0, tables(layer(1, 100)))
    plane.update(0, tables(layer(1, 3)))
    assert value(metrics, "packets_total", kind="audio", direction="in") == 100


def test_loss_and_jitter_are_observed_of_streams_that_flow(metrics: Metrics, plane: PlaneMetrics) -> None:
    plane.update(0, tables(layer(1, 90, lost=10), layer(2, 0)))
    plane.update(0, tables(layer(1, 190, lost=10, jitter_s=float("nan")), layer(2, 0)))
    assert value(metrics, "loss_ratio_count", kind="audio", direction="in") == 2
    assert value(metrics, "loss_ratio_sum", kind="audio", direction="in") == pytest.approx(0.1)
    assert value(metrics, "jitter_seconds_count", kind="audio", direction="in") == 1


def test_streams_give_freezes_switches_and_concealment(metrics: Metrics, plane: PlaneMetrics) -> None:
    slot = {**layer(0, 50, video=1, lost=3), "slot": 7, "nacked": 3, "resent": 3, "switches": 4, "freezes": 2}
    columns = {name: [value] for name, value in slot.items() if name not in ("track", "layer")}
    for _ in range(2):
        plane.update(0, tables(layer(1, 50, lost=3), slots=columns))
    assert value(metrics, "layer_switches_total", kind="video", direction="out") == 4
    assert value(metrics, "freezes_total", kind="video", direction="out") == 2
    assert value(metrics, "concealed_packets_total", kind="audio", direction="in") == 3
    assert value(metrics, "layer_switches_total", kind="audio", direction="in") is None


def test_connections_are_counted_by_quality(metrics: Metrics, plane: PlaneMetrics) -> None:
    quality = {"transport": [1.0, 1.0, 2.0], "up": [1.0, 0.0, 1.0], "class": [3.0, 1.0, 3.0]}
    plane.update(0, tables(quality=quality))
    assert value(metrics, "connections", direction="up", quality="excellent") == 2
    assert value(metrics, "connections", direction="down", quality="poor") == 1
    assert value(metrics, "connections", direction="down", quality="lost") == 0
    plane.update(0, tables())
    assert value(metrics, "connections", direction="up", quality="excellent") == 0


def test_transports_give_round_trip_times_and_data(metrics: Metrics, plane: PlaneMetrics) -> None:
    transports = {
        "transport": [1.0, 2.0],
        "rtt_s": [0.05, float("nan")],
        "data_messages_received": [3.0, 4.0],
    }
    plane.update(0, tables(transports=transports))
    plane.update(0, tables(transports=transports))
    assert value(metrics, "rtt_seconds_count") == 2
    assert value(metrics, "data_messages_total", direction="in") == 7


def test_workers_give_drops_datagrams_and_lag(metrics: Metrics, plane: PlaneMetrics) -> None:
    loop = {
        "received_packets": [5.0],
        "sent_bytes": [700.0],
        "lag_p99_us": [1500.0],
        "residence_p50_us": [90.0],
    }
    plane.update(0, tables(loop=loop))
    plane.update(1, tables(loop=loop))
    assert value(metrics, "drops_total", reason="too_old") == 4
    assert value(metrics, "datagrams_total", direction="in") == 10
    assert value(metrics, "datagram_bytes_total", direction="out") == 1400
    assert value(metrics, "worker_lag_seconds", worker="1", quantile="0.99") == pytest.approx(0.0015)
    assert value(metrics, "worker_residence_seconds", worker="0", quantile="0.5") == pytest.approx(9e-5)


def test_nothing_is_dropped_before_the_first_reading(metrics: Metrics, plane: PlaneMetrics) -> None:
    assert "airside_drops_total{" not in metrics.expose().decode()
