"""The error tree. Each error says who is wrong; `code` is wire format for programs, the text is for people.

`PeerError`: the client asked for what it may not have or what makes no sense; nothing changed.
`ServerError`: we cannot do it now; the same request may work later or elsewhere.
"""

from __future__ import annotations

from typing import ClassVar

from sfu.core.ids import DispatchId, Identity, JobId, RoomName, TrackSid
from sfu.core.units import DataSize


class AirsideError(Exception):
    """Base of everything we raise on purpose."""

    code: ClassVar[str] = "internal"
    """Snake case; part of the protocol once released."""

    @property
    def text(self) -> str:
        """The sentence for people."""
        return str(self)


class PeerError(AirsideError):
    """The peer is wrong. Safe to show to it as it is."""

    code = "invalid_request"


class ServerError(AirsideError):
    """We are wrong, or too busy. Shown to the peer by code and text only."""


class InvalidRequestError(PeerError):
    """A field is missing, malformed or contradicts another one."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field


class UnauthorizedError(PeerError):
    """No token, or one that proves nothing: unknown key, bad signature, expired."""

    code = "unauthorized"


class PermissionDeniedError(PeerError):
    """The token or the current permissions do not allow this."""

    code = "permission_denied"

    def __init__(self, action: str, needs: str) -> None:
        super().__init__(f"not allowed to {action}: the token must grant {needs}")
        self.action = action
        self.needs = needs


class RoomNotFoundError(PeerError):
    """No such room, and joining does not create one here."""

    code = "room_not_found"

    def __init__(self, name: RoomName) -> None:
        super().__init__(f"requested room does not exist: {name}")
        self.name = name


class RoomFullError(PeerError):
    """The room has as many participants as it admits."""

    code = "room_full"

    def __init__(self, name: RoomName, limit: int) -> None:
        super().__init__(f"room {name} is full: it admits {limit} participants")
        self.limit = limit


class ParticipantNotFoundError(PeerError):
    """Nobody of that identity is in the room."""

    code = "participant_not_found"

    def __init__(self, identity: Identity) -> None:
        super().__init__(f"participant {identity} is not in this room")
        self.identity = identity


class TrackNotFoundError(PeerError):
    """A client named a track that nobody publishes in its room, or that is not its own."""

    code = "track_not_found"

    def __init__(self, track: TrackSid, where: str = "published in this room") -> None:
        super().__init__(f"track {track} is not {where}")
        self.track = track


class DispatchNotFoundError(PeerError):
    """No agent was asked for under that id in the room."""

    code = "dispatch_not_found"

    def __init__(self, dispatch: DispatchId) -> None:
        super().__init__(f"agent dispatch {dispatch} is not in this room")
        self.dispatch = dispatch


class JobNotFoundError(PeerError):
    """No job of that id is in the room; those that ended long ago are forgotten."""

    code = "job_not_found"

    def __init__(self, job: JobId) -> None:
        super().__init__(f"agent job {job} is not in this room")
        self.job = job


class LimitExceededError(PeerError):
    """More, or longer, than the server's limits admit."""

    code = "limit_exceeded"

    def __init__(self, what: str, limit: int | DataSize) -> None:
        super().__init__(f"{what} exceeds the limit of {limit}")
        self.what = what
        self.limit = limit


class TrackUndeclaredError(PeerError):
    """An offered section sends media, but no `tracks` entry says what it is."""

    code = "track_undeclared"

    def __init__(self, mid: str) -> None:
        super().__init__(f"section {mid} sends media without an entry in tracks; add one with its mid or cid")
        self.mid = mid


class TrackSectionError(PeerError):
    """A `tracks` entry matches no section that sends, or one that is taken."""

    code = "track_section"


class CodecMismatchError(PeerError):
    """Publisher and subscriber have no codec in common."""

    code = "no_common_codec"

    def __init__(self, track: TrackSid, published: tuple[str, ...], accepted: tuple[str, ...]) -> None:
        super().__init__(
            f"track {track} is published as {', '.join(published) or 'nothing'}; "
            f"the subscriber accepts {', '.join(accepted) or 'nothing'}"
        )
        self.published = published
        self.accepted = accepted


class SessionGoneError(PeerError):
    """The session can no longer be resumed: expired, replaced, removed or never there. Join again."""

    code = "session_gone"

    def __init__(self) -> None:
        super().__init__("this session is over; join again")


class DrainingError(ServerError):
    """The server is shutting down and admits nobody."""

    code = "server_draining"

    def __init__(self) -> None:
        super().__init__("this server is shutting down; try another, or again in a moment")


class OverloadedError(ServerError):
    """The node has as many participants or rooms as it is configured to carry."""

    code = "overloaded"

    def __init__(self, what: str, limit: int) -> None:
        super().__init__(f"this server carries no more than {limit} {what}")


class IllegalTransitionError(AirsideError):
    """A state machine was fed a signal its state does not allow. A bug on our side."""

    code = "internal"

    def __init__(self, state: object, signal: object) -> None:
        super().__init__(f"no transition from {state} by {signal}")
        self.state = state
        self.signal = signal
