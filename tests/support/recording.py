"""What was seen of a call over time: samples of clients and server, questions to them, JSON and a plot.

Times are seconds since 1970 on this machine's clock; everybody here has the same one.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.support import plot

Sample = dict[str, Any]
Series = list[tuple[float, float]]
AUDIO_RATE = 48_000
SHORTEST_FREEZE_S = 0.15
"""A later frame than this much over the mean is none yet (W3C webrtc-stats, freezeCount)."""
NO_LAYER = 255
"""From here on the server sends none."""


@dataclass
class Recording:
    """`people` by identity; `marks` say what was done to the network, `limits` what its bottleneck took."""

    name: str
    people: dict[str, list[Sample]] = field(default_factory=dict)
    server: list[Sample] = field(default_factory=list)
    """What the server's API says of the receiver: its `transport`, and the `video` slot."""
    marks: list[tuple[float, str]] = field(default_factory=list)
    limits: Series = field(default_factory=list)
    totals: dict[str, Any] = field(default_factory=dict)
    """What the emulators did to whom."""

    def mark(self, label: str) -> float:
        """Moment of a mark; the last one of this name."""
        return next(at for at, text in reversed(self.marks) if text == label)

    def received_bps(self, who: str, since: float, until: float, kind: str = "video") -> float:
        """Mean rate of what somebody received, repairs included."""
        return _rate(_counts(self._within(who, since, until), "inbound", kind, "bytesReceived"))

    def sent_bps(self, who: str, since: float, until: float, kind: str = "video") -> float:
        """Mean rate of what somebody sent, all layers."""
        return _rate(_counts(self._within(who, since, until), "outbound", kind, "bytesSent"))

    def heights(self, who: str, since: float, until: float) -> Series:
        """Height in pixels of the picture decoded last, sample by sample."""
        samples = self._within(who, since, until)
        return [(at, each["frameHeight"]) for at, each in _streams(samples, "video") if "frameHeight" in each]

    def sent_heights(self, who: str, since: float, until: float) -> list[tuple[float, tuple[int, ...]]]:
        """Heights of the layers that were sent, lowest first."""
        return [
            (
                sample["at_s"],
                tuple(sorted(s.get("frameHeight", 0) for s in sample["outbound"] if s["kind"] == "video")),
            )
            for sample in self._within(who, since, until)
        ]

    def switches(self, who: str, since: float, until: float) -> int:
        """How often the decoded picture's height changed."""
        heights = [height for _, height in self.heights(who, since, until)]
        return sum(1 for one, two in itertools.pairwise(heights) if one != two)

    def longest_freeze_s(self, who: str, since: float, until: float) -> float:
        """At most: where one sample saw several freezes, all but one were as short as freezes can be."""
        video = _streams(self._within(who, since, until), "video")
        seen = [
            (each["totalFreezesDuration"], each["freezeCount"])
            for _, each in video
            if "totalFreezesDuration" in each
        ]
        lengths = [
            after[0] - before[0] - SHORTEST_FREEZE_S * max(0, after[1] - before[1] - 1)
            for before, after in itertools.pairwise(seen)
        ]
        return max(lengths, default=0.0)

    def frozen_share(self, who: str, since: float, until: float) -> float:
        """Part of the time that the picture stood still for longer than a viewer overlooks."""
        samples = self._within(who, since, until)
        counts = _counts(samples, "inbound", "video", "totalFreezesDuration")
        return (counts[-1][1] - counts[0][1]) / (until - since) if counts else 1.0

    def frames(self, who: str, since: float, until: float) -> int:
        """Decoded."""
        counts = _counts(self._within(who, since, until), "inbound", "video", "framesDecoded")
        return round(counts[-1][1] - counts[0][1]) if counts else 0

    def concealed_share(self, who: str, since: float, until: float) -> float:
        """Of all audio that was played, how much was made up for packets that were not there."""
        found = _differences(self._within(who, since, until), ("concealedSamples", "totalSamplesReceived"))
        return found["concealedSamples"] / max(1.0, found["totalSamplesReceived"])

    def mean_concealment_s(self, who: str, since: float, until: float) -> float:
        """Mean length of one gap that was concealed; 0 when there was none."""
        found = _differences(self._within(who, since, until), ("concealedSamples", "concealmentEvents"))
        return found["concealedSamples"] / max(1.0, found["concealmentEvents"]) / AUDIO_RATE

    def packets(self, who: str, since: float, until: float, kind: str) -> Series:
        """Packets received so far, sample by sample."""
        return _counts(self._within(who, since, until), "inbound", kind, "packetsReceived")

    def estimates(self, since: float, until: float) -> Series:
        """What the server thinks the way to the receiver takes, bits per second."""
        found = [(sample["at_s"], sample["transport"].get("estimate_bps")) for sample in self.server]
        return [(at, value) for at, value in found if value is not None and since <= at <= until]

    def write(self, folder: Path) -> None:
        """`name`.json and `name`.svg."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(asdict(self)))
        (folder / f"{self.name}.svg").write_text(plot.svg(self.name, self.panels(), self.marks))

    @classmethod
    def read(cls, path: Path) -> Recording:
        """What `write` wrote."""
        return cls(**json.loads(path.read_text()))

    def panels(self) -> list[plot.Panel]:
        """The plot: rates, picture, audio."""
        everything = (float("-inf"), float("inf"))
        rates, pictures, waits = [], [], []
        for who in self.people:
            video = _rates(_counts(self._within(who, *everything), "inbound", "video", "bytesReceived"))
            if video:
                rates.append(plot.Line(f"{who} receives", _scaled(video, 1e-6)))
                pictures.append(plot.Line(f"{who} sees", self.heights(who, *everything), steps=True))
                waits += self._waits(who)
            sent = _rates(_counts(self._within(who, *everything), "outbound", "video", "bytesSent"))
            if sent:
                rates.append(plot.Line(f"{who} sends", _scaled(sent, 1e-6)))
        layers = [
            (sample["at_s"], float(slot["layer"]))
            for sample in self.server
            for slot in sample["video"][:1]
            if slot["layer"] < NO_LAYER
        ]
        if estimates := self.estimates(*everything):
            rates.append(plot.Line("estimate", _scaled(estimates, 1e-6)))
        if self.limits:
            rates.append(plot.Line("bottleneck", _scaled(self.limits, 1e-6), steps=True, dashed=True))
        return [
            plot.Panel("Mbit/s", rates),
            plot.Panel("picture, px", pictures),
            plot.Panel("layer sent to the receiver", [plot.Line("layer", layers, steps=True)]),
            plot.Panel("per second: ms frozen, ms concealed", waits),
        ]

    def _waits(self, who: str) -> list[plot.Line]:
        samples = self._within(who, float("-inf"), float("inf"))
        frozen = _rates(_counts(samples, "inbound", "video", "totalFreezesDuration"), 1000)
        concealed = _rates(_counts(samples, "inbound", "audio", "concealedSamples"), 1000 / AUDIO_RATE)
        return [plot.Line("video frozen", frozen), plot.Line("audio concealed", concealed)]

    def _within(self, who: str, since: float, until: float) -> list[Sample]:
        return [sample for sample in self.people[who] if since <= sample["at_s"] <= until]


def _streams(samples: list[Sample], kind: str) -> Iterator[tuple[float, Sample]]:
    for sample in samples:
        for stream in sample["inbound"]:
            if stream["kind"] == kind:
                yield sample["at_s"], stream


def _counts(samples: list[Sample], side: str, kind: str, key: str) -> Series:
    found = [
        (sample["at_s"], [each for each in sample[side] if each["kind"] == kind and key in each])
        for sample in samples
    ]
    return [(at, float(sum(each[key] for each in streams))) for at, streams in found if streams]


def _rate(counts: Series) -> float:
    """Mean, of bytes as bits."""
    if len(counts) < 2:
        return 0.0
    return (counts[-1][1] - counts[0][1]) * 8 / (counts[-1][0] - counts[0][0])


def _rates(counts: Series, factor: float = 8.0) -> Series:
    return [
        (after[0], max(0.0, after[1] - before[1]) * factor / max(1e-3, after[0] - before[0]))
        for before, after in itertools.pairwise(counts)
    ]


def _differences(samples: list[Sample], keys: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for key in keys:
        counts = _counts(samples, "inbound", "audio", key)
        found[key] = counts[-1][1] - counts[0][1] if counts else 0.0
    return found


def _scaled(series: Series, factor: float) -> Series:
    return [(at, value * factor) for at, value in series]
