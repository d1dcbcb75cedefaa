"""Data tracks: packets of an application's own at a rate of its own, for those who ask for them."""

from __future__ import annotations

from dataclasses import dataclass

from sfu.core.codecs import Encryption
from sfu.core.ids import DataTrackSid, Identity, ParticipantSid


@dataclass(frozen=True, slots=True)
class DataTrackRequest:
    """What somebody wants to publish."""

    handle: int
    """The publisher's own number of it, 1 to 65535; it stands in the packets."""
    name: str
    encryption: Encryption = Encryption.NONE
    description: bytes = b""
    """What its dialect says about what is in the packets. Handed on."""


@dataclass(frozen=True, slots=True)
class DataTrackInfo:
    """A data track as others see it."""

    sid: DataTrackSid
    participant: ParticipantSid
    identity: Identity
    handle: int
    name: str
    encryption: Encryption = Encryption.NONE
    description: bytes = b""
