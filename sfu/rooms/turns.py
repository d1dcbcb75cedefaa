"""Turns between people and agents in one room, from when each began and stopped to speak. Pure.

A turn is from the last packet of somebody's speech to the first of an agent's answer. An end is known only
after a while of silence, so news may come in another order than it happened: each carries its own time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sfu.core.ids import Identity, TrackId

LONGEST_TURN_S = 30.0
"""What an agent says later than that is no answer."""
LONGEST_INTERRUPTION_S = 3.0
"""An agent that goes on for longer was not interrupted: it was talked over."""


class TurnKind(StrEnum):
    """What was measured."""

    ANSWER = "answer"
    """From the end of somebody's speech to the agent's."""
    INTERRUPTION = "interruption"
    """From the beginning of somebody's speech to the agent's silence."""
    FIRST_AUDIO = "first_audio"
    """From the agent's join to its first speech."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement."""

    kind: TurnKind
    agent: Identity
    person: Identity | None
    """Who spoke; None where nobody had to."""
    seconds: float
    at: float
    """When it ended, on the clock that was given."""

    def describe(self, wall_offset_s: float) -> dict[str, object]:
        """Plain JSON; the offset is wall clock less the one that was given."""
        return {
            "kind": self.kind.value,
            "agent": self.agent,
            "person": self.person,
            "seconds": round(self.seconds, 3),
            "at": self.at + wall_offset_s,
        }


@dataclass(frozen=True, slots=True)
class Voice:
    """A track that speaks or stopped."""

    track: TrackId
    identity: Identity
    agent: bool
    joined_at: float


class TurnBoard:
    """One room's."""

    def __init__(self) -> None:
        self._speaking: dict[TrackId, tuple[Voice, float]] = {}
        """Who speaks as far as is known, and since when."""
        self._ended: tuple[Identity, float] | None = None
        """Who spoke last and waits for an answer."""
        self._interrupted: dict[TrackId, tuple[Identity, float]] = {}
        self._heard: set[Identity] = set()
        """Agents that have spoken."""

    def started(self, voice: Voice, at: float) -> Iterator[Turn]:
        """Somebody speaks since then."""
        self._speaking[voice.track] = (voice, at)
        if voice.agent:
            if voice.identity not in self._heard:
                self._heard.add(voice.identity)
                seconds = max(0.0, at - voice.joined_at)
                yield Turn(TurnKind.FIRST_AUDIO, voice.identity, None, seconds, at)
            if self._ended is not None:
                yield from self._answer(voice, at, *self._ended)
            return
        self._ended = None
        for track, (other, _) in self._speaking.items():
            if other.agent:
                self._interrupted.setdefault(track, (voice.identity, at))

    def stopped(self, voice: Voice, at: float) -> Iterator[Turn]:
        """Somebody's last speech was then."""
        self._speaking.pop(voice.track, None)
        if voice.agent:
            person, since = self._interrupted.pop(voice.track, (None, at))
            if person is not None and 0.0 < at - since <= LONGEST_INTERRUPTION_S:
                yield Turn(TurnKind.INTERRUPTION, voice.identity, person, at - since, at)
            return
        if any(not other.agent for other, _ in self._speaking.values()):
            # Somebody else has the word.
            return
        self._ended = (voice.identity, at)
        # An answer may have begun before the silence was long enough to be one.
        for other, since in list(self._speaking.values()):
            if other.agent and since >= at:
                yield from self._answer(other, since, voice.identity, at)

    def forget(self, track: TrackId) -> None:
        """A track is gone, and with it what was said about it."""
        self._speaking.pop(track, None)
        self._interrupted.pop(track, None)

    def left(self, identity: Identity) -> None:
        """Somebody is gone. His tracks have stopped."""
        self._heard.discard(identity)
        if self._ended is not None and self._ended[0] == identity:
            self._ended = None

    def _answer(self, voice: Voice, at: float, person: Identity, ended_at: float) -> Iterator[Turn]:
        if 0.0 <= at - ended_at <= LONGEST_TURN_S:
            yield Turn(TurnKind.ANSWER, voice.identity, person, at - ended_at, at)
        self._ended = None
