"""The bad network of `airside load-test --network`: from text to words of the packet plane's emulator. Pure.

    loss=5%,delay=50ms,jitter=30ms,rate=2mbit

| Word | Meaning |
| --- | --- |
| `loss=5%` | lost at random; `burst=3` makes the mean run of losses three packets long |
| `delay=50ms` | one way |
| `jitter=30ms` | the delay of each packet is between `delay - jitter` and `delay + jitter` |
| `reorder` | jitter lets packets overtake each other; without it they only bunch |
| `rate=2mbit` | bottleneck, headers counted; also `kbit` and `gbit` |
| `queue=300ms` | how long the bottleneck's full queue takes to empty; 200 ms unless told |

A word holds for both ways; `up.loss=1%` is what the client sends alone, `down.rate=300kbit` what it receives.
Each client has a network of its own, and the same seed gives each packet the same fate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sfu.core.errors import AirsideError

_BITS = {"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_SECONDS = {"ms": 1e-3, "s": 1.0}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([a-z%]*)")
MAX_DELAY_S = 60.0
"""Beyond it every timer of a call has run out."""


class NetworkTextError(AirsideError):
    """A word that says nothing we can do."""

    code = "network"

    def __init__(self, word: str, problem: str) -> None:
        super().__init__(f"network: {word!r} {problem}")


@dataclass(frozen=True, slots=True)
class Way:
    """One direction; the default does nothing."""

    loss: float = 0.0
    """Share of packets, 0 to 1."""
    burst: float = 1.0
    """Mean run of losses, packets."""
    delay_s: float = 0.0
    jitter_s: float = 0.0
    reorder: bool = False
    rate_bps: float = 0.0
    """0: no bottleneck."""
    queue_s: float = 0.2

    def text(self) -> str:
        """As `airside_emulator::LinkConfig` reads it, whose jitter only adds."""
        words = {
            "rate": self.rate_bps,
            "queue_ms": self.queue_s * 1000,
            "delay_ms": (self.delay_s - self.jitter_s) * 1000,
            "jitter_ms": self.jitter_s * 1000,
            "reorder": int(self.reorder),
            "loss": self.loss,
            "burst": self.burst,
        }
        return " ".join(f"{key}={value:.6f}" for key, value in words.items())


@dataclass(frozen=True, slots=True)
class Network:
    """`up` is what the client sends, `down` what it receives."""

    up: Way = Way()
    down: Way = Way()


def parse_network(text: str) -> Network:
    """Read the syntax above.

    Raises:
        NetworkTextError: The first word that is unknown, has no such unit, or asks for more than there is.
    """
    network = Network()
    for word in text.replace(" ", ",").split(","):
        if not word:
            continue
        side, dot, rest = word.partition(".")
        if dot and side in ("up", "down"):
            network = replace(network, **{side: _set(getattr(network, side), word, rest)})
        else:
            network = Network(_set(network.up, word, word), _set(network.down, word, word))
    for way in (network.up, network.down):
        if way.jitter_s > way.delay_s:
            raise NetworkTextError(f"jitter={way.jitter_s * 1000:g}ms", "is more than the delay")
    return network


def _set(way: Way, word: str, text: str) -> Way:
    key, _, value = text.partition("=")
    match key:
        case "loss":
            return replace(way, loss=_number(word, value, {"%": 0.01}, 1.0))
        case "burst":
            return replace(way, burst=_number(word, value, {"": 1.0}, 1000.0))
        case "delay":
            return replace(way, delay_s=_number(word, value, _SECONDS, MAX_DELAY_S))
        case "jitter":
            return replace(way, jitter_s=_number(word, value, _SECONDS, MAX_DELAY_S))
        case "queue":
            return replace(way, queue_s=_number(word, value, _SECONDS, MAX_DELAY_S))
        case "rate":
            return replace(way, rate_bps=_number(word, value, _BITS, 1e12))
        case "reorder" if not value:
            return replace(way, reorder=True)
    raise NetworkTextError(word, "is unknown")


def _number(word: str, text: str, units: dict[str, float], most: float) -> float:
    found = _NUMBER.fullmatch(text)
    if found is None or found[2] not in units:
        raise NetworkTextError(word, f"needs a number with {' or '.join(filter(None, units)) or 'no unit'}")
    value = float(found[1]) * units[found[2]]
    if value > most:
        raise NetworkTextError(word, "is too much")
    return value
