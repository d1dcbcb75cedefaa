"""Names of things, and how each looks on the wire and in a log.

Two families. *Plane ids* are integers that the packet plane uses; Python allocates them, counts up and
never reuses one. *Sids* are the strings that clients see: a prefix and 12 characters of a base-57
alphabet, the form LiveKit's clients check.
"""

from __future__ import annotations

import secrets
from typing import NewType

# Same nouns as dataplane/engine/src/ids.rs.
RoomId = NewType("RoomId", int)
ParticipantId = NewType("ParticipantId", int)
TransportId = NewType("TransportId", int)
TrackId = NewType("TrackId", int)
SlotId = NewType("SlotId", int)
TapId = NewType("TapId", int)
WorkerId = NewType("WorkerId", int)

Ssrc = NewType("Ssrc", int)
Mid = NewType("Mid", str)

RoomName = NewType("RoomName", str)
"""What a token names; unique on the node."""
Identity = NewType("Identity", str)
"""Who a token speaks for; unique in a room."""
RoomSid = NewType("RoomSid", str)
"""One life of a room: a name used again gets a new one."""
ParticipantSid = NewType("ParticipantSid", str)
"""One stay in a room: an identity that comes back gets a new one, one that resumes keeps it."""
TrackSid = NewType("TrackSid", str)
DataTrackSid = NewType("DataTrackSid", str)
SessionId = NewType("SessionId", str)
"""Proof, with the token, of the right to resume. Secret: never logged, never shown to others."""

AgentWorkerId = NewType("AgentWorkerId", str)
"""One registration of an agent worker: who comes back gets a new one."""
DispatchId = NewType("DispatchId", str)
JobId = NewType("JobId", str)

SID_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
"""Base 57: without 0, 1, I, O and l, which people confuse."""
SID_LENGTH = 12
"""57^12 is about 2^70: no check for a collision is needed."""
SESSION_ID_LENGTH = 24
"""About 140 bits: cannot be guessed."""

ROOM_PREFIX = "RM_"
PARTICIPANT_PREFIX = "PA_"
TRACK_PREFIX = "TR_"
DATA_TRACK_PREFIX = "DTR_"
SESSION_PREFIX = "SE_"
AGENT_WORKER_PREFIX = "AW_"
DISPATCH_PREFIX = "AD_"
JOB_PREFIX = "AJ_"


def _random_text(length: int) -> str:
    base = len(SID_ALPHABET)
    # 16 spare bits make the modulo bias too small to measure.
    number = secrets.randbits(6 * length + 16)
    characters: list[str] = []
    for _ in range(length):
        number, index = divmod(number, base)
        characters.append(SID_ALPHABET[index])
    return "".join(characters)


def new_room_sid() -> RoomSid:
    """A fresh `RM_...`."""
    return RoomSid(ROOM_PREFIX + _random_text(SID_LENGTH))


def new_participant_sid() -> ParticipantSid:
    """A fresh `PA_...`."""
    return ParticipantSid(PARTICIPANT_PREFIX + _random_text(SID_LENGTH))


def new_track_sid() -> TrackSid:
    """A fresh `TR_...`."""
    return TrackSid(TRACK_PREFIX + _random_text(SID_LENGTH))


def new_data_track_sid() -> DataTrackSid:
    """A fresh `DTR_...`."""
    return DataTrackSid(DATA_TRACK_PREFIX + _random_text(SID_LENGTH))


def new_session_id() -> SessionId:
    """A fresh `SE_...`, long enough to be a secret."""
    return SessionId(SESSION_PREFIX + _random_text(SESSION_ID_LENGTH))


def new_agent_worker_id() -> AgentWorkerId:
    """A fresh `AW_...`."""
    return AgentWorkerId(AGENT_WORKER_PREFIX + _random_text(SID_LENGTH))


def new_dispatch_id() -> DispatchId:
    """A fresh `AD_...`."""
    return DispatchId(DISPATCH_PREFIX + _random_text(SID_LENGTH))


def new_job_id() -> JobId:
    """A fresh `AJ_...`."""
    return JobId(JOB_PREFIX + _random_text(SID_LENGTH))
