"""Bounded streams between what arrives and who reads."""

from __future__ import annotations

import asyncio

import pytest

from sfu.agents.signal import signal_url
from sfu.agents.streams import Stream


async def test_a_slow_reader_loses_the_oldest() -> None:
    owner: set[Stream[int]] = set()
    stream = Stream(3, owner)
    for number in range(5):
        stream.push(number)
    stream.end()
    assert [item async for item in stream] == [2, 3, 4]
    assert stream.dropped == 2
    assert not owner


async def test_a_reader_waits_and_stops_at_the_end() -> None:
    owner: set[Stream[str]] = set()
    with Stream(3, owner) as stream:
        assert owner == {stream}
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        stream.push("one")
        assert await reading == "one"
    assert not owner
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("localhost:7880", "ws://localhost:7880/signal"),
        ("http://localhost:7880/", "ws://localhost:7880/signal"),
        ("https://rtc.example.org", "wss://rtc.example.org/signal"),
        ("wss://example.org/sfu", "wss://example.org/sfu/signal"),
        ("ws://host/signal", "ws://host/signal"),
    ],
)
def test_signal_url(given: str, url: str) -> None:
    assert signal_url(given) == url
