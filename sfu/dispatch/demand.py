"""What rooms ask for: their dispatches, and whom a job could be for. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from sfu.core.ids import DispatchId, Identity, JobId, ParticipantSid
from sfu.dispatch.job import Job, JobType
from sfu.participants.info import AgentRequest, ParticipantInfo, RoomInfo

ENDED_KEPT = 50
"""Jobs of one dispatch that are over and can still be read about; people come and go for hours."""

Subject = ParticipantSid | None
"""Whom a job is for; None: the room."""


@dataclass(slots=True)
class Person:
    """Somebody in a room."""

    info: ParticipantInfo
    since: float
    published_at: float | None = None
    """First track; None: none yet."""


@dataclass(slots=True)
class Dispatch:
    """One request for an agent, and the jobs it led to."""

    id: DispatchId
    request: AgentRequest
    created_at: float
    deleted_at: float | None = None
    jobs: dict[JobId, Job] = field(default_factory=dict)
    made: dict[tuple[JobType, Subject], JobId] = field(default_factory=dict)
    """So that nobody gets a second job while he stays."""
    ended: deque[JobId] = field(default_factory=deque)

    def keep_ended(self, job: Job) -> list[Job]:
        """A job is over; those that are forgotten for it."""
        self.ended.append(job.id)
        return [self.jobs.pop(self.ended.popleft()) for _ in range(len(self.ended) - ENDED_KEPT)]


@dataclass(slots=True)
class RoomDemand:
    """One life of a room."""

    info: RoomInfo
    since: float
    dispatches: dict[DispatchId, Dispatch] = field(default_factory=dict)
    people: dict[Identity, Person] = field(default_factory=dict)
    agents: dict[Identity, Job] = field(default_factory=dict)
    """Jobs that were taken, by the identity of their agent."""

    def missing(self, dispatch: Dispatch, kind: JobType) -> Iterator[tuple[ParticipantInfo | None, float]]:
        """For whom a dispatch should have a job of this type and has had none, and since when."""
        if kind is JobType.ROOM:
            if (kind, None) not in dispatch.made:
                yield None, max(self.since, dispatch.created_at)
            return
        for person in self.people.values():
            since = person.since if kind is JobType.PARTICIPANT else person.published_at
            if since is None or person.info.dependent or (kind, person.info.sid) in dispatch.made:
                continue
            yield person.info, max(since, dispatch.created_at)
