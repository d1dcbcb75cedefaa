"""Health, the lag probe and join traces on clocks that the test moves."""

import heapq
from collections.abc import Callable
from typing import Any

import pytest

from sfu.core.observer import JoinStep, JoinTrace
from sfu.telemetry.health import Health, ServerState
from sfu.telemetry.loop_lag import PROBE_INTERVAL_S, LoopLagProbe
from sfu.telemetry.trace import JoinTracer


def test_ready_only_between_start_and_drain() -> None:
    health = Health()
    assert not health.ready
    health.enter(ServerState.READY)
    assert health.describe()["ready"]
    health.enter(ServerState.DRAINING)
    health.enter(ServerState.DRAINING)
    assert not health.ready
    with pytest.raises(ValueError, match="no way from draining to ready"):
        health.enter(ServerState.READY)


class SlowLoop:
    """Runs timers `late_s` after they were due."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        heapq.heappush(self.timers, (when, callback))

        loop = self

        class Handle:
            def cancel(self) -> None:
                loop.timers = [timer for timer in loop.timers if timer[1] is not callback]

        return Handle()

    def turn(self, late_s: float) -> None:
        when, callback = heapq.heappop(self.timers)
        self.now = when + late_s
        callback()


def test_the_probe_reports_how_late_each_tick_was() -> None:
    loop, readings = SlowLoop(), list[float]()
    probe = LoopLagProbe(loop, readings.append)
    probe.start()
    loop.turn(0.0)
    loop.turn(0.5)
    loop.turn(0.01)
    assert readings == pytest.approx([0.0, 0.5, 0.01])
    assert loop.now == pytest.approx(100.0 + 3 * PROBE_INTERVAL_S + 0.51)
    probe.stop()
    probe.stop()
    assert loop.timers == []


class RecordingTracer:
    def __init__(self) -> None:
        self.spans: list[tuple[str, int, int]] = []

    def start_span(self, name: str, *, start_time: int, context: Any = None) -> Any:
        tracer = self

        class Span:
            def end(self, *, end_time: int) -> None:
                tracer.spans.append((name, start_time, end_time))

            def get_span_context(self) -> None:
                return None

        return Span()


def test_a_join_is_one_span_with_a_child_per_step() -> None:
    tracer = RecordingTracer()
    trace = JoinTrace(started_at=50.0)
    trace.finish(JoinStep.AUTH, 50.25)
    trace.finish(JoinStep.ICE, 51.0)
    JoinTracer(tracer).export(trace, now_monotonic_s=52.0)
    names = [name for name, _, _ in tracer.spans]
    assert names == ["airside.join.auth", "airside.join.ice", "airside.join"]
    lengths = [(end - start) / 1e9 for _, start, end in tracer.spans]
    assert lengths == pytest.approx([0.25, 0.75, 1.0], abs=1e-6)


def test_without_opentelemetry_nothing_happens() -> None:
    tracer = JoinTracer(None)
    tracer._tracer = None
    tracer.export(JoinTrace(started_at=0.0), 1.0)
