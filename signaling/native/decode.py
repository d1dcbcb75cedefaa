"""Messages of clients to the domain's words, and what to tell a client whose message is none. Pure."""

from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from sfu.core.codecs import Encryption, TrackSource
from sfu.core.ids import Identity, SessionId, TrackSid
from sfu.dataplane.commands import DataDialect
from sfu.participants.audience import Audience
from sfu.participants.info import ClientInfo
from sfu.participants.permissions import Grant
from sfu.participants.requests import (
    NATIVE_SHAPE,
    JoinRequest,
    ParticipantUpdate,
    ResumeRequest,
    TrackRequest,
)
from sfu.tracks.layers import LayerInfo
from sfu.tracks.subscription import SubscriptionWish
from signaling.auth import Token
from signaling.json_bounds import MAX_VALUES
from signaling.native import messages
from signaling.native.values import Message

MAX_EXPLANATION_CHARS = 300  # a field name of the client's own may be as long as its message


CROWDED = "bad_message", f"more than {MAX_VALUES} values in one message"
"""Error code and text for a frame that is not even parsed."""


class _Numbered(Message):
    """What can still be said about a message that is wrong elsewhere."""

    request_id: messages.RequestId | None = None


_NUMBERED = TypeAdapter(_Numbered)


def explain(error: ValidationError) -> tuple[str, str]:
    """Error code and text for a frame that is no message. Names fields, and holds nothing else of it."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    if first["type"] == "union_tag_invalid":
        return "unknown_type", "no message of this version has that type"
    # The first part of the place is the message's type, when it was found.
    place = ".".join(str(part) for part in first["loc"])
    text = f"{place}: {first['msg']}" if place else first["msg"]
    return "bad_message", text[:MAX_EXPLANATION_CHARS]


def find_request_id(frame: str | bytes) -> int | None:
    """The `request_id` of a frame that is no message, if it has a good one."""
    try:
        return _NUMBERED.validate_json(frame).request_id
    except ValidationError:
        return None


def join_request(
    message: messages.Join, token: Token, address: str, started_at: float, authorized_at: float
) -> JoinRequest:
    """What a join asks of the domain. Times are of the domain's clock."""
    return JoinRequest(
        grant=token.grant,
        identity=token.identity,
        name=token.name,
        metadata=token.metadata,
        attributes=token.attributes,
        kind=token.kind,
        offer_sdp=message.offer,
        tracks=track_requests(message.tracks),
        local_ring=message.local_ring,
        auto_subscribe=message.auto_subscribe,
        client=ClientInfo(sdk=message.client.sdk, version=message.client.version, address=address),
        shape=replace(NATIVE_SHAPE, data=DataDialect(message.data)),
        room_options=token.room_options,
        started_at=started_at,
        authorized_at=authorized_at,
    )


def resume_request(message: messages.Resume, token: Token) -> ResumeRequest:
    """What a resume asks of the domain. Raises as `Grant.require_join`."""
    grant: Grant = token.grant
    return ResumeRequest(
        session_id=SessionId(message.session_id),
        room=grant.require_join(),
        identity=token.identity,
        last_seq=message.last_seq,
        offer_sdp=message.offer,
    )


def track_requests(entries: tuple[messages.TrackRequest, ...]) -> tuple[TrackRequest, ...]:
    """What a client says about the sections it sends in."""
    return tuple(
        TrackRequest(
            source=TrackSource(entry.source),
            mid=entry.mid,
            cid=entry.cid or None,
            name=entry.name,
            muted=entry.muted,
            layers=tuple(
                LayerInfo(
                    rid=layer.rid or None,
                    width_px=layer.width,
                    height_px=layer.height,
                    bitrate_bps=layer.max_bitrate_bps,
                )
                for layer in entry.layers
            ),
            width_px=entry.width,
            height_px=entry.height,
            encryption=Encryption(entry.encryption),
            stereo=entry.stereo,
        )
        for entry in entries
    )


def wish(
    message: messages.Subscribe | messages.UpdateSubscription, now: SubscriptionWish
) -> SubscriptionWish:
    """The wish after this message; what it does not name stays as it is now."""
    if message.max_height_px is not None:
        now = replace(now, max_height_px=message.max_height_px)
    if message.paused is not None:
        now = replace(now, paused=message.paused)
    if message.priority is not None:
        now = replace(now, priority=message.priority)
    if message.max_fps is not None:
        now = replace(now, max_fps=message.max_fps)
    return now


def participant_update(message: messages.UpdateMe) -> ParticipantUpdate:
    """What a client changes of itself."""
    return ParticipantUpdate(name=message.name, metadata=message.metadata, attributes=message.attributes)


def audience(message: messages.SetAudience) -> Audience:
    """Who may have the client's tracks."""
    return Audience(
        everyone=message.everyone,
        identities={
            Identity(entry.identity): (
                None if entry.tracks is None else frozenset(TrackSid(track) for track in entry.tracks)
            )
            for entry in message.participants
        },
    )
