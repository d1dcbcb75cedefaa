"""Bodies of the server API, as OpenAPI shows them. People and tracks look as in the native dialect."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from sfu.core.codecs import TrackSource
from sfu.participants.info import AgentRequest
from signaling.native.values import (
    MAX_DESTINATIONS,
    Attributes,
    Identity,
    Metadata,
    Name,
    ParticipantInfo,
    Payload,
    RoomInfo,
    Topic,
    TrackInfo,
)

Seconds = Annotated[float, Field(ge=0, le=7 * 24 * 3600, allow_inf_nan=False)]


class Body(BaseModel):
    """What an administrator sends. A name that is no field is refused: it would be a wish unheard."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CreateDispatch(Body):
    """An agent to ask for."""

    agent_name: Name = ""
    """Of its workers; empty: those that serve every room."""
    metadata: Metadata = ""
    attributes: Attributes = Field(default_factory=dict)
    restart: bool = True
    """A job that fails is given to a worker again."""

    def request(self) -> AgentRequest:
        """In the domain's words."""
        return AgentRequest(self.agent_name, self.metadata, self.attributes, self.restart)


class CreateRoom(Body):
    """A room to make; what is left out is as the server's settings say."""

    name: Identity
    metadata: Metadata = ""
    empty_timeout_s: Seconds | None = None
    departure_timeout_s: Seconds | None = None
    max_participants: Annotated[int, Field(ge=0)] | None = None
    agents: tuple[CreateDispatch, ...] = ()
    """Asked for from its beginning; none: whoever serves every room."""


class UpdateRoom(Body):
    """New metadata of a room."""

    metadata: Metadata


class UpdatePermissions(Body):
    """Permissions to change; what is left out stays."""

    can_subscribe: bool | None = None
    can_publish: bool | None = None
    can_publish_data: bool | None = None
    can_publish_sources: tuple[TrackSource, ...] | None = None
    """Only these; an empty list: every source."""
    can_update_metadata: bool | None = None
    hidden: bool | None = None


class UpdateParticipant(Body):
    """Changes of a participant; what is left out stays, an attribute set to "" is removed."""

    name: Name | None = None
    metadata: Metadata | None = None
    attributes: Attributes | None = None
    permissions: UpdatePermissions | None = None


class UpdateTrack(Body):
    """Mute or unmute somebody's track."""

    muted: bool


class UpdateSubscriptions(Body):
    """Subscribe a participant to tracks, or take them away."""

    tracks: Annotated[tuple[str, ...], Field(max_length=1000)]
    subscribe: bool


class SendData(Body):
    """A data message from the server."""

    payload: Payload
    """Base64 (RFC 4648 section 4)."""
    topic: Topic = ""
    reliable: bool = True
    destinations: Annotated[tuple[Identity, ...], Field(max_length=MAX_DESTINATIONS)] = ()
    """Identities; empty: everyone in the room."""


class RoomDetail(RoomInfo):
    """A room as an administrator sees it."""

    empty_timeout_s: float
    departure_timeout_s: float
    num_participants: int
    """Hidden ones are not counted."""
    num_publishers: int


class RoomList(BaseModel):
    """Rooms that are open."""

    rooms: list[RoomDetail]


class ParticipantList(BaseModel):
    """Everyone in a room, hidden ones included."""

    participants: list[ParticipantInfo]


class Event(BaseModel):
    """Something that happened on this node, with everything as it was then."""

    seq: int
    """Counts up by one; ask for what came after it."""
    event: str
    """As LiveKit's webhooks name it: `room_started`, `participant_joined`, `track_published` and so on."""
    at: float
    """Seconds since 1970."""
    room: RoomDetail
    participant: ParticipantInfo | None = None
    track: TrackInfo | None = None
    reason: str | None = None
    """Why the room ended or the participant left; leave codes of the native protocol."""
    details: dict[str, Any] | None = None
    """Of an `agent_job`: the job, as the routes of agents show it, with its state before. Of an `agent_turn`:
    kind (`answer`, `interruption`, `first_audio`), agent, person and seconds."""


class EventList(BaseModel):
    """Oldest first. If the first number is not the one after `after`, some were forgotten."""

    events: list[Event]


class Problem(BaseModel):
    """Every error of this API."""

    code: str
    """For programs; stays."""
    message: str
    """For people."""


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem} for status in (400, 401, 403, 404, 409, 413, 503)
}
