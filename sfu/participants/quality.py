"""How good a participant's connection is, over all its transports and both directions. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from sfu.core.ids import TransportId
from sfu.core.quality import Direction, QualityClass

BEST_SCORE = 4.5
"""Mean opinion score where nothing is noticed (ITU-T G.107, annex B)."""
_ORDER = {quality: rank for rank, quality in enumerate(QualityClass)}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A class and the score behind it."""

    quality: QualityClass = QualityClass.EXCELLENT
    score: float = BEST_SCORE
    """Mean opinion score, 1 to 4.5."""


@dataclass(slots=True)
class ConnectionQuality:
    """The newest report of each transport and direction; what was never reported is excellent."""

    reports: dict[tuple[TransportId, Direction], Verdict] = field(default_factory=dict)

    def report(self, transport: TransportId, direction: Direction, verdict: Verdict) -> bool:
        """Take one in; whether the whole is in another class than before."""
        before = self.verdict.quality
        self.reports[transport, direction] = verdict
        return self.verdict.quality is not before

    def of(self, direction: Direction) -> Verdict:
        """One direction."""
        return _worst([each for (_, way), each in self.reports.items() if way is direction])

    @property
    def verdict(self) -> Verdict:
        """The worse direction."""
        return _worst(list(self.reports.values()))


def _worst(verdicts: list[Verdict]) -> Verdict:
    return min(verdicts, key=lambda each: (_ORDER[each.quality], each.score), default=Verdict())
