"""Metrics: what the domain reports is counted, what the plane counted is shown, labels stay bounded."""

from typing import Any

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


def tables(**worker: Any) -> Any:
    return {
        "worker": {name: [figure] for name, figure in worker.items()},
        "drops": {"too_old": [2], "bad_tag": [0]},
        "slots": {"slot": [1, 2], "rtt_s": [0.05, float("nan")], "loss": [0.0, 0.3]},
    }


def test_plane_counters_are_summed_over_workers(metrics: Metrics) -> None:
    plane = PlaneMetrics(metrics.registry)
    plane.update(0, tables(audio_packets_in=10, lag_s=0.001, unknown_column=5))
    plane.update(1, tables(audio_packets_in=5, lag_s=0.002))
    plane.update(1, tables(audio_packets_in=7, lag_s=0.003))
    assert value(metrics, "packets_total", kind="audio", direction="in") == 17
    assert value(metrics, "packets_total", kind="video", direction="in") is None
    assert value(metrics, "drops_total", reason="too_old") == 4
    assert value(metrics, "worker_lag_seconds", worker="1") == 0.003
    assert value(metrics, "rtt_seconds_count", direction="out") == 3, "NaN is no measurement"
    assert value(metrics, "loss_ratio_count", direction="out") == 6


def test_nothing_is_shown_before_the_first_reading(metrics: Metrics) -> None:
    PlaneMetrics(metrics.registry)
    assert "airside_drops_total{" not in metrics.expose().decode()
