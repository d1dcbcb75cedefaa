"""Join traces for OpenTelemetry, when its API is installed and an SDK is set up around us; else nothing."""

import time
from typing import Any

from sfu.core.observer import JoinTrace


class JoinTracer:
    """Turns a finished join into one span with a child span per step."""

    def __init__(self, tracer: Any | None = None) -> None:
        self._tracer = tracer if tracer is not None else _default_tracer()

    def export(self, trace: JoinTrace, now_monotonic_s: float) -> None:
        """Emit the spans of a join; timestamps are moved from the monotonic clock to the wall."""
        if self._tracer is None:
            return
        offset_s = time.time() - now_monotonic_s
        start_s = trace.started_at + offset_s
        root = self._tracer.start_span("airside.join", start_time=_nanoseconds(start_s))
        at_s = start_s
        for step, seconds in trace.steps.items():
            span = self._tracer.start_span(
                f"airside.join.{step.value}", context=_child_of(root), start_time=_nanoseconds(at_s)
            )
            at_s += seconds
            span.end(end_time=_nanoseconds(at_s))
        root.end(end_time=_nanoseconds(start_s + trace.total_s))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


def _default_tracer() -> Any | None:
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.get_tracer("airside")


def _child_of(span: Any) -> Any:
    try:
        from opentelemetry import trace
    except ImportError:
        return None
    return trace.set_span_in_context(span)
