"""One member of a room: a table of contents of what it is, publishes and receives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sfu.core.clock import Timer
from sfu.core.codecs import MediaKind
from sfu.core.errors import TrackNotFoundError
from sfu.core.ids import (
    Identity,
    Mid,
    ParticipantId,
    ParticipantSid,
    RoomName,
    SessionId,
    SlotId,
    TrackSid,
    TransportId,
)
from sfu.core.observer import JoinTrace
from sfu.core.shared import Shared
from sfu.dataplane.commands import DataDialect
from sfu.participants.audience import EVERYONE, Audience
from sfu.participants.connection import Connection
from sfu.participants.downlink import Downlink
from sfu.participants.info import FORWARDED, ClientInfo, ParticipantInfo, ParticipantKind, is_dependent
from sfu.participants.lifecycle import Lifecycle
from sfu.participants.outbox import Outbox
from sfu.participants.permissions import Permissions
from sfu.participants.publishing import Publication
from sfu.participants.quality import ConnectionQuality
from sfu.participants.requests import NATIVE_SHAPE, Shape, TrackRequest
from sfu.participants.sink import PublishedTrack, ResumeTrial
from sfu.participants.subscriber import Subscriber
from sfu.router.plan import Slot
from sfu.tracks.data_track import DataTrackInfo
from sfu.tracks.track import Track


@dataclass(slots=True, eq=False)
class Participant:
    """Changed only by its room, in synchronous methods on the loop. Call `touch` after a visible change."""

    id: ParticipantId
    sid: ParticipantSid
    session_id: SessionId
    identity: Identity
    name: str
    metadata: str
    attributes: dict[str, str]
    kind: ParticipantKind
    permissions: Permissions
    joined_at: float
    client: ClientInfo
    subscriber: Subscriber
    outbox: Outbox
    trace: JoinTrace
    shape: Shape = NATIVE_SHAPE
    kind_details: tuple[str, ...] = ()
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    connection: Connection | None = None
    """What it offers on; both ways unless there is a downlink."""
    downlink: Downlink | None = None
    """What we offer on; only in two-connection dialects."""
    declared: dict[str, TrackRequest] = field(default_factory=dict)
    """Tracks whose section is yet to come, by the client's own name."""
    publications: dict[Mid, Publication] = field(default_factory=dict)
    retired: set[Mid] = field(default_factory=set)
    """Sections whose track was ended here; the client may still send in them."""
    audience: Audience = EVERYONE
    """Who may have its tracks."""
    data_tracks: tuple[DataTrackInfo, ...] = ()
    """What it publishes of those."""
    auto_data_tracks: bool = False
    """It gets every data track unasked."""
    admitted_to: RoomName | None = None
    """Where its session began: tokens of that room go on to stand for it."""
    heard: set[TrackSid] = field(default_factory=set)
    """Own tracks that somebody has received."""
    described: dict[Mid, TrackSid] = field(default_factory=dict)
    """What the newest description says its sections carry."""
    renewal_asked: bool = False
    """It was told that what its sections carry has changed, and has not offered since."""
    data_routed: bool = False
    """The data routing table has it."""
    data_ready: bool = False
    """Its data channels are open."""
    resume_timer: Timer | None = None
    """Runs while no WebSocket is attached."""
    resume_trial: ResumeTrial | None = None
    """How its next resume is cut off."""
    connect_timer: Timer | None = None
    """Runs from the first offer until its transport is connected."""
    answer_timer: Timer | None = None
    """Runs while an offer of ours waits for its answer."""
    quality: ConnectionQuality = field(default_factory=ConnectionQuality)
    version: int = 1
    _info: Shared[ParticipantInfo] | None = None
    _guest_info: Shared[ParticipantInfo] | None = None

    def __str__(self) -> str:
        return self.sid

    @property
    def present(self) -> bool:
        """In its room."""
        return self.lifecycle.present

    @property
    def visible(self) -> bool:
        """Others are told about it."""
        return not self.permissions.hidden

    @property
    def dependent(self) -> bool:
        """As `ParticipantInfo.dependent`."""
        return is_dependent(self.kind, self.permissions)

    @property
    def by_channel(self) -> bool:
        """Data reaches it by its channel, perhaps in a moment; else by signaling, in dialects that can."""
        return self.data_ready or (self.data_routed and self.shape.data is not DataDialect.NATIVE)

    @property
    def receiving(self) -> Connection | None:
        """The transport that brings it media and data."""
        return self.downlink.connection if self.downlink is not None else self.connection

    @property
    def connections(self) -> Iterator[Connection]:
        """All its transports."""
        if self.connection is not None:
            yield self.connection
        if self.downlink is not None:
            yield self.downlink.connection

    @property
    def sections(self) -> int:
        """Places in the description that it receives by."""
        if self.downlink is not None:
            return self.downlink.sections
        return self.connection.sections if self.connection is not None else 0

    @property
    def slots(self) -> dict[SlotId, Slot]:
        """Sections it can receive in."""
        receiving = self.receiving
        return receiving.slots if receiving is not None else {}

    @property
    def tracks(self) -> list[Track]:
        """What it publishes, oldest first; backups belong to their tracks."""
        return [item.track for item in self.publications.values() if item.track.original is None]

    def track(self, sid: TrackSid) -> Track:
        """One of its own. Raises TrackNotFoundError."""
        return self.publication(sid).track

    def publication(self, sid: TrackSid) -> Publication:
        """One of its own. Raises TrackNotFoundError."""
        for item in self.publications.values():
            if item.track.sid == sid and item.track.original is None:
                return item
        raise TrackNotFoundError(sid, "one of this participant's own")

    def published(self) -> tuple[PublishedTrack, ...]:
        """Own tracks as their owner knows them."""
        return tuple(
            PublishedTrack(mid, item.cid or None, item.track.info)
            for mid, item in self.publications.items()
            if item.track.original is None
        )

    def bound(self) -> tuple[tuple[TrackSid, Mid], ...]:
        """What its sections carry."""
        slots = self.slots
        return tuple((item.sid, slots[slot].mid) for slot, item in self.subscriber.applied.items())

    def touch(self) -> None:
        """Something others see has changed."""
        self.version += 1
        self._info = self._guest_info = None

    def info(self) -> Shared[ParticipantInfo]:
        """As others see it; the same object until `touch`."""
        if self._info is None:
            self._info = Shared(
                ParticipantInfo(
                    sid=self.sid,
                    identity=self.identity,
                    name=self.name,
                    metadata=self.metadata,
                    attributes=dict(self.attributes),
                    kind=self.kind,
                    state=self.lifecycle.state,
                    permissions=self.permissions,
                    joined_at=self.joined_at,
                    version=self.version,
                    tracks=tuple(track.info for track in self.tracks),
                    client=self.client,
                    kind_details=self.kind_details,
                    data_tracks=self.data_tracks,
                )
            )
        return self._info

    def guest_info(self) -> Shared[ParticipantInfo]:
        """As it is seen in rooms that it is forwarded to; the same object until `touch`."""
        if self._guest_info is None:
            own = self.info().value
            details = dict.fromkeys((*own.kind_details, FORWARDED))
            self._guest_info = Shared(replace(own, kind_details=tuple(details)))
        return self._guest_info

    def connection_of(self, transport: TransportId) -> Connection | None:
        """The one with that id."""
        return next((item for item in self.connections if item.transport == transport), None)

    def debug_state(self) -> dict[str, object]:
        """Plain JSON for people; no secrets, no addresses."""
        applied = self.subscriber.applied
        return {
            "sid": self.sid,
            "identity": self.identity,
            "state": self.lifecycle.state.value,
            "client": {"sdk": self.client.sdk, "version": self.client.version},
            "attached": self.outbox.attached,
            "seq": self.outbox.seq,
            "transport": self.connection.transport if self.connection is not None else None,
            "worker": self.connection.worker if self.connection is not None else None,
            "downlink": self.downlink.transport if self.downlink is not None else None,
            "sections": self.sections,
            "declared": len(self.declared),
            "slots": {
                kind.value: sum(slot.kind is kind for slot in self.slots.values()) for kind in MediaKind
            },
            "retired": sorted(self.retired),
            "tracks": [track.sid for track in self.tracks],
            "subscriptions": [
                {"track": item.sid, "slot": slot, "layer": self.subscriber.layers.get(slot)}
                for slot, item in applied.items()
            ],
            "wishes": self.subscriber.demand.size,
            "join_s": {step.value: round(seconds, 6) for step, seconds in self.trace.steps.items()},
        }
