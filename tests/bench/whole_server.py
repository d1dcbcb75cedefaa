"""A whole server from outside: joins step by step, memory of a room of 200, data messages fanned out.

    python tests/bench/whole_server.py [joins] [memory] [data] [--json FILE]

The server is a process of its own on one core, with one packet worker; the clients are the load test's, on
the packet plane, on another core. Needs both to itself: on a busy machine the figures are the machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from sfu.loadtest import Options, Progress, Report, run  # noqa: E402
from tests.support.server import API_KEY, API_SECRET, Server, running_server  # noqa: E402

JOINS, CALM_JOINS_PER_S, STORM_JOINS_PER_S = 100, 5.0, 100.0
PARTICIPANTS, SPEAKERS = 200, 10
DATA_SENDERS, DATA_RECEIVERS, DATA_RATE = 10, 90, 20.0
"""10 * 20 messages a second to 99 others: what one core of clients reads without falling behind."""
Figures = dict[str, Any]


@asynccontextmanager
async def pinned_server() -> AsyncIterator[Server]:
    """A server on the first core of ours; this process is on the last one from then on."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        os.sched_setaffinity(0, cores[:1])
        async with running_server(Path(folder), http__metrics_interval_s="5") as server:
            os.sched_setaffinity(0, cores[-1:])
            try:
                yield server
            finally:
                os.sched_setaffinity(0, cores)


def options(server: Server, **numbers: Any) -> Options:
    """A load test against the server."""
    numbers = {"audio_publishers": 0, "duration_s": 2.0, **numbers}
    return Options(API_KEY, API_SECRET, url=server.ws_url, **numbers)


def resident_kb(server: Server) -> int:
    """Resident memory of the server's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1])


async def steps(server: Server) -> dict[str, tuple[float, float]]:
    """Of the server's joins so far: sum of seconds and count, by step."""
    found: dict[str, dict[str, float]] = {}
    for kind, step, value in re.findall(
        r'^airside_join_seconds_(sum|count)\{step="(\w+)"\} (\S+)$', await server.metrics(), re.MULTILINE
    ):
        found.setdefault(step, {})[kind] = float(value)
    return {step: (each["sum"], each["count"]) for step, each in found.items()}


async def joins() -> Figures:
    """Time to join a room in which somebody speaks, one after the other and in a storm."""
    figures: Figures = {}
    for name, rate in (("calm", CALM_JOINS_PER_S), ("storm", STORM_JOINS_PER_S)):
        async with pinned_server() as server:
            await run(options(server, audio_publishers=1, subscribers=5, duration_s=1.0))
            before = await steps(server)
            report = await run(
                options(server, room=name, audio_publishers=1, subscribers=JOINS, joins_per_s=rate)
            )
            after = await steps(server)
        assert report.passed, report
        figures[name] = {
            "joins_per_s": rate,
            **{
                f"{step}_p50_ms": round(times.p50 * 1000, 1)
                for step, times in (
                    ("answered", report.joins.joined_s),
                    ("connected", report.joins.connected_s),
                    ("first_packet", report.joins.media_s),
                )
            },
            "first_packet_p99_ms": round(report.joins.media_s.p99 * 1000, 1),
            "server_mean_ms": {
                step: round((total - before[step][0]) / (count - before[step][1]) * 1000, 2)
                for step, (total, count) in after.items()
                if count > before[step][1]
            },
        }
    return figures


async def memory() -> Figures:
    """What 200 participants of one room cost, ten of whom speak to all."""
    async with pinned_server() as server:
        await run(options(server, audio_publishers=1, subscribers=5, duration_s=1.0))
        before = resident_kb(server)
        seen: list[int] = []

        def on_progress(progress: Progress) -> None:
            if progress.phase == "measuring":
                seen.append(resident_kb(server))

        report = await run(
            options(server, room="memory", audio_publishers=SPEAKERS, subscribers=PARTICIPANTS - SPEAKERS),
            on_progress,
        )
    assert report.passed, report
    grown = max(seen) - before
    return {
        "participants": PARTICIPANTS,
        "server_before_mb": round(before / 1024, 1),
        "kb_per_participant": round(grown / PARTICIPANTS, 1),
    }


async def data() -> Figures:
    """Messages delivered a second, and what each costs the server."""
    figures: Figures = {}
    for reliable in (True, False):
        async with pinned_server() as server:
            report: Report = await run(
                options(
                    server, subscribers=DATA_RECEIVERS, data_publishers=DATA_SENDERS, data_rate=DATA_RATE,
                    data_reliable=reliable, duration_s=5.0,
                )
            )  # fmt: skip
        assert report.passed, report
        assert report.data is not None
        assert report.server_cpu_ratio is not None
        figures["reliable" if reliable else "lossy"] = {
            "delivered_per_s": round(report.data.received_per_s),
            "lost": report.data.expected - report.data.received,
            "server_core_share": round(report.server_cpu_ratio, 3),
            "delivered_per_server_cpu_s": round(report.data.received_per_s / report.server_cpu_ratio),
            "latency_p50_ms": round(report.data.latency_s.p50 * 1000, 2),
            "latency_p99_ms": round(report.data.latency_s.p99 * 1000, 2),
        }
    return figures


BENCHES = {"joins": joins, "memory": memory, "data": data}


async def measure(names: list[str]) -> Figures:
    """The named benches, one after the other."""
    return {name: await BENCHES[name]() for name in names}


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benches", nargs="*", choices=[*BENCHES, []], metavar="|".join(BENCHES))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        print("one core for server and clients: figures are of both together", file=sys.stderr)
    figures = uvloop.run(measure(arguments.benches or list(BENCHES)))
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
