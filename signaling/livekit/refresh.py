"""Fresh tokens for a client that stays, with what changed since it joined: it can come back as it is."""

from collections.abc import Callable

from livekit.protocol import rtc

from sfu.core.clock import Clock, Timer
from sfu.participants.info import ParticipantInfo
from signaling.auth import Authenticator, Token

INTERVAL_S = 300.0
VALIDITY_S = 600.0
"""At least; a token that was good for longer stays so."""


class TokenRefresher:
    """`know` its participant, `begin`, `update` it, `end`. Owns one timer."""

    def __init__(
        self,
        authenticator: Authenticator,
        token: Token,
        clock: Clock,
        send: Callable[[rtc.SignalResponse], None],
    ) -> None:
        self._authenticator = authenticator
        self._token = token
        self._clock = clock
        self._send = send
        self._info: ParticipantInfo | None = None
        self._timer: Timer | None = None

    def know(self, info: ParticipantInfo) -> None:
        """How the participant is now."""
        self._info = info

    def begin(self) -> None:
        """Send a token now, and then every few minutes."""
        self._refresh()
        self._timer = self._clock.call_later(INTERVAL_S, self.begin)

    def update(self, info: ParticipantInfo) -> None:
        """Send a token if what stands in it has changed."""
        before, self._info = self._info, info
        if before is None or _claims(before) != _claims(info):
            self._refresh()

    def move(self, token: Token, info: ParticipantInfo) -> str:
        """The participant is in another room: a token for that one, and such from now on."""
        self._token, self._info = token, info
        return self._authenticator.renew(token, info, self._clock.wall(), VALIDITY_S)

    def end(self) -> None:
        """Nobody is there to take them."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refresh(self) -> None:
        if self._info is not None:
            token = self._authenticator.renew(self._token, self._info, self._clock.wall(), VALIDITY_S)
            self._send(rtc.SignalResponse(refresh_token=token))


def _claims(info: ParticipantInfo) -> tuple[object, ...]:
    return info.name, info.metadata, dict(info.attributes), info.permissions
