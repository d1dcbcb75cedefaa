"""`airside agent`: run a worker from a file; in development again at each change of its code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from sfu.cli.rooms import DEFAULT_URL, UrlOption
from sfu.cli.tokens import ConfigOption, KeyOption, SecretOption, find_key
from sfu.telemetry import logs

if TYPE_CHECKING:
    from sfu.agents import Worker
    from sfu.agents.backends import MediaBackend

app = typer.Typer(help="Run agents.", no_args_is_help=True)

WATCH_S = 0.5  # between two looks at the files
STOP_S = 15.0  # for a worker to end before its code is loaded anew
HEALTH_REQUEST_BYTES = 1024

FileArgument = Annotated[Path, typer.Argument(help="Python file with a Worker.", exists=True, dir_okay=False)]
HealthOption = Annotated[
    int, typer.Option("--health-port", help="HTTP port: 200 while connected, else 503; 0: none.")
]
MediaOption = Annotated[
    str, typer.Option("--media", help="plane, aiortc or auto, in place of what the worker says.")
]


@app.command()
def start(
    file: FileArgument,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = "",
    api_secret: SecretOption = "",
    config: ConfigOption = None,
    health_port: HealthOption = 0,
    media: MediaOption = "",
) -> None:
    """Run a worker until SIGTERM or SIGINT; then it takes no more jobs, and ends when the last has ended."""
    from sfu.agents.loading import load_worker

    logs.configure("info", as_json=False)
    key, secret = find_key(api_key, api_secret, config)
    worker = load_worker(file)
    if media:
        worker.media = _backend(media)
    asyncio.run(_serve(worker, url, key, secret, health_port))


@app.command()
def dev(
    file: FileArgument,
    url: UrlOption = DEFAULT_URL,
    api_key: KeyOption = "",
    api_secret: SecretOption = "",
    config: ConfigOption = None,
    health_port: HealthOption = 0,
) -> None:
    """The same, started again whenever a Python file beside it changes. Its jobs end then."""
    key, secret = find_key(api_key, api_secret, config)
    command = [sys.executable, "-m", "sfu", "agent", "start", str(file), "--url", url]
    command += ["--health-port", str(health_port)]
    environment = {**os.environ, "AIRSIDE_API_KEY": key, "AIRSIDE_API_SECRET": secret}
    # Whoever ends us ends the worker too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    while True:
        seen = _modified(file.parent)
        process = subprocess.Popen(command, env=environment)  # noqa: S603
        try:
            # A worker that cannot start waits for its next version.
            while _modified(file.parent) == seen:
                time.sleep(WATCH_S)
        except KeyboardInterrupt:
            _stop(process)
            return
        typer.echo("the code has changed: starting again")
        _stop(process)


def _backend(text: str) -> MediaBackend:
    from sfu.agents.backends import MediaBackend

    for known in get_args(MediaBackend):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise typer.BadParameter(f"{text!r} is none of {', '.join(get_args(MediaBackend))}", param_hint="--media")


async def _serve(worker: Worker, url: str, key: str, secret: str, health_port: int) -> None:
    from sfu.agents import ConnectError
    from sfu.agents.loading import NoWorkerError

    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def stopped() -> None:
        if stop.is_set():
            # The second time it is meant.
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped)
    health = await _health(worker, health_port) if health_port else None
    try:
        await worker.run(url, key, secret, stop=stop)
    except ConnectError as error:
        raise NoWorkerError(str(error)) from None
    finally:
        if health is not None:
            health.close()


async def _health(worker: Worker, port: int) -> asyncio.Server:
    """One answer to whatever is asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(HEALTH_REQUEST_BYTES)
        body = f'{{"connected": {str(worker.connected).lower()}, "jobs": {len(worker.jobs)}}}'
        status = "200 OK" if worker.connected else "503 Service Unavailable"
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "0.0.0.0", port)


def _modified(folder: Path) -> dict[Path, float]:
    found: dict[Path, float] = {}
    for path in folder.rglob("*.py"):
        try:
            found[path] = path.stat().st_mtime
        except FileNotFoundError:
            logging.getLogger(__name__).debug("%s went while it was looked at", path)
    return found


def _stop(process: subprocess.Popen[bytes]) -> None:
    for signal_ in (signal.SIGTERM, signal.SIGTERM):
        # The second one does not wait for jobs.
        if process.poll() is None:
            process.send_signal(signal_)
            time.sleep(WATCH_S)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
