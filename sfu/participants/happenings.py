"""What the journal holds: rooms, people and tracks that came and went, and what agents' jobs went through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sfu.participants.info import ParticipantInfo, RoomInfo
from sfu.participants.sink import LeaveCode
from sfu.tracks.track import TrackInfo


class Kind(StrEnum):
    """Wire format; LiveKit's names, but for those of agents."""

    ROOM_STARTED = "room_started"
    ROOM_FINISHED = "room_finished"
    PARTICIPANT_JOINED = "participant_joined"
    """Its transport is connected."""
    PARTICIPANT_LEFT = "participant_left"
    PARTICIPANT_ABORTED = "participant_connection_aborted"
    """It left before its transport was connected."""
    TRACK_PUBLISHED = "track_published"
    TRACK_UNPUBLISHED = "track_unpublished"
    AGENT_JOB = "agent_job"
    """A job moved; `details` says from where to where, and why."""
    AGENT_TURN = "agent_turn"
    """An agent answered, was interrupted or spoke for the first time; `details` says after how long."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One of them, with everything as it was then."""

    kind: Kind
    at: float
    """Wall clock, seconds since 1970."""
    room: RoomInfo
    participant: ParticipantInfo | None = None
    track: TrackInfo | None = None
    reason: LeaveCode | None = None
    """Why the room or the participant is gone."""
    details: Mapping[str, object] | None = None
    """Of a job or a turn, as plain JSON."""
