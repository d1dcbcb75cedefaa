"""Signal responses as bytes. What goes to many is encoded once (`Shared.encoded`) and wrapped here.

A message may be put together from encoded parts: in protobuf, fields of a message may come in any order, and
concatenated encodings merge (Protocol Buffers encoding, "Last One Wins").
"""

from collections.abc import Iterable

from google.protobuf.message import Message
from livekit.protocol import models, rtc

from sfu.core.shared import Shared
from sfu.participants.info import ParticipantInfo, ParticipantQuality, RoomInfo
from sfu.participants.quality import Verdict
from sfu.participants.sink import ParticipantsChange
from signaling.livekit import enums, mapping

DIALECT = "livekit"

_RESPONSES = rtc.SignalResponse.DESCRIPTOR.fields_by_name
_JOIN = _RESPONSES["join"].number
_UPDATE = _RESPONSES["update"].number
_ROOM_UPDATE = _RESPONSES["room_update"].number
_QUALITY = _RESPONSES["connection_quality"].number
_QUALITIES = rtc.ConnectionQualityUpdate.DESCRIPTOR.fields_by_name["updates"].number
_OTHERS = rtc.JoinResponse.DESCRIPTOR.fields_by_name["other_participants"].number
_PARTICIPANTS = rtc.ParticipantUpdate.DESCRIPTOR.fields_by_name["participants"].number
_ROOM = rtc.RoomUpdate.DESCRIPTOR.fields_by_name["room"].number

_LENGTH_DELIMITED = 2


def response(message: Message) -> bytes:
    """One frame."""
    return bytes(message.SerializeToString())


def join(head: rtc.JoinResponse, others: Iterable[Shared[ParticipantInfo]]) -> bytes:
    """`join` with everybody else in it."""
    parts = [response(head), *(_field(_OTHERS, participant(item)) for item in others)]
    return _field(_JOIN, b"".join(parts))


def update(pictures: Iterable[Shared[ParticipantInfo]]) -> bytes:
    """`update` with these people as they are."""
    return _field(_UPDATE, b"".join(_field(_PARTICIPANTS, participant(item)) for item in pictures))


def departures(people: Iterable[models.ParticipantInfo]) -> bytes:
    """`update` with those who left."""
    return response(rtc.SignalResponse(update=rtc.ParticipantUpdate(participants=list(people))))


def participants_change(change: ParticipantsChange) -> bytes:
    """`update` with everything that changed, or nothing: a change that clients need not hear of."""
    arrived = {item.value.identity for item in change.joined}
    left = [mapping.departed(item) for item in change.left if not mapping.is_handover(item, arrived)]
    parts = [_field(_PARTICIPANTS, response(item)) for item in left]
    parts += [_field(_PARTICIPANTS, participant(item)) for item in (*change.joined, *change.updated)]
    return _field(_UPDATE, b"".join(parts)) if parts else b""


def room_update(info: Shared[RoomInfo]) -> bytes:
    """`room_update`."""
    return info.encoded(f"{DIALECT} update", lambda now: _field(_ROOM_UPDATE, _field(_ROOM, _room(now))))


def connection_quality(qualities: Shared[tuple[ParticipantQuality, ...]]) -> bytes:
    """`connection_quality`, encoded once for the room."""
    return qualities.encoded(DIALECT, _qualities)


def _qualities(qualities: Iterable[ParticipantQuality]) -> bytes:
    updates = [
        rtc.ConnectionQualityInfo(
            participant_sid=item.participant, quality=enums.QUALITIES[item.quality], score=item.score
        )
        for item in qualities
    ]
    return response(rtc.SignalResponse(connection_quality=rtc.ConnectionQualityUpdate(updates=updates)))


def first_quality(pictures: Iterable[Shared[ParticipantInfo]]) -> bytes:
    """`connection_quality` of people of whom nothing was said yet: clients show it as unknown until then."""
    parts = [item.encoded(f"{DIALECT} quality", _first_quality) for item in pictures]
    return _field(_QUALITY, b"".join(parts)) if parts else b""


def newcomers_quality(change: ParticipantsChange) -> bytes:
    """The same for everyone who has just come."""
    return first_quality(change.joined)


def _first_quality(info: ParticipantInfo) -> bytes:
    verdict = Verdict()
    update = rtc.ConnectionQualityInfo(
        participant_sid=info.sid, quality=enums.QUALITIES[verdict.quality], score=verdict.score
    )
    return _field(_QUALITIES, response(update))


def participant(picture: Shared[ParticipantInfo]) -> bytes:
    """One person, encoded once for all who hear of it."""
    return picture.encoded(DIALECT, lambda info: response(mapping.participant_info(info)))


def _room(info: RoomInfo) -> bytes:
    return response(mapping.room(info))


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
