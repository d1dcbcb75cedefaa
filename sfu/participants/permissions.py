"""What a token allows, with LiveKit's meaning of every claim. Pure.

For the three `can*` permissions an absent claim means the default, which is *allowed*; only an explicit
`false` forbids. For everything else absent and `false` are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from sfu.core.codecs import TrackSource
from sfu.core.errors import InvalidRequestError, PermissionDeniedError
from sfu.core.ids import RoomName

_NO_ROOM = RoomName("")


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a participant may do in its room. May change while it is there."""

    can_publish: bool = True
    can_subscribe: bool = True
    can_publish_data: bool = True
    can_publish_sources: frozenset[TrackSource] | None = None
    """None: every source. A set, even an empty one: only those."""
    can_update_metadata: bool = False
    can_subscribe_metrics: bool = False
    hidden: bool = False
    """Others do not see it, and it publishes nothing that they could see."""
    recorder: bool = False
    agent: bool = False

    def may_publish(self, source: TrackSource) -> bool:
        """Whether a track of this source may be published, or may stay so."""
        if not self.can_publish or self.hidden:
            return False
        return self.can_publish_sources is None or source in self.can_publish_sources

    def require_publish(self, source: TrackSource) -> None:
        """Raises PermissionDeniedError, naming the claim that is missing."""
        if self.may_publish(source):
            return
        if not self.can_publish:
            raise PermissionDeniedError("publish", "canPublish")
        if self.hidden:
            raise PermissionDeniedError("publish while hidden", "hidden: false")
        raise PermissionDeniedError(f"publish {source.value}", f"canPublishSources with {source.value}")

    def require_subscribe(self) -> None:
        """Raises PermissionDeniedError unless tracks may be received."""
        if not self.can_subscribe:
            raise PermissionDeniedError("subscribe", "canSubscribe")

    def require_publish_data(self) -> None:
        """Raises PermissionDeniedError unless data may be sent to others."""
        if not self.can_publish_data:
            raise PermissionDeniedError("send data", "canPublishData")

    def require_update_own_metadata(self) -> None:
        """Raises PermissionDeniedError unless it may rename itself."""
        if not self.can_update_metadata:
            raise PermissionDeniedError("change its own name, metadata or attributes", "canUpdateOwnMetadata")

    def changed(self, **changes: object) -> Permissions:
        """A copy with the given fields replaced. TypeError for a name that is no field."""
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Grant:
    """The `video` claim of a token, as it was written: None is an absent `can*` claim."""

    room: RoomName = _NO_ROOM
    """The room the grant is bound to; empty: none."""
    room_join: bool = False
    room_create: bool = False
    room_list: bool = False
    room_admin: bool = False
    room_record: bool = False
    destination_room: RoomName = _NO_ROOM
    can_publish: bool | None = None
    can_subscribe: bool | None = None
    can_publish_data: bool | None = None
    can_publish_sources: frozenset[TrackSource] | None = None
    can_update_own_metadata: bool = False
    can_subscribe_metrics: bool = False
    ingress_admin: bool = False
    hidden: bool = False
    recorder: bool = False
    agent: bool = False

    def permissions(self) -> Permissions:
        """What a participant with this grant may do on entering."""
        can_publish = self.can_publish is not False
        can_publish_data = can_publish if self.can_publish_data is None else self.can_publish_data
        return Permissions(
            can_publish=can_publish,
            can_subscribe=self.can_subscribe is not False,
            can_publish_data=can_publish_data,
            can_publish_sources=self.can_publish_sources,
            can_update_metadata=self.can_update_own_metadata,
            can_subscribe_metrics=self.can_subscribe_metrics,
            hidden=self.hidden,
            recorder=self.recorder,
            agent=self.agent,
        )

    def require_join(self) -> RoomName:
        """The room this grant lets one enter.

        Raises:
            PermissionDeniedError: No `roomJoin`.
            InvalidRequestError: It names no room.
        """
        if not self.room_join:
            raise PermissionDeniedError("join a room", "roomJoin")
        if not self.room:
            raise InvalidRequestError("room", "the token names no room")
        return self.room

    def require_room_admin(self, room: RoomName) -> None:
        """Raises PermissionDeniedError unless this grant administers that very room."""
        if not self.room_admin or self.room != room:
            raise PermissionDeniedError(f"administer room {room}", f"roomAdmin for room {room}")

    def require_destination(self, room: RoomName) -> None:
        """Raises PermissionDeniedError unless people may be sent to that very room."""
        if not room or self.destination_room != room:
            raise PermissionDeniedError(f"send to room {room}", f"destinationRoom {room}")

    def require_room_create(self) -> None:
        """Raises PermissionDeniedError unless rooms may be created and deleted."""
        if not self.room_create:
            raise PermissionDeniedError("create or delete rooms", "roomCreate")

    def require_room_list(self) -> None:
        """Raises PermissionDeniedError unless rooms may be listed."""
        if not self.room_list:
            raise PermissionDeniedError("list rooms", "roomList")

    @classmethod
    def from_claims(cls, video: Mapping[str, object]) -> Grant:
        """Read the `video` claim. Unknown names are ignored: newer SDKs add more.

        Raises:
            InvalidRequestError: A known name has a value of the wrong type.
        """
        texts = {field: _text(video, claim) for field, claim in _TEXT_CLAIMS.items()}
        flags = {field: _choice(video, claim) is True for field, claim in _FLAG_CLAIMS.items()}
        choices = {field: _choice(video, claim) for field, claim in _CHOICE_CLAIMS.items()}
        sources = _sources(video, _SOURCES_CLAIM)
        return cls(can_publish_sources=sources, **texts, **flags, **choices)  # type: ignore[arg-type]

    def to_claims(self) -> dict[str, object]:
        """The `video` claim that `from_claims` reads back. Defaults are left out."""
        claims: dict[str, object] = {
            claim: value
            for field, claim in (_TEXT_CLAIMS | _FLAG_CLAIMS).items()
            if (value := getattr(self, field))
        }
        claims |= {
            claim: value
            for field, claim in _CHOICE_CLAIMS.items()
            if (value := getattr(self, field)) is not None
        }
        if self.can_publish_sources is not None:
            names = sorted(source.value for source in self.can_publish_sources)
            # An empty list would mean every source.
            claims[_SOURCES_CLAIM] = names or [TrackSource.UNKNOWN.value]
        return claims


_TEXT_CLAIMS = {"room": "room", "destination_room": "destinationRoom"}
_FLAG_CLAIMS = {
    "room_join": "roomJoin",
    "room_create": "roomCreate",
    "room_list": "roomList",
    "room_admin": "roomAdmin",
    "room_record": "roomRecord",
    "can_update_own_metadata": "canUpdateOwnMetadata",
    "can_subscribe_metrics": "canSubscribeMetrics",
    "ingress_admin": "ingressAdmin",
    "hidden": "hidden",
    "recorder": "recorder",
    "agent": "agent",
}
_CHOICE_CLAIMS = {
    "can_publish": "canPublish",
    "can_subscribe": "canSubscribe",
    "can_publish_data": "canPublishData",
}
"""Absent differs from false in these."""
_SOURCES_CLAIM = "canPublishSources"
GRANT_CLAIMS = frozenset(
    {*_TEXT_CLAIMS.values(), *_FLAG_CLAIMS.values(), *_CHOICE_CLAIMS.values(), _SOURCES_CLAIM}
)
"""Names in the `video` claim that `Grant` reads and writes."""


def sources_from_names(names: Iterable[str]) -> frozenset[TrackSource] | None:
    """LiveKit's list of sources: empty means all. Unknown names allow nothing, and never everything."""
    listed = list(names)
    if not listed:
        return None
    known = {source.value: source for source in TrackSource if source is not TrackSource.UNKNOWN}
    return frozenset(known[name.lower()] for name in listed if name.lower() in known)


def _choice(claims: Mapping[str, object], name: str) -> bool | None:
    value = claims.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequestError(f"video.{name}", "must be true or false")
    return value


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidRequestError(f"video.{name}", "must be a string")
    return value


def _sources(claims: Mapping[str, object], name: str) -> frozenset[TrackSource] | None:
    value = claims.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequestError(f"video.{name}", "must be a list of strings")
    return sources_from_names(value)
