"""Every Prometheus metric of the control plane. Units are in the names; labels are bounded.

What the packet plane counts is in plane_metrics.py. Detail per participant is in the server API, not here.
"""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from sfu.core.codecs import MediaKind, TrackSource
from sfu.core.observer import JoinStep, JoinTrace

CONTENT_TYPE = CONTENT_TYPE_LATEST

JOIN_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
JOB_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
TURN_BUCKETS_S = (0.04, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
REQUEST_BUCKETS_S = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5)


class Metrics:
    """Implements `sfu.core.observer.Observer`, and counts what signaling and the process do."""

    def __init__(
        self,
        version: str,
        registry: CollectorRegistry | None = None,
        on_join: Callable[[JoinTrace], None] | None = None,
    ) -> None:
        """`on_join` is given each join that came to an end, for tracing."""
        self._on_join = on_join
        self.registry = registry if registry is not None else CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

        def counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(f"airside_{name}", text, tuple(labels), registry=self.registry)

        def gauge(name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge(f"airside_{name}", text, tuple(labels), registry=self.registry)

        def histogram(
            name: str, text: str, buckets: tuple[float, ...], labels: Iterable[str] = ()
        ) -> Histogram:
            return Histogram(f"airside_{name}", text, tuple(labels), buckets=buckets, registry=self.registry)

        gauge("build", "Always 1; the version is a label.", ["version"]).labels(version).set(1)
        self._rooms = gauge("rooms", "Rooms that are open.")
        self._rooms_opened = counter("rooms_opened_total", "Rooms that came to be.")
        self._rooms_closed = counter("rooms_closed_total", "Rooms that ended.", ["reason"])
        self._participants = gauge("participants", "Participants in a room.", ["kind"])
        self._participants_left = counter(
            "participants_left_total", "Participants that left.", ["kind", "reason"]
        )
        self._tracks = gauge("tracks", "Published tracks.", ["kind", "source"])
        self._subscriptions = gauge("subscriptions", "Tracks bound to a section.", ["kind"])
        self._joins = counter("joins_total", "Joins by outcome: ok, or an error code.", ["outcome"])
        self._join_seconds = histogram(
            "join_seconds", "Time each step of a join took.", JOIN_BUCKETS_S, ["step"]
        )
        self._join_total_seconds = histogram(
            "join_total_seconds", "From join request to first media, or to as far as it came.", JOIN_BUCKETS_S
        )
        self._command_failures = counter(
            "plane_command_failures_total", "Commands the packet plane refused.", ["command"]
        )
        self._streams_paused = counter(
            "streams_paused_total",
            "Video that was held back, since its subscriber's network took none of it.",
        )
        self._agent_workers = gauge("agent_workers", "Agent workers that are connected.")
        self._jobs = gauge("agent_jobs", "Jobs of agents that are not over.", ["status"])
        self._job_moves = counter(
            "agent_job_moves_total", "Steps of jobs, by what they came to and why.", ["status", "reason"]
        )
        self._job_wait_seconds = histogram(
            "job_wait_seconds", "From when a job could begin until a worker took it.", JOB_BUCKETS_S
        )
        self._job_join_seconds = histogram(
            "job_join_seconds", "From when a job could begin until its agent was there.", JOB_BUCKETS_S
        )
        self._agent_turn_seconds = histogram(
            "agent_turn_seconds",
            "From somebody's last speech to an agent's first (answer), from somebody's first to an agent's "
            "last (interruption), from an agent's join to its first speech (first_audio).",
            TURN_BUCKETS_S,
            ["kind"],
        )
        self._agent_messages_ignored = counter(
            "agent_messages_ignored_total", "Messages of workers that made no sense.", ["reason"]
        )
        self._sockets = gauge("signaling_connections", "Open signaling WebSockets.")
        self._sockets_closed = counter(
            "signaling_closed_total", "Signaling WebSockets that ended, by close code.", ["code"]
        )
        self._requests = counter("signaling_requests_total", "Signaling requests.", ["type", "outcome"])
        self._webhooks = counter(
            "webhooks_total",
            "Events sent to webhook URLs: delivered, given_up after all attempts, or crowded_out.",
            ["outcome"],
        )
        self._http_seconds = histogram(
            "http_request_seconds", "Server API requests.", REQUEST_BUCKETS_S, ["method", "status"]
        )
        self._loop_lag = histogram(
            "event_loop_lag_seconds", "How late a timer of the event loop ran.", LAG_BUCKETS_S
        )

    def expose(self) -> bytes:
        """The whole registry in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    # Observer

    def join_outcome(self, outcome: str) -> None:
        """As `Observer.join_outcome`."""
        self._joins.labels(outcome).inc()

    def join_step(self, step: JoinStep, seconds: float) -> None:
        """As `Observer.join_step`."""
        self._join_seconds.labels(step.value).observe(seconds)

    def join_finished(self, trace: JoinTrace) -> None:
        """As `Observer.join_finished`."""
        self._join_total_seconds.observe(trace.total_s)
        if self._on_join is not None:
            self._on_join(trace)

    def room_opened(self) -> None:
        """As `Observer.room_opened`."""
        self._rooms.inc()
        self._rooms_opened.inc()

    def room_closed(self, reason: str) -> None:
        """As `Observer.room_closed`."""
        self._rooms.dec()
        self._rooms_closed.labels(reason).inc()

    def participant_entered(self, kind: str) -> None:
        """As `Observer.participant_entered`."""
        self._participants.labels(kind).inc()

    def participant_left(self, kind: str, reason: str) -> None:
        """As `Observer.participant_left`."""
        self._participants.labels(kind).dec()
        self._participants_left.labels(kind, reason).inc()

    def track_published(self, kind: MediaKind, source: TrackSource) -> None:
        """As `Observer.track_published`."""
        self._tracks.labels(kind.value, source.value).inc()

    def track_unpublished(self, kind: MediaKind, source: TrackSource) -> None:
        """As `Observer.track_unpublished`."""
        self._tracks.labels(kind.value, source.value).dec()

    def subscription_bound(self, kind: MediaKind) -> None:
        """As `Observer.subscription_bound`."""
        self._subscriptions.labels(kind.value).inc()

    def subscription_unbound(self, kind: MediaKind) -> None:
        """As `Observer.subscription_unbound`."""
        self._subscriptions.labels(kind.value).dec()

    def command_failed(self, command: str) -> None:
        """As `Observer.command_failed`."""
        self._command_failures.labels(command).inc()

    def stream_paused(self) -> None:
        """As `Observer.stream_paused`."""
        self._streams_paused.inc()

    def agent_workers(self, count: int) -> None:
        """As `Observer.agent_workers`."""
        self._agent_workers.set(count)

    def job_moved(self, before: str | None, after: str, reason: str) -> None:
        """As `Observer.job_moved`."""
        if before is not None and before not in _ENDED_JOBS:
            self._jobs.labels(before).dec()
        if after not in _ENDED_JOBS:
            self._jobs.labels(after).inc()
        self._job_moves.labels(after, reason).inc()

    def job_waited(self, seconds: float) -> None:
        """As `Observer.job_waited`."""
        self._job_wait_seconds.observe(seconds)

    def job_joined(self, seconds: float) -> None:
        """As `Observer.job_joined`."""
        self._job_join_seconds.observe(seconds)

    def agent_turn(self, kind: str, seconds: float) -> None:
        """As `Observer.agent_turn`."""
        self._agent_turn_seconds.labels(kind).observe(seconds)

    def agent_message_ignored(self, reason: str) -> None:
        """As `Observer.agent_message_ignored`."""
        self._agent_messages_ignored.labels(reason).inc()

    # Signaling and process

    def socket_opened(self) -> None:
        """A signaling WebSocket was accepted."""
        self._sockets.inc()

    def socket_closed(self, code: int) -> None:
        """A signaling WebSocket ended. Codes of peers that are none of the known ones count as `other`."""
        self._sockets.dec()
        known = code in _STANDARD_CLOSE_CODES or 4000 <= code <= 4012 or code == 4500
        self._sockets_closed.labels(str(code) if known else "other").inc()

    def request_handled(self, kind: str, outcome: str) -> None:
        """A signaling request: its message type, and `ok` or an error code. Both bounded by the caller."""
        self._requests.labels(kind, outcome).inc()

    def webhook_handled(self, outcome: str) -> None:
        """What became of an event at a webhook URL. Bounded by the caller."""
        self._webhooks.labels(outcome).inc()

    def http_handled(self, method: str, status: int, seconds: float) -> None:
        """A request of the server API was answered."""
        known = method if method in _METHODS else "other"
        self._http_seconds.labels(known, f"{status // 100}xx").observe(seconds)

    def loop_lag(self, seconds: float) -> None:
        """One reading of the lag probe."""
        self._loop_lag.observe(seconds)


_STANDARD_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, 1005, 1006, 1007, 1009, 1011, 1012})
_ENDED_JOBS = frozenset({"succeeded", "failed", "cancelled"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
