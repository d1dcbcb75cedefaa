"""The server API, `/api/v1`: rooms and who is in them, for programs that hold a token with an admin grant.

`roomCreate` makes and ends rooms, `roomList` lists them, `roomAdmin` administers the room a token names.
"""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from pydantic import AfterValidator

from sfu.core.clock import Clock
from sfu.core.ids import Identity, RoomName, TrackSid
from sfu.participants.info import RoomInfo
from sfu.participants.permissions import Grant, Permissions
from sfu.participants.requests import ParticipantUpdate, RoomOptions
from sfu.service import Service
from signaling.auth import Authenticator, find_token
from signaling.http import models
from signaling.http.bodies import bounded_route
from signaling.native import encode, values

PREFIX = "/api/v1"
ONE = "/rooms/{room}/participants/{identity}"


@dataclass(frozen=True, slots=True)
class Backend:
    """What the routes stand on."""

    service: Service
    authenticator: Authenticator
    clock: Clock


def install(app: FastAPI, backend: Backend) -> None:
    """Add all routes of the server API to an application."""
    app.state.backend = backend
    app.include_router(router)


def _service(request: Request) -> Service:
    backend: Backend = request.app.state.backend
    return backend.service


def _grant(request: Request) -> Grant:
    # Only from the header: a token in a URL ends up in logs of proxies.
    backend: Backend = request.app.state.backend
    return backend.authenticator.verify(find_token(request.headers, {}), backend.clock.wall()).grant


router = APIRouter(prefix=PREFIX, responses=models.PROBLEMS, route_class=bounded_route(_grant))

AService = Annotated[Service, Depends(_service)]
AGrant = Annotated[Grant, Depends(_grant)]
# Paths arrive as they were sent (guards.EncodedNames): any name can be said in them.
RoomParam = Annotated[RoomName, Path(alias="room"), AfterValidator(unquote)]
IdentityParam = Annotated[Identity, Path(alias="identity"), AfterValidator(unquote)]
TrackParam = Annotated[TrackSid, Path(alias="track"), AfterValidator(unquote)]


def _administered(room: RoomParam, grant: AGrant) -> RoomName:
    grant.require_room_admin(room)
    return room


AdministeredRoom = Annotated[RoomName, Depends(_administered)]


@router.get("/rooms", tags=["rooms"], summary="List rooms")
async def list_rooms(
    service: AService, grant: AGrant, names: Annotated[list[str] | None, Query()] = None
) -> models.RoomList:
    """All rooms, or those of the given names that exist. Needs `roomList`."""
    grant.require_room_list()
    found = service.list_rooms(RoomName(name) for name in names or ())
    return models.RoomList(rooms=[_room(room) for room in found])


@router.post("/rooms", tags=["rooms"], summary="Create a room")
async def create_room(service: AService, grant: AGrant, body: models.CreateRoom) -> models.RoomDetail:
    """A room that exists is returned unchanged. Needs `roomCreate`."""
    grant.require_room_create()
    options = RoomOptions(
        metadata=body.metadata,
        empty_timeout_s=body.empty_timeout_s,
        departure_timeout_s=body.departure_timeout_s,
        max_participants=body.max_participants,
        agents=tuple(agent.request() for agent in body.agents),
    )
    return _room(service.create_room(RoomName(body.name), options))


@router.get("/rooms/{room}", tags=["rooms"], summary="Get a room")
async def get_room(service: AService, grant: AGrant, room: RoomParam) -> models.RoomDetail:
    """Needs `roomList`, or `roomAdmin` for it."""
    if not grant.room_list:
        grant.require_room_admin(room)
    return _room(service.get_room(room))


@router.patch("/rooms/{room}", tags=["rooms"], summary="Change a room's metadata")
async def update_room(
    service: AService, room: AdministeredRoom, body: models.UpdateRoom
) -> models.RoomDetail:
    """Everyone in it is told. Needs `roomAdmin`."""
    return _room(service.update_room_metadata(room, body.metadata))


@router.delete("/rooms/{room}", tags=["rooms"], summary="End a room", status_code=204)
async def delete_room(service: AService, grant: AGrant, room: RoomParam) -> None:
    """Everyone in it is told and disconnected. Needs `roomCreate`."""
    grant.require_room_create()
    service.delete_room(room)


@router.post("/rooms/{room}/data", tags=["rooms"], summary="Send a data message", status_code=204)
async def send_data(service: AService, room: AdministeredRoom, body: models.SendData) -> None:
    """From the server to everyone, or to the given identities. Needs `roomAdmin`."""
    service.send_data(
        room,
        body.payload,
        reliable=body.reliable,
        topic=body.topic,
        destinations=[Identity(identity) for identity in body.destinations],
    )


@router.get("/rooms/{room}/participants", tags=["participants"], summary="List participants")
async def list_participants(service: AService, room: AdministeredRoom) -> models.ParticipantList:
    """Everyone, hidden ones included, with their tracks. Needs `roomAdmin`."""
    found = service.list_participants(room)
    return models.ParticipantList(participants=[encode.participant_info(each) for each in found])


@router.get(ONE, tags=["participants"], summary="Get a participant")
async def get_participant(
    service: AService, room: AdministeredRoom, identity: IdentityParam
) -> values.ParticipantInfo:
    """Needs `roomAdmin`."""
    return encode.participant_info(service.get_participant(room, identity))


@router.patch(ONE, tags=["participants"], summary="Change a participant")
async def update_participant(
    service: AService, room: AdministeredRoom, identity: IdentityParam, body: models.UpdateParticipant
) -> values.ParticipantInfo:
    """Name, metadata, attributes, permissions. Tracks no longer allowed end at once. Needs `roomAdmin`."""
    permissions = None
    if body.permissions is not None:
        permissions = _changed(service.get_participant(room, identity).permissions, body.permissions)
    update = ParticipantUpdate(name=body.name, metadata=body.metadata, attributes=body.attributes)
    return encode.participant_info(service.update_participant(room, identity, update, permissions))


@router.delete(ONE, tags=["participants"], summary="Remove a participant", status_code=204)
async def remove_participant(service: AService, room: AdministeredRoom, identity: IdentityParam) -> None:
    """It is told not to come back by itself; its token still works. Needs `roomAdmin`."""
    service.remove_participant(room, identity)


@router.get(ONE + "/stats", tags=["participants"], summary="Get a participant's figures")
async def participant_stats(
    service: AService, room: AdministeredRoom, identity: IdentityParam
) -> dict[str, Any]:
    """Of its transport, its tracks and its subscriptions, by layer. Needs `roomAdmin`."""
    return dict(await service.participant_stats(room, identity))


@router.post(
    ONE + "/subscriptions", tags=["participants"], summary="Change what it receives", status_code=204
)
async def update_subscriptions(
    service: AService, room: AdministeredRoom, identity: IdentityParam, body: models.UpdateSubscriptions
) -> None:
    """Subscribe it to tracks, or take them away. Needs `roomAdmin`."""
    tracks = [TrackSid(track) for track in body.tracks]
    service.update_subscriptions(room, identity, tracks, body.subscribe)


@router.patch(ONE + "/tracks/{track}", tags=["tracks"], summary="Mute or unmute a track")
async def update_track(
    service: AService,
    room: AdministeredRoom,
    identity: IdentityParam,
    track: TrackParam,
    body: models.UpdateTrack,
) -> values.TrackInfo:
    """Its owner is told, everyone sees it. Needs `roomAdmin`."""
    return encode.track_info(service.mute_track(room, identity, track, body.muted))


@router.get("/events", tags=["events"], summary="Read what happened")
async def list_events(
    service: AService,
    grant: AGrant,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> models.EventList:
    """Rooms, people, tracks and agents' jobs that came and went, for whoever was away. Needs `roomList`."""
    grant.require_room_list()
    return models.EventList(
        events=[
            models.Event(
                seq=seq,
                event=entry.kind.value,
                at=entry.at,
                room=_room(entry.room),
                participant=None if entry.participant is None else encode.participant_info(entry.participant),
                track=None if entry.track is None else encode.track_info(entry.track),
                reason=None if entry.reason is None else entry.reason.value,
                details=None if entry.details is None else dict(entry.details),
            )
            for seq, entry in service.journal.after(after, limit)
        ]
    )


def _changed(now: Permissions, change: models.UpdatePermissions) -> Permissions:
    fields: dict[str, object] = change.model_dump(exclude_none=True, exclude={"can_publish_sources"})
    if change.can_publish_sources is not None:
        fields["can_publish_sources"] = frozenset(change.can_publish_sources) or None
    return now.changed(**fields)


def _room(room: RoomInfo) -> models.RoomDetail:
    return models.RoomDetail(
        **encode.room_info(room).model_dump(),
        empty_timeout_s=room.empty_timeout_s,
        departure_timeout_s=room.departure_timeout_s,
        num_participants=room.num_participants,
        num_publishers=room.num_publishers,
    )
