"""What a client says in the URL it connects by, for both paths. Pure; the text is a peer's.

`/rtc` has one parameter for each thing; `/rtc/v1` has `join_request`, a protobuf that may be compressed.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError
from livekit.protocol import rtc

from sfu.core.errors import InvalidRequestError
from sfu.core.ids import ParticipantSid
from sfu.participants.info import NO_CLIENT, ClientInfo
from signaling.json_bounds import is_crowded
from signaling.livekit import requests
from signaling.livekit.bounds import parse, whole_number

MAX_JOIN_REQUEST_BYTES = 1024 * 1024
"""After decompression; an ordinary one has 20 kB."""
MAX_NUMBER = 2**31 - 1
"""As in the protobuf that says the same."""
GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""zlib's way of saying that a gzip header is expected."""

NOBODY = ParticipantSid("")
_FALSE = frozenset({"0", "false", "f", "no"})


@dataclass(frozen=True, slots=True)
class Parameters:
    """A connection as its client wants it."""

    single: bool
    """One peer connection both ways."""
    client: ClientInfo = NO_CLIENT
    auto_subscribe: bool = True
    auto_data_tracks: bool = False
    adaptive_stream: bool = False
    may_pause: bool = True
    """Video may stop where the network does not take it."""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    tracks: tuple[rtc.AddTrackRequest, ...] = ()
    offer: rtc.SessionDescription | None = None
    resume: bool = False
    participant: ParticipantSid = NOBODY
    """Whose session to resume."""
    sync_state: rtc.SyncState | None = None


def from_query(query: Mapping[str, str], address: str) -> Parameters:
    """Of `/rtc`. Raises InvalidRequestError."""
    attributes = query.get("attributes", "")
    return Parameters(
        single=False,
        client=ClientInfo(
            sdk=query.get("sdk", ""),
            version=query.get("version", ""),
            address=address,
            protocol=_number(query, "client_protocol"),
            capabilities=tuple(
                name.strip().lower() for name in query.get("capabilities", "").split(",") if name.strip()
            ),
        ),
        auto_subscribe=_flag(query, "auto_subscribe", True),
        auto_data_tracks=_flag(query, "auto_subscribe_data_track", False),
        adaptive_stream=_flag(query, "adaptive_stream", False),
        may_pause=_flag(query, "subscriber_allow_pause", True),
        attributes=_attributes(attributes) if attributes else {},
        resume=_flag(query, "reconnect", False),
        participant=ParticipantSid(query.get("sid", "")),
    )


def from_join_request(text: str, address: str) -> Parameters:
    """Of `/rtc/v1`. Raises InvalidRequestError."""
    request = decode_join_request(text)
    settings = request.connection_settings
    return Parameters(
        single=True,
        client=requests.client_info(request.client_info, address),
        auto_subscribe=settings.auto_subscribe,
        auto_data_tracks=settings.auto_subscribe_data_track,
        adaptive_stream=settings.adaptive_stream,
        may_pause=settings.subscriber_allow_pause or not settings.HasField("subscriber_allow_pause"),
        metadata=request.metadata,
        attributes=dict(request.participant_attributes),
        tracks=tuple(request.add_track_requests),
        offer=request.publisher_offer if request.HasField("publisher_offer") else None,
        resume=request.reconnect,
        participant=ParticipantSid(request.participant_sid),
        sync_state=request.sync_state if request.HasField("sync_state") else None,
    )


def decode_join_request(text: str) -> rtc.JoinRequest:
    """The request inside its wrappings. Raises InvalidRequestError."""
    if not text:
        raise InvalidRequestError("join_request", "is missing")
    try:
        wrapped = rtc.WrappedJoinRequest.FromString(_base64(text))
        raw = wrapped.join_request
        if wrapped.compression == rtc.WrappedJoinRequest.Compression.GZIP:
            raw = _inflate(raw)
        return parse(rtc.JoinRequest, raw)
    except (DecodeError, binascii.Error, zlib.error, ValueError):
        raise InvalidRequestError("join_request", "cannot be decoded") from None


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(GZIP_WINDOW)
    raw = inflater.decompress(data, MAX_JOIN_REQUEST_BYTES)
    if inflater.unconsumed_tail or not inflater.eof:
        raise InvalidRequestError("join_request", "is cut off, or too long when decompressed")
    return raw


def _base64(text: str) -> bytes:
    standard = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)


def _attributes(text: str) -> dict[str, str]:
    try:
        raw = _base64(text)
        value = None if is_crowded(raw) else json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InvalidRequestError("attributes", "must be a base64url JSON object of strings")
    return value


def _flag(query: Mapping[str, str], name: str, default: bool) -> bool:
    value = query.get(name, "")
    return value.lower() not in _FALSE if value else default


def _number(query: Mapping[str, str], name: str) -> int:
    return whole_number(query.get(name, ""), MAX_NUMBER) or 0
