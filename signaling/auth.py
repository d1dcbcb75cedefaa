"""Access tokens: a JWT (RFC 7519) with HS256 and LiveKit's claims, to what it lets its bearer do, and back.

Whoever holds an API secret makes tokens; `iss` names the key. PyJWT checks the signature, in constant time.
The claims are checked here, so that time comes in as `now` and every refusal says what is wrong.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NoReturn

import jwt
from jwt.algorithms import HMACAlgorithm
from jwt.utils import base64url_decode

from sfu.core.errors import InvalidRequestError, UnauthorizedError
from sfu.core.ids import Identity, RoomName
from sfu.participants.info import AgentRequest, ParticipantInfo, ParticipantKind
from sfu.participants.permissions import GRANT_CLAIMS, Grant
from sfu.participants.requests import RoomOptions
from signaling.json_bounds import is_crowded

MAX_TOKEN_BYTES = 64 * 1024  # metadata travels in it; as long as the longest request line we read
DEFAULT_VALIDITY_S = 6 * 3600.0  # as LiveKit's SDKs
ALGORITHM = "HS256"
NO_RESTART = ("JRP_NEVER", 1)  # livekit.JobRestartPolicy, as JSON writes it
BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was found good."""

    api_key: str
    identity: Identity
    """Empty in tokens for the server API."""
    grant: Grant
    expires_at: float
    """Seconds since 1970."""
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    kind: ParticipantKind = ParticipantKind.STANDARD
    room_options: RoomOptions | None = None
    kind_details: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=dict)
    """As they were signed."""

    def in_room(self, room: RoomName) -> "Token":
        """The same for another room."""
        return replace(self, grant=replace(self.grant, room=room))


class _Hs256(HMACAlgorithm):
    """HS256 that takes secrets of any length: LiveKit's development secret has six bytes.

    The server warns about short secrets once, when it starts.
    """

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)

    def check_key_length(self, key: bytes) -> str | None:  # noqa: ARG002
        """As `HMACAlgorithm.check_key_length`: nothing to complain about."""
        return None


def _signer() -> jwt.PyJWS:
    signer = jwt.PyJWS(algorithms=[])
    signer.register_algorithm(ALGORITHM, _Hs256())
    return signer


class Authenticator:
    """Checks tokens against the API keys of the configuration."""

    def __init__(self, keys: Mapping[str, str], leeway_s: float = 60.0) -> None:
        self._keys = dict(keys)
        self._leeway_s = leeway_s
        self._signer = _signer()

    def verify(self, token: str, now: float) -> Token:
        """Check signature and time.

        Args:
            token: The compact form, without `Bearer`.
            now: Seconds since 1970.

        Raises:
            UnauthorizedError: It proves nothing; the text says why and holds nothing of the token.
        """
        if len(token) > MAX_TOKEN_BYTES:
            _refuse(f"the token is longer than {MAX_TOKEN_BYTES // 1024} kB")
        try:
            claims = _claims(token)
            algorithm = self._signer.get_unverified_header(token).get("alg")
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            _refuse("the token is not a JWT")
        if algorithm != ALGORITHM:
            _refuse(f"the token must be signed with {ALGORITHM}")
        key = claims.get("iss")
        secret = self._keys.get(key) if isinstance(key, str) else None
        if secret is None:
            _refuse("the token's API key (iss) is not known here")
        try:
            self._signer.decode_complete(token, secret.encode(), algorithms=[ALGORITHM])
        except jwt.InvalidTokenError:
            _refuse("the token's signature does not match its API key")
        return self._read(str(key), claims, now)

    def _read(self, key: str, claims: Mapping[str, object], now: float) -> Token:
        expires_at = _seconds(claims, "exp")
        if expires_at is None:
            _refuse("the token has no expiry (exp)")
        if now >= expires_at + self._leeway_s:
            _refuse("the token has expired")
        not_before = _seconds(claims, "nbf")
        if not_before is not None and now < not_before - self._leeway_s:
            _refuse("the token is not valid yet (nbf)")
        video = claims.get("video")
        if video is not None and not isinstance(video, dict):
            _refuse("the token's claim video must be an object")
        try:
            grant = Grant.from_claims(video or {})
        except InvalidRequestError as error:
            raise UnauthorizedError(f"the token's claim {error}") from None
        return Token(
            api_key=key,
            identity=Identity(_text(claims, "sub") or _text(claims, "jti")),
            grant=grant,
            expires_at=expires_at,
            name=_text(claims, "name"),
            metadata=_text(claims, "metadata"),
            attributes=_attributes(claims),
            kind=_kind(claims),
            room_options=_room_options(claims),
            kind_details=_texts(claims, "kindDetails"),
            claims=claims,
        )

    def renew(self, token: Token, info: ParticipantInfo, now: float, validity_s: float) -> str:
        """A token for the same bearer as it is now: good for `validity_s`, or longer if the old one is.

        What the old one says beyond name, metadata, attributes and permissions stays.
        """
        may = info.permissions
        grant = replace(
            token.grant,
            can_publish=may.can_publish,
            can_subscribe=may.can_subscribe,
            can_publish_data=may.can_publish_data,
            can_publish_sources=may.can_publish_sources,
            can_update_own_metadata=may.can_update_metadata,
            can_subscribe_metrics=may.can_subscribe_metrics,
            hidden=may.hidden,
            recorder=may.recorder,
            agent=may.agent,
        )
        video = token.claims.get("video")
        known = video if isinstance(video, dict) else {}
        others = {key: value for key, value in known.items() if key not in GRANT_CLAIMS}
        claims = {
            **token.claims,
            "sub": info.identity,
            "nbf": int(now),
            "exp": int(max(now + validity_s, token.expires_at)),
            "name": info.name,
            "metadata": info.metadata,
            "attributes": dict(info.attributes),
            "video": others | grant.to_claims(),
        }
        return self._sign(token.api_key, claims)

    def sign_body(self, api_key: str, digest: str, now: float, validity_s: float) -> str:
        """A token that vouches for a body by its SHA-256 in base64. KeyError: there is no such key."""
        claims = {"iss": api_key, "nbf": int(now), "exp": int(now + validity_s), "sha256": digest}
        return self._sign(api_key, claims)

    def _sign(self, api_key: str, claims: Mapping[str, object]) -> str:
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return self._signer.encode(payload, self._keys[api_key].encode(), algorithm=ALGORITHM)


def create_token(
    api_key: str,
    secret: str,
    grant: Grant,
    *,
    now: float,
    identity: str = "",
    name: str = "",
    metadata: str = "",
    attributes: Mapping[str, str] | None = None,
    kind: ParticipantKind = ParticipantKind.STANDARD,
    validity_s: float = DEFAULT_VALIDITY_S,
) -> str:
    """Make a token that `Authenticator.verify` accepts until `validity_s` after `now`."""
    claims: dict[str, object] = {
        "iss": api_key,
        "sub": identity,
        "nbf": int(now),
        "exp": int(now + validity_s),
        "video": grant.to_claims(),
    }
    if name:
        claims["name"] = name
    if metadata:
        claims["metadata"] = metadata
    if attributes:
        claims["attributes"] = dict(attributes)
    if kind is not ParticipantKind.STANDARD:
        claims["kind"] = kind.value
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return _signer().encode(payload, secret.encode(), algorithm=ALGORITHM)


def find_token(headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """The token of a request: header `Authorization`, else query parameter `access_token`.

    Raises:
        UnauthorizedError: There is neither, or the header is no bearer token.
    """
    header = headers.get("authorization")
    if header is not None:
        if not header.lower().startswith(BEARER):
            _refuse("the Authorization header must be `Bearer <token>`")
        return header[len(BEARER) :].strip()
    token = query.get("access_token", "")
    if not token:
        _refuse("a token is needed: `Authorization: Bearer <token>` or the query parameter access_token")
    return token


def _refuse(reason: str) -> NoReturn:
    raise UnauthorizedError(reason) from None


def _claims(token: str) -> dict[str, object]:
    def reject(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    # Nobody has proved anything yet: not many values are built for them.
    if is_crowded(base64url_decode(token.partition(".")[0])):
        raise ValueError("the header has too many values")
    unverified = jwt.PyJWS().decode_complete(token, options={"verify_signature": False})
    if is_crowded(unverified["payload"]):
        raise ValueError("the claims have too many values")
    claims = json.loads(unverified["payload"], parse_constant=reject)
    if not isinstance(claims, dict):
        raise ValueError("the claims must be an object")
    return claims


def _seconds(claims: Mapping[str, object], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        _refuse(f"the token's claim {name} must be a number of seconds")
    return float(value)


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        _refuse(f"the token's claim {name} must be a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(f"the token's claim {name} holds half a surrogate pair")
    return value


def _texts(claims: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = claims.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        _refuse(f"the token's claim {name} must be a list")
    return tuple(_text({name: item}, name) for item in value)


def _attributes(claims: Mapping[str, object]) -> dict[str, str]:
    value = claims.get("attributes")
    if value is None:
        return {}
    if not isinstance(value, dict):
        _refuse("the token's claim attributes must be an object")
    return {_text({"attributes": name}, "attributes"): _text(value, name) for name in value}


def _kind(claims: Mapping[str, object]) -> ParticipantKind:
    value = _text(claims, "kind")
    try:
        return ParticipantKind(value) if value else ParticipantKind.STANDARD
    except ValueError:
        # Kinds of newer SDKs are people to us.
        return ParticipantKind.STANDARD


def _room_options(claims: Mapping[str, object]) -> RoomOptions | None:
    config, preset = claims.get("roomConfig"), _text(claims, "roomPreset")
    if config is None:
        return RoomOptions(preset=preset) if preset else None
    if not isinstance(config, dict):
        _refuse("the token's claim roomConfig must be an object")
    most = _seconds(config, "maxParticipants")
    return RoomOptions(
        metadata=_text(config, "metadata"),
        empty_timeout_s=_seconds(config, "emptyTimeout") or None,
        departure_timeout_s=_seconds(config, "departureTimeout") or None,
        max_participants=int(most) if most and most > 0 else None,
        sync_streams=config.get("syncStreams") is True,
        min_playout_delay_ms=_milliseconds(config, "minPlayoutDelay"),
        max_playout_delay_ms=_milliseconds(config, "maxPlayoutDelay"),
        agents=_agents(config),
        preset=preset,
    )


def _milliseconds(config: Mapping[str, object], name: str) -> int:
    return max(0, int(_seconds(config, name) or 0))


def _agents(config: Mapping[str, object]) -> tuple[AgentRequest, ...]:
    agents = config.get("agents")
    if agents is None:
        return ()
    if not isinstance(agents, list) or not all(isinstance(item, dict) for item in agents):
        _refuse("the token's claim roomConfig.agents must be a list of objects")
    return tuple(
        AgentRequest(
            agent_name=_text(item, "agentName"),
            metadata=_text(item, "metadata"),
            attributes=_attributes(item),
            restart=item.get("restartPolicy") not in NO_RESTART,
        )
        for item in agents
    )
