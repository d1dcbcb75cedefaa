"""What people and agents say to each other, measured: the plane's edges of speech to turns in the journal."""

from __future__ import annotations

from sfu.participants.happenings import Kind
from sfu.participants.info import ParticipantKind
from sfu.participants.participant import Participant
from sfu.rooms.room import Room
from sfu.rooms.turns import Voice
from sfu.tracks.track import Track


def spoke(room: Room, member: Participant, track: Track, speaking: bool, ago_s: float) -> None:
    """Somebody began to speak, or stopped, so long ago."""
    clock = room.context.clock
    now, wall = clock.monotonic(), clock.wall()
    agent = member.kind is ParticipantKind.AGENT
    voice = Voice(track.id, member.identity, agent, joined_at=member.joined_at - wall + now)
    measure = room.turns.started if speaking else room.turns.stopped
    for turn in measure(voice, now - ago_s):
        room.context.observer.agent_turn(turn.kind.value, turn.seconds)
        room.note(Kind.AGENT_TURN, room.members.get(turn.agent), details=turn.describe(wall - now))
