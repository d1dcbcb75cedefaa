"""LiveKit's RoomService: rooms and who is in them, as calls of our one service."""

from collections.abc import Mapping

from livekit.protocol import models, room

from sfu.core.ids import Identity, RoomName, TrackSid
from sfu.participants.info import RoomInfo
from sfu.participants.requests import RoomOptions
from sfu.service import Service
from sfu.settings.models import Settings
from signaling.auth import Token
from signaling.livekit import mapping, requests
from signaling.livekit.context import LiveKitContext
from signaling.livekit.rpc import perform_rpc
from signaling.livekit.twirp import Method, TwirpError, administered

NAME = "livekit.RoomService"
NONCE_BYTES = (0, 16)


class RoomService:
    """One method for each call. Raises what the domain raises, and TwirpError."""

    def __init__(self, context: LiveKitContext, settings: Settings) -> None:
        self._context = context
        self._remote_unmute = settings.room.remote_unmute

    @property
    def _service(self) -> Service:
        return self._context.service

    def methods(self) -> Mapping[tuple[str, str], Method]:
        """All calls, by service and name."""
        return {
            (NAME, name): Method(request, handle)
            for name, request, handle in (
                ("CreateRoom", room.CreateRoomRequest, self.create_room),
                ("ListRooms", room.ListRoomsRequest, self.list_rooms),
                ("DeleteRoom", room.DeleteRoomRequest, self.delete_room),
                ("ListParticipants", room.ListParticipantsRequest, self.list_participants),
                ("GetParticipant", room.RoomParticipantIdentity, self.get_participant),
                ("RemoveParticipant", room.RoomParticipantIdentity, self.remove_participant),
                ("MutePublishedTrack", room.MuteRoomTrackRequest, self.mute_published_track),
                ("UpdateParticipant", room.UpdateParticipantRequest, self.update_participant),
                ("UpdateSubscriptions", room.UpdateSubscriptionsRequest, self.update_subscriptions),
                ("SendData", room.SendDataRequest, self.send_data),
                ("UpdateRoomMetadata", room.UpdateRoomMetadataRequest, self.update_room_metadata),
                ("ForwardParticipant", room.ForwardParticipantRequest, self.forward_participant),
                ("MoveParticipant", room.MoveParticipantRequest, self.move_participant),
                ("PerformRpc", room.PerformRpcRequest, self.perform_rpc),
            )
        }

    # Rooms

    async def create_room(self, request: room.CreateRoomRequest, token: Token) -> models.Room:
        """Make a room, or change the one there is."""
        token.grant.require_room_create()
        options = RoomOptions(
            metadata=request.metadata,
            empty_timeout_s=request.empty_timeout or None,
            departure_timeout_s=request.departure_timeout or None,
            max_participants=request.max_participants or None,
            sync_streams=request.sync_streams,
            agents=tuple(map(requests.agent_request, request.agents)),
            min_playout_delay_ms=request.min_playout_delay,
            max_playout_delay_ms=request.max_playout_delay,
            preset=request.room_preset,
        )
        return self._room(self._service.configure_room(RoomName(request.name), options))

    async def list_rooms(self, request: room.ListRoomsRequest, token: Token) -> room.ListRoomsResponse:
        """All rooms, or those named."""
        token.grant.require_room_list()
        found = self._service.list_rooms(RoomName(name) for name in request.names)
        return room.ListRoomsResponse(rooms=[self._room(info) for info in found])

    async def delete_room(self, request: room.DeleteRoomRequest, token: Token) -> room.DeleteRoomResponse:
        """End a room with everybody in it."""
        token.grant.require_room_create()
        self._service.delete_room(RoomName(request.room))
        return room.DeleteRoomResponse()

    async def update_room_metadata(
        self, request: room.UpdateRoomMetadataRequest, token: Token
    ) -> models.Room:
        """Describe it anew."""
        name = administered(token, request.room)
        return self._room(self._service.update_room_metadata(name, request.metadata))

    # Participants

    async def list_participants(
        self, request: room.ListParticipantsRequest, token: Token
    ) -> room.ListParticipantsResponse:
        """Everyone in it."""
        found = self._service.list_participants(administered(token, request.room))
        return room.ListParticipantsResponse(participants=[mapping.participant_info(info) for info in found])

    async def get_participant(
        self, request: room.RoomParticipantIdentity, token: Token
    ) -> models.ParticipantInfo:
        """One of them."""
        name = administered(token, request.room)
        return mapping.participant_info(self._service.get_participant(name, Identity(request.identity)))

    async def remove_participant(
        self, request: room.RoomParticipantIdentity, token: Token
    ) -> room.RemoveParticipantResponse:
        """End its session."""
        name = administered(token, request.room)
        self._service.remove_participant(name, Identity(request.identity))
        return room.RemoveParticipantResponse()

    async def mute_published_track(
        self, request: room.MuteRoomTrackRequest, token: Token
    ) -> room.MuteRoomTrackResponse:
        """Mute somebody's track; to unmute it is its owner's, unless the settings say otherwise."""
        name = administered(token, request.room)
        if not request.muted and not self._remote_unmute:
            raise TwirpError("failed_precondition", "remote unmute not enabled")
        track = self._service.mute_track(
            name, Identity(request.identity), TrackSid(request.track_sid), request.muted
        )
        return room.MuteRoomTrackResponse(track=mapping.track_info(track))

    async def update_participant(
        self, request: room.UpdateParticipantRequest, token: Token
    ) -> models.ParticipantInfo:
        """Change what it is called and what it may do."""
        name, identity = administered(token, request.room), Identity(request.identity)
        change = requests.participant_update(request.name, request.metadata, dict(request.attributes))
        permissions = None
        if request.HasField("permission"):
            before = self._service.get_participant(name, identity).permissions
            permissions = requests.permissions(request.permission, before)
        return mapping.participant_info(self._service.update_participant(name, identity, change, permissions))

    async def update_subscriptions(
        self, request: room.UpdateSubscriptionsRequest, token: Token
    ) -> room.UpdateSubscriptionsResponse:
        """Subscribe it to tracks, or take them away."""
        name = administered(token, request.room)
        tracks = requests.subscribed_tracks(request)
        self._service.update_subscriptions(name, Identity(request.identity), tracks, request.subscribe)
        return room.UpdateSubscriptionsResponse()

    async def forward_participant(
        self, request: room.ForwardParticipantRequest, token: Token
    ) -> room.ForwardParticipantResponse:
        """Show it in another room too."""
        name, destination = _between(token, request.room, request.destination_room)
        self._service.forward_participant(name, Identity(request.identity), destination)
        return room.ForwardParticipantResponse()

    async def move_participant(
        self, request: room.MoveParticipantRequest, token: Token
    ) -> room.MoveParticipantResponse:
        """Take it to another room."""
        name, destination = _between(token, request.room, request.destination_room)
        self._service.move_participant(name, Identity(request.identity), destination)
        return room.MoveParticipantResponse()

    # Data

    async def send_data(self, request: room.SendDataRequest, token: Token) -> room.SendDataResponse:
        """A message from the server; a nonce used again sends nothing."""
        name = administered(token, request.room)
        if len(request.nonce) not in NONCE_BYTES:
            raise TwirpError("invalid_argument", f"nonce should be {NONCE_BYTES[1]} bytes or not present")
        destinations = [Identity(identity) for identity in request.destination_identities]
        if request.destination_sids:
            sids = set(request.destination_sids)
            people = self._service.list_participants(name)
            destinations += [info.identity for info in people if info.sid in sids]
            if not destinations:
                # Whoever was meant has gone; an empty list would mean everyone.
                return room.SendDataResponse()
        self._service.send_data(
            name,
            request.data,
            reliable=request.kind == models.DataPacket.Kind.RELIABLE,
            topic=request.topic if request.HasField("topic") else "",
            destinations=destinations,
            nonce=request.nonce,
        )
        return room.SendDataResponse()

    async def perform_rpc(self, request: room.PerformRpcRequest, token: Token) -> room.PerformRpcResponse:
        """Call a method of a participant."""
        name = administered(token, request.room)
        payload = await perform_rpc(self._service, name, request)
        return room.PerformRpcResponse(payload=payload)

    def _room(self, info: RoomInfo) -> models.Room:
        return mapping.room(info, self._context.codecs)


def _between(token: Token, name: str, destination: str) -> tuple[RoomName, RoomName]:
    """From where to where; the token must name both."""
    token.grant.require_destination(RoomName(destination))
    return administered(token, name), RoomName(destination)
