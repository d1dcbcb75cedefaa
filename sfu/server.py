"""The whole server put together: built, served, drained. One node; the command line is above it.

Order of the end: refuse joins, tell clients, close transports, join workers, close sockets; all within
`shutdown.deadline_s`. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import sys
import threading
from pathlib import Path

import ifaddr
import uvloop
from rich.console import Console
from starlette.types import ASGIApp

from sfu import __version__
from sfu.collector import Collector
from sfu.core.clock import LoopClock
from sfu.dataplane.plane import DataPlane
from sfu.embedded import EmbeddedAgents
from sfu.service import Service
from sfu.settings.announce import Announcement, announcement
from sfu.settings.models import Settings
from sfu.settings.modes import weak_keys
from sfu.settings.sources import SettingsError
from sfu.telemetry import logs
from sfu.telemetry.health import Health, ServerState
from sfu.telemetry.loop_lag import LoopLagProbe
from sfu.telemetry.metrics import Metrics
from sfu.telemetry.plane_metrics import PlaneMetrics
from sfu.telemetry.trace import JoinTracer
from signaling.app import create_app, metrics_app
from signaling.closing import CloseCode
from signaling.connection import Connections
from signaling.edge import Edge
from signaling.livekit.webhooks import WebhookSender, make_sender
from signaling.server import Server, build_server, listen

log = logging.getLogger(__name__)

NODE = "local"  # the one node there is without a cluster
FLUSH_S = 1.0  # for clients to take the last message before their sockets go
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
EXIT_OK, EXIT_FAILED = 0, 1


def run(settings: Settings, *, development: bool) -> int:
    """Serve until a signal; the exit code.

    Raises:
        SettingsError: A port is taken or a certificate cannot be used.
    """
    logs.configure(settings.log.level, as_json=settings.log.json_lines)
    _allow_many_sockets()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings, development=development))


async def _serve(settings: Settings, *, development: bool) -> int:
    loop = asyncio.get_running_loop()
    announced = announcement(settings.rtc, _machine_addresses(), _in_container())
    for warning in (*announced.warnings, *(() if development else weak_keys(settings))):
        log.warning("%s", warning)
    tracer = JoinTracer()
    metrics = Metrics(__version__, on_join=lambda trace: tracer.export(trace, loop.time()))
    health, connections = Health(), Connections()
    plane_metrics = PlaneMetrics(metrics.registry)
    listeners = [listen(settings.http.host, settings.http.port, "http.port")]
    if settings.http.metrics_port is not None:
        listeners.append(listen(settings.http.host, settings.http.metrics_port, "http.metrics_port"))
    plane = _plane(settings, announced)
    clock = LoopClock(loop)
    edge = Edge(
        service=Service(settings, plane, clock, metrics),
        settings=settings,
        clock=clock,
        metrics=metrics,
        health=health,
        connections=connections,
        version=__version__,
        node=NODE,
        dev=development,
    )
    embedded = EmbeddedAgents(settings, plane)
    webhooks = make_sender(settings, edge.service.journal, clock, metrics)
    apps: list[ASGIApp] = [create_app(edge)]
    if len(listeners) > 1:
        apps.append(metrics_app(metrics))
    servers = [build_server(app, settings) for app in apps]
    probe = LoopLagProbe(loop, metrics.loop_lag)
    probe.start()
    stop = _stop_on_signals(loop)
    tasks = [
        loop.create_task(server.serve(sockets=[listener]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    collector = Collector(lambda: len(connections) == 0)
    polling = _poll_stats(plane, plane_metrics, settings.http.metrics_interval_s)
    chores = [loop.create_task(polling), loop.create_task(collector.run())]
    try:
        await _started(servers, tasks)
        collector.start()
        health.enter(ServerState.READY)
        port = listeners[0].getsockname()[1]
        _greet(settings, announced, plane, port, development=development)
        embedded.start(port)
        await asyncio.wait([loop.create_task(stop.wait()), *tasks], return_when=asyncio.FIRST_COMPLETED)
        failed = not stop.is_set()
    finally:
        _watchdog(settings.shutdown.deadline_s)
        health.enter(ServerState.DRAINING)
        for chore in chores:
            chore.cancel()
        await _drain(settings, edge, embedded, webhooks, servers, tasks)
        probe.stop()
        health.enter(ServerState.STOPPED)
    return EXIT_FAILED if failed else EXIT_OK


async def _drain(
    settings: Settings,
    edge: Edge,
    embedded: EmbeddedAgents,
    webhooks: WebhookSender | None,
    servers: list[Server],
    tasks: list[asyncio.Task[None]],
) -> None:
    log.info("shutting down: %d sockets are open", len(edge.connections))
    try:
        async with asyncio.timeout(settings.shutdown.deadline_s):
            await edge.service.close(settings.shutdown.deadline_s)
            # Their jobs have ended with the rooms.
            await embedded.close(FLUSH_S)
            # Whoever is left had no session yet.
            edge.connections.close_all(CloseCode.RESTART, "this server is shutting down")
            await edge.connections.wait_empty(FLUSH_S)
            if webhooks is not None:
                await webhooks.close(FLUSH_S)
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*tasks, return_exceptions=True)
    except TimeoutError:
        log.error("not everything ended within %g s", settings.shutdown.deadline_s)
        for task in tasks:
            task.cancel()
    log.info("ended")


def _plane(settings: Settings, announced: Announcement) -> DataPlane:
    rtc = settings.rtc
    try:
        return DataPlane(
            workers=rtc.workers or os.cpu_count() or 1,
            bind=rtc.bind,
            port=rtc.port,
            port_per_worker=rtc.port_per_worker,
            room_share=rtc.room_share,
            voices=rtc.voices,
            announce=announced.addresses,
        )
    except OSError as error:
        where = ", ".join(rtc.bind)
        raise SettingsError([f"rtc.port: cannot receive at {where} port {rtc.port}: {error}"]) from None


async def _poll_stats(plane: DataPlane, metrics: PlaneMetrics, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        try:
            for worker in await plane.stats():
                metrics.update(worker.worker, worker.tables)
        except Exception:
            # Figures are worth a log line, not a server.
            log.exception("reading the packet plane's figures failed")


async def _started(servers: list[Server], tasks: list[asyncio.Task[None]]) -> None:
    while not all(server.started for server in servers):
        for task in tasks:
            if task.done():
                await task
                raise SettingsError(["http: the server did not start; the log says why"])
        await asyncio.sleep(0.005)


def _stop_on_signals(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    stop = asyncio.Event()

    def handle() -> None:
        if stop.is_set():
            log.warning("second signal: ending now")
            os._exit(EXIT_FAILED)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle)
    return stop


def _watchdog(deadline_s: float) -> None:
    """Ends the process from outside the loop when even the loop does not turn any more."""

    def end() -> None:
        sys.stderr.write("error: shutdown took too long; ending now\n")
        os._exit(EXIT_FAILED)

    timer = threading.Timer(deadline_s + 2.0, end)
    timer.daemon = True
    timer.start()


def _allow_many_sockets() -> None:
    """Each client is a descriptor, and 1024 is the usual soft limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _machine_addresses() -> list[str]:
    addresses = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    return [each if isinstance(each, str) else each[0] for each in addresses]


def _in_container() -> bool:
    return any(mark.exists() for mark in CONTAINER_MARKS) or "KUBERNETES_SERVICE_HOST" in os.environ


def _greet(
    settings: Settings, announced: Announcement, plane: DataPlane, port: int, *, development: bool
) -> None:
    scheme = "https" if settings.http.tls_cert is not None else "http"
    log.info(
        "airside %s: %s on port %d, %d workers, media to %s",
        __version__, scheme, port, plane.workers, ", ".join(announced.addresses),
    )  # fmt: skip
    if not development:
        return
    key, secret = next(iter(settings.keys.items()))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold]Airside {__version__}[/], for development: everybody who reaches it may join\n")
    console.print(f"  open      [bold cyan]{scheme}://localhost:{port}[/] in two tabs")
    console.print(f"  API key   {key}   secret {secret}")
    console.print(f"  server    ws{scheme.removeprefix('http')}://localhost:{port}")
    console.print(f"  media     UDP {settings.rtc.port} on {', '.join(announced.addresses)}")
    if scheme == "http" and len(announced.addresses) > 1:
        console.print("  [dim]other machines get no camera without HTTPS: --tls-cert and --tls-key[/]")
    console.print("\n  Ctrl-C ends it\n")
    with contextlib.suppress(OSError):
        console.file.flush()
