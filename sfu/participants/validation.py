"""Names and texts from clients against the limits. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sfu.core.errors import InvalidRequestError, LimitExceededError
from sfu.core.units import DataSize
from sfu.participants.info import AgentRequest
from sfu.participants.requests import JoinRequest, ParticipantUpdate, TrackRequest
from sfu.settings.models import AgentSettings, LimitSettings
from sfu.tracks.subscription import MAX_HEIGHT_PX, MAX_TEMPORAL, SubscriptionWish

MAX_LAYERS = 16
"""Entries in one track's list; browsers send three."""
PRIORITY_RANGE = range(1, 256)
MAX_FPS = 240


def check_join(request: JoinRequest, limits: LimitSettings) -> None:
    """Raises InvalidRequestError or LimitExceededError."""
    if not request.identity:
        raise InvalidRequestError("identity", "the token names nobody")
    check_name("identity", request.identity, limits)
    check_name("room", request.grant.room, limits)
    check_name("name", request.name, limits)
    check_metadata(request.metadata, limits)
    check_attributes(request.attributes, limits)
    if request.tracks and request.offer_sdp is None and not request.shape.declares:
        raise InvalidRequestError("tracks", "tracks need an offer that sends them")


def check_offer(sdp: str, tracks: tuple[TrackRequest, ...], limits: LimitSettings) -> None:
    """Raises LimitExceededError."""
    # Characters first: counting bytes of a huge text would already cost what the limit forbids.
    if len(sdp) > limits.sdp_bytes or len(sdp.encode()) > limits.sdp_bytes:
        raise LimitExceededError("the length of the session description", DataSize(limits.sdp_bytes))
    if len(tracks) > limits.sections:
        raise LimitExceededError("the number of track entries", limits.sections)
    for track in tracks:
        check_track(track, limits)


def check_track(track: TrackRequest, limits: LimitSettings) -> None:
    """Raises LimitExceededError."""
    check_name("track name", track.name, limits)
    check_name("track's own name", track.cid or "", limits)
    if len(track.layers) > MAX_LAYERS or len(track.hints.layers) > MAX_LAYERS:
        raise LimitExceededError("the number of layers of a track", MAX_LAYERS)


def check_update(update: ParticipantUpdate, limits: LimitSettings) -> None:
    """Raises LimitExceededError. Attributes are checked by whoever merges them."""
    check_name("name", update.name or "", limits)
    check_metadata(update.metadata or "", limits)


def check_agents(requests: Sequence[AgentRequest], agents: AgentSettings, limits: LimitSettings) -> None:
    """What a room is to have from its beginning. Raises LimitExceededError."""
    check_agent_count(len(requests), agents)
    for request in requests:
        check_agent_request(request, limits)


def check_agent_count(count: int, agents: AgentSettings) -> None:
    """Raises LimitExceededError."""
    if count > agents.per_room:
        raise LimitExceededError("the number of agents asked for in a room", agents.per_room)


def check_agent_request(request: AgentRequest, limits: LimitSettings) -> None:
    """Raises LimitExceededError."""
    check_name("agent's name", request.agent_name, limits)
    check_metadata(request.metadata, limits)
    check_attributes(request.attributes, limits)


def check_name(what: str, value: str, limits: LimitSettings) -> None:
    """Raises LimitExceededError."""
    if len(value) > limits.name_characters:
        raise LimitExceededError(f"the length of the {what} in characters", limits.name_characters)


def check_metadata(value: str, limits: LimitSettings) -> None:
    """Raises LimitExceededError."""
    if len(value) > limits.metadata_bytes or len(value.encode()) > limits.metadata_bytes:
        raise LimitExceededError("the length of the metadata", DataSize(limits.metadata_bytes))


def check_attributes(attributes: Mapping[str, str], limits: LimitSettings) -> None:
    """Raises LimitExceededError."""
    size = sum(len(key.encode()) + len(value.encode()) for key, value in attributes.items())
    if size > limits.attributes_bytes:
        raise LimitExceededError("the size of all attributes", DataSize(limits.attributes_bytes))


def check_data(payload: bytes, topic: str, limits: LimitSettings) -> None:
    """Raises LimitExceededError."""
    if len(payload) > limits.data_bytes:
        raise LimitExceededError("the length of a data message", DataSize(limits.data_bytes))
    if len(topic.encode()) > limits.topic_bytes:
        raise LimitExceededError("the length of a topic", DataSize(limits.topic_bytes))


def check_wish(wish: SubscriptionWish) -> None:
    """Raises InvalidRequestError."""
    if not 0 <= wish.max_height_px <= MAX_HEIGHT_PX:
        raise InvalidRequestError("max_height_px", f"must be 0 to {MAX_HEIGHT_PX}")
    if not 0 <= wish.max_temporal <= MAX_TEMPORAL:
        raise InvalidRequestError("max_temporal", f"must be 0 to {MAX_TEMPORAL}")
    if not 0 <= wish.max_fps <= MAX_FPS:
        raise InvalidRequestError("max_fps", f"must be 0 to {MAX_FPS}")
    if wish.priority is not None and wish.priority not in PRIORITY_RANGE:
        raise InvalidRequestError("priority", "must be 1 to 255")
