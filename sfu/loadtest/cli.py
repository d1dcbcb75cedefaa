"""`airside load-test`: flags, progress and the final table."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from sfu.loadtest import Options, Progress, Report, run
from sfu.loadtest.network import NetworkTextError, parse_network
from sfu.loadtest.options import DEFAULT_LAYERS, DEFAULT_URL, NetworkOf
from sfu.loadtest.report import as_table
from sfu.settings.modes import DEV_KEYS

EXIT_INCOMPLETE = 1
"""Somebody did not get in, or did not get everything."""


def load_test(
    url: Annotated[str, typer.Option(help="The server.")] = DEFAULT_URL,
    room: Annotated[str, typer.Option(help="Room to join; with a number behind it for several.")] = "load",
    rooms: Annotated[int, typer.Option(min=1, help="Rooms; the other numbers are for each.")] = 1,
    audio_publishers: Annotated[int, typer.Option(min=0, help="Clients that publish audio.")] = 1,
    video_publishers: Annotated[int, typer.Option(min=0, help="Clients that publish video.")] = 0,
    subscribers: Annotated[int, typer.Option(min=0, help="Clients that receive everything.")] = 1,
    data_publishers: Annotated[int, typer.Option(min=0, help="Clients that send data messages.")] = 0,
    data_rate: Annotated[float, typer.Option(min=0.1, help="Data messages a second of each.")] = 10.0,
    data_bytes: Annotated[int, typer.Option(min=8, max=60_000, help="Payload of each.")] = 100,
    data_lossy: Annotated[bool, typer.Option("--data-lossy", help="Over the lossy channel.")] = False,
    layers: Annotated[int, typer.Option(min=1, max=3, help="Simulcast layers of each video.")] = 3,
    duration: Annotated[float, typer.Option(min=1, help="Seconds to measure.")] = 30.0,
    join_rate: Annotated[float, typer.Option(min=0.1, help="Joins per second.")] = 50.0,
    workers: Annotated[int, typer.Option(min=1, max=255, help="Threads that carry the clients' media.")] = 1,
    network: Annotated[
        str, typer.Option(help="Bad network of each client: loss=5%,delay=50ms,jitter=30ms,rate=2mbit")
    ] = "",
    network_of: Annotated[NetworkOf, typer.Option(help="Whose network it is.")] = NetworkOf.EVERYONE,
    seed: Annotated[int, typer.Option(min=0, help="Of the network: the same one loses the same.")] = 1,
    metrics_url: Annotated[
        str | None, typer.Option(help="The server's /metrics; by default beside the URL.")
    ] = None,
    api_key: Annotated[str, typer.Option(envvar="AIRSIDE_API_KEY", help="Which key signs tokens.")] = "",
    api_secret: Annotated[str, typer.Option(envvar="AIRSIDE_API_SECRET", help="Its secret.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print figures for programs.")] = False,
) -> None:
    """Drive many publishers and subscribers against a server, and say how it did."""
    if not api_key:
        api_key, api_secret = next(iter(DEV_KEYS.items()))
    try:
        bad = parse_network(network) if network else None
    except NetworkTextError as error:
        raise typer.BadParameter(str(error), param_hint="--network") from None
    options = Options(
        api_key=api_key,
        api_secret=api_secret,
        url=url,
        room=room,
        rooms=rooms,
        audio_publishers=audio_publishers,
        video_publishers=video_publishers,
        subscribers=subscribers,
        data_publishers=data_publishers,
        data_rate=data_rate,
        data_bytes=data_bytes,
        data_reliable=not data_lossy,
        layers=DEFAULT_LAYERS[-layers:],
        duration_s=duration,
        joins_per_s=join_rate,
        workers=workers,
        network=bad,
        network_of=network_of,
        seed=seed,
        metrics_url=metrics_url,
    )
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    report = _show(options)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), allow_nan=True))
    else:
        Console().print(as_table(report))
    if not report.passed:
        raise typer.Exit(EXIT_INCOMPLETE)


def _show(options: Options) -> Report:
    """Run it under a progress bar on standard error."""
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[text]}"),
    )
    with (
        Bar(*columns, console=Console(stderr=True), transient=True) as bar,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        task = bar.add_task("joining", total=1.0, text="")

        def on_progress(progress: Progress) -> None:
            text = f"{progress.joined} joined"
            if progress.failed:
                text += f", {progress.failed} failed"
            if progress.tracks:
                text += f", {progress.tracks} tracks, {progress.packets_per_s:,.0f} packets/s"
            bar.update(task, description=progress.phase, completed=progress.done, text=text)

        return runner.run(run(options, on_progress))
