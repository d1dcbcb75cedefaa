"""LiveKit's AgentDispatchService: agents asked for and sent away by the server API."""

from collections.abc import Mapping

from livekit.protocol import agent_dispatch

from sfu.core.errors import RoomNotFoundError
from sfu.core.ids import DispatchId
from sfu.service import Service
from signaling.auth import Token
from signaling.livekit import agent_mapping, requests
from signaling.livekit.twirp import Method, administered

NAME = "livekit.AgentDispatchService"


class AgentDispatchService:
    """One method for each call. Each needs `roomAdmin` for the room."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def methods(self) -> Mapping[tuple[str, str], Method]:
        """All calls, by service and name."""
        return {
            (NAME, name): Method(request, handle)
            for name, request, handle in (
                ("CreateDispatch", agent_dispatch.CreateAgentDispatchRequest, self.create_dispatch),
                ("ListDispatch", agent_dispatch.ListAgentDispatchRequest, self.list_dispatch),
                ("DeleteDispatch", agent_dispatch.DeleteAgentDispatchRequest, self.delete_dispatch),
            )
        }

    async def create_dispatch(
        self, request: agent_dispatch.CreateAgentDispatchRequest, token: Token
    ) -> agent_dispatch.AgentDispatch:
        """Ask for an agent. The room is made if it is not there."""
        name = administered(token, request.room)
        wanted = requests.agent_request(
            agent_dispatch.RoomAgentDispatch(
                agent_name=request.agent_name,
                metadata=request.metadata,
                attributes=dict(request.attributes),
                restart_policy=request.restart_policy,
            )
        )
        self._service.create_room(name)
        return agent_mapping.dispatch(self._service.agents.create(name, wanted))

    async def list_dispatch(
        self, request: agent_dispatch.ListAgentDispatchRequest, token: Token
    ) -> agent_dispatch.ListAgentDispatchResponse:
        """What a room asks for, or one of it."""
        name = administered(token, request.room)
        try:
            found = self._service.agents.dispatches(name)
        except RoomNotFoundError:
            found = []
        return agent_dispatch.ListAgentDispatchResponse(
            agent_dispatches=[
                agent_mapping.dispatch(each)
                for each in found
                if not request.dispatch_id or each.id == request.dispatch_id
            ]
        )

    async def delete_dispatch(
        self, request: agent_dispatch.DeleteAgentDispatchRequest, token: Token
    ) -> agent_dispatch.AgentDispatch:
        """Take it back; its jobs end."""
        name = administered(token, request.room)
        return agent_mapping.dispatch(self._service.agents.delete(name, DispatchId(request.dispatch_id)))
