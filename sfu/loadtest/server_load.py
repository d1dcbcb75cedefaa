"""How much processor time the server has used, from its own /metrics."""

from __future__ import annotations

import asyncio
import logging
from http.client import HTTPException
from urllib.parse import urlsplit, urlunsplit
from urllib.request import urlopen

log = logging.getLogger(__name__)

METRIC = "process_cpu_seconds_total"
TIMEOUT_S = 5.0


def metrics_url(url: str) -> str:
    """`/metrics` beside the signaling URL."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, "/metrics", "", ""))


def parse_cpu_s(text: str) -> float | None:
    """The value of the processor metric in Prometheus' text format; None when it is not there."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == METRIC:
            try:
                return float(value)
            except ValueError:
                return None
    return None


async def read_cpu_s(url: str) -> float | None:
    """Processor seconds of the server so far; None when it does not say."""

    def fetch() -> str:
        with urlopen(url, timeout=TIMEOUT_S) as response:  # noqa: S310
            body: bytes = response.read()
            return body.decode()

    try:
        return parse_cpu_s(await asyncio.to_thread(fetch))
    except (OSError, HTTPException, ValueError) as error:
        log.info("no processor time from %s: %s", url, error)
        return None
