"""Text of a bad network to the emulator's words."""

from __future__ import annotations

import pytest

from sfu.loadtest.network import Network, NetworkTextError, Way, parse_network


def test_words_hold_for_both_ways() -> None:
    way = Way(loss=0.05, delay_s=0.05, jitter_s=0.03, rate_bps=2e6)
    assert parse_network("loss=5%,delay=50ms,jitter=30ms,rate=2mbit") == Network(way, way)


def test_a_side_may_have_its_own() -> None:
    network = parse_network("delay=1s, up.loss=1%, down.rate=300kbit, down.queue=500ms, reorder, up.burst=3")
    assert network.up == Way(loss=0.01, delay_s=1.0, reorder=True, burst=3.0)
    assert network.down == Way(delay_s=1.0, reorder=True, rate_bps=300e3, queue_s=0.5)


def test_nothing_does_nothing() -> None:
    assert parse_network("") == Network()


def test_the_emulators_jitter_only_adds() -> None:
    text = parse_network("delay=50ms,jitter=30ms").up.text()
    assert "delay_ms=20.0" in text
    assert "jitter_ms=30.0" in text


@pytest.mark.parametrize(
    "text",
    [
        "loss=5",
        "loss=500%",
        "loss",
        "delay=50",
        "delay=-5ms",
        "delay=2h",
        "rate=fast",
        "colour=red",
        "reorder=1",
        "jitter=5ms",
        "sideways.loss=1%",
        "up.colour=1",
    ],
)
def test_what_says_nothing_is_named(text: str) -> None:
    with pytest.raises(NetworkTextError, match=text.split("=")[0].split(".")[-1]):
        parse_network(text)
