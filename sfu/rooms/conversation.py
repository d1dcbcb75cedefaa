"""What people and agents say to each other, measured: the plane's edges of speech to turns in the journal."""

from __future__ import annotations

import contextlib

from sfu.core.errors import LimitExceededError
from sfu.participants.happenings import Kind
from sfu.participants.info import ParticipantKind
from sfu.participants.participant import Participant
from sfu.participants.requests import ParticipantUpdate
from sfu.rooms.administration import update
from sfu.rooms.room import Room
from sfu.rooms.turns import TurnKind, Voice
from sfu.tracks.track import Track

TURN_ATTRIBUTE = "airside.turn_s"
"""Of an agent: seconds from the end of somebody's speech to the beginning of its last answer."""


def spoke(room: Room, member: Participant, track: Track, speaking: bool, ago_s: float) -> None:
    """Somebody began to speak, or stopped, so long ago."""
    clock = room.context.clock
    now, wall = clock.monotonic(), clock.wall()
    agent = member.kind is ParticipantKind.AGENT
    voice = Voice(track.id, member.identity, agent, joined_at=member.joined_at - wall + now)
    measure = room.turns.started if speaking else room.turns.stopped
    for turn in measure(voice, now - ago_s):
        room.context.observer.agent_turn(turn.kind.value, turn.seconds)
        who = room.members.get(turn.agent)
        room.note(Kind.AGENT_TURN, who, details=turn.describe(wall - now))
        if who is not None and turn.kind is TurnKind.ANSWER:
            _show(room, who, turn.seconds)


def _show(room: Room, agent: Participant, seconds: float) -> None:
    """Everybody sees how fast it answered; not if it has as many attributes as one may have."""
    with contextlib.suppress(LimitExceededError):
        update(room, agent, ParticipantUpdate(attributes={TURN_ATTRIBUTE: f"{seconds:.3f}"}))
