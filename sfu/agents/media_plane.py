"""Media by the packet plane in client role: Linux, six times as many jobs on a core as aiortc.

ICE, DTLS, SRTP, SCTP, repair and pacing are the server's own code, on one thread for all rooms of a process.
Python sees sound as Opus packets in batches, and pictures as payloads of what somebody looks at.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from dataclasses import replace

from sfu.agents.audio import PcmSource
from sfu.agents.errors import MediaError
from sfu.agents.media import MediaListener, MediaState, Offer, VideoCodec
from sfu.agents.plane.hub import Hub
from sfu.agents.plane.local_ring import InheritedRing
from sfu.agents.plane.pictures import Canvas, Eye
from sfu.agents.plane.sound import Ear, Voice
from sfu.agents.video import VideoSource
from sfu.core.codecs import Codec, MediaKind
from sfu.core.ids import Identity, Mid, ParticipantSid, TapId, TrackId
from sfu.dataplane.commands import (
    AddTrack,
    AddTransport,
    DataDialect,
    LayerSpec,
    LocalPath,
    LocalSource,
    RemoveMember,
    RemoveTrack,
    RemoveTransport,
    RequestKeyframe,
    Role,
    SetMember,
    Subscribe,
    Wish,
)
from sfu.dataplane.events import CloseReason, DataReady, Event, TransportState, TransportStateChanged
from sfu.transport.commands import add_slot, add_track, receive_codecs, set_remote
from sfu.transport.errors import NegotiationError, SdpError
from sfu.transport.plan import ReceiveSection, SendSection, SlotIds, TransportPlan
from sfu.transport.sdp.agreed import Agreed, LocalDescription, Slot
from sfu.transport.sdp.client import ClientWish, Publish, accept, client_offer
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import parse, write
from sfu.transport.sdp.offer import Offered

POLICY = CodecPolicy(audio=(Codec.OPUS,), video=(Codec.VP8, Codec.H264))
"""What PyAV is asked to code. Without RED: the server takes Opus out of it, and its way here loses little."""
DATA_DIALECT = DataDialect.LIVEKIT
"""Under whose labels the data channels are opened: see `media.RELIABLE_LABEL`."""
OPEN_TIMEOUT_S = 15.0  # as long as LiveKit's clients wait for a peer connection
HIGH_WATER_BYTES = 256 * 1024  # of reliable messages, beside the megabyte that the association holds
TRACK_HEIGHT_PX = 720
"""Stands for any height: a source has one layer."""

_STATES: dict[TransportState, MediaState] = {
    TransportState.ICE_CONNECTED: "connecting",
    TransportState.CONNECTED: "connected",
    TransportState.DISCONNECTED: "disconnected",
    TransportState.CLOSED: "closed",
}
_log = logging.getLogger(__name__)

Sender = Voice | Canvas


class PlaneMedia:
    """Implements `sfu.agents.media.Media`."""

    def __init__(self, listener: MediaListener, ring: InheritedRing | None = None) -> None:
        """With a ring, media may pass through that in place of the network."""
        self._listener = listener
        self._ring = ring
        self._local_path: LocalPath | None = None
        self._hub = hub = Hub.acquire()
        plane = hub.plane
        self._room = plane.new_room_id()
        self._transport = plane.new_transport_id()
        self._participant = plane.new_participant_id()
        self._worker = plane.place(self._room)
        self._credentials = plane.credentials(self._worker)
        self._local = LocalDescription(
            self._credentials.ufrag, self._credentials.password, plane.fingerprint, ice_lite=False
        )
        self._agreed = Agreed()
        self._plan: TransportPlan | None = None
        self._offered: Offered | None = None
        self._wish = ClientWish()
        self._publish: dict[str, Publish] = {}
        self._senders: dict[str, Sender] = {}
        self._stopped: set[str] = set()
        self._readers: dict[Mid, tuple[TrackId, TapId, Ear | Eye]] = {}
        self._dirty: set[Voice] = set()
        self._made: set[TrackId] = set()
        self._socket: int | None = None
        self._added = False
        self._connected = self._closed = False
        self._data = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    # What is wanted.

    @property
    def local_ring(self) -> str:
        ring = self._ring
        return ring.secret if ring is not None and self._hub.local_rings(ring) else ""

    def use_local_route(self, worker: int, route: int) -> None:
        rings = self._hub.local_rings(self._ring) if self._ring is not None else ()
        if worker >= len(rings):
            raise MediaError("the local ring is closed")
        self._local_path = LocalPath(rings[worker], route)

    def receive(self, *, audio: int, video: int) -> None:
        self._wish = replace(
            self._wish,
            receive_audio=max(audio, self._wish.receive_audio),
            receive_video=max(video, self._wish.receive_video),
        )

    def send_audio(self, source: PcmSource) -> str:
        cid = self._free_section(None) or self._new_section(MediaKind.AUDIO, None)
        sender = self._senders[cid]
        assert isinstance(sender, Voice)  # noqa: S101
        sender.attach(source)
        return cid

    def send_video(self, source: VideoSource, codec: VideoCodec) -> str:
        cid = self._free_section(codec) or self._new_section(MediaKind.VIDEO, codec)
        sender = self._senders[cid]
        assert isinstance(sender, Canvas)  # noqa: S101
        sender.attach(source)
        return cid

    def stop_sending(self, cid: str) -> None:
        self._senders[cid].detach()
        self._stopped.add(cid)

    def _free_section(self, codec: VideoCodec | None) -> str | None:
        for cid, sender in self._senders.items():
            if sender.free and (sender.codec if isinstance(sender, Canvas) else None) == codec:
                self._stopped.discard(cid)
                return cid
        return None

    def _new_section(self, kind: MediaKind, codec: VideoCodec | None) -> str:
        plane = self._hub.plane
        track = plane.new_track_id()
        ids = SlotIds(plane.new_slot_id(), _ssrc(), _ssrc())
        cid = f"{kind.value}-{ids.slot}-{secrets.token_hex(4)}"
        self._publish[cid] = Publish(kind, cid, (Slot(ids),))
        sender = Voice(self._hub, track, self._soon) if codec is None else Canvas(self._hub, track, codec)
        self._senders[cid] = sender
        return cid

    # Negotiation.

    async def offer(self) -> Offer:
        sending = tuple(item for cid, item in self._publish.items() if cid not in self._stopped)
        wish = replace(self._wish, publish=sending)
        self._offered = client_offer(self._agreed, wish, self._local, POLICY)
        cids = {item.slots[0].ids.slot: item.cid for item in sending}
        mids = {
            cids[section.slots[0].ids.slot]: str(section.mid)
            for section in self._offered.wanted
            if section.slots and section.slots[0].ids.slot in cids
        }
        return Offer(write(self._offered.offer), mids)

    async def accept(self, answer_sdp: str) -> None:
        if self._offered is None:
            raise MediaError("there is no offer")
        offered, self._offered = self._offered, None
        try:
            negotiation = accept(offered, parse(answer_sdp))
        except (SdpError, NegotiationError) as error:
            raise MediaError(f"the answer cannot be taken: {error}") from error
        if self._closed:
            raise MediaError("the transport is closed")
        before, plan = self._plan, negotiation.plan
        self._agreed, self._plan = negotiation.agreed, plan
        if before is None:
            self._add_transport(plan)
        self._hub.apply(set_remote(self._transport, plan))
        receive, send = (before.receive, before.send) if before is not None else ((), ())
        for section in plan.receive:
            if section not in receive:
                self._read(section)
        for sent in plan.send:
            if sent not in send:
                self._write(sent)

    def _add_transport(self, plan: TransportPlan) -> None:
        hub = self._hub
        if self._local_path is None:
            self._socket, _ = hub.plane.open_socket(self._worker, _route(plan.candidates))
        self._added = True
        hub.listen(self._transport, self._on_event)
        hub.plane.read_messages(self._transport, self._on_message)
        hub.apply(
            AddTransport(
                self._transport,
                self._room,
                Role.CLIENT,
                self._credentials,
                self._socket or 0,
                self._local_path,
            ),
            SetMember(
                self._room,
                self._participant,
                Identity("agent"),
                self._transport,
                DATA_DIALECT,
                can_publish=True,
                hidden=False,
                sid=ParticipantSid("PA_agent"),
            ),
        )

    def _read(self, section: ReceiveSection) -> None:
        """Read what arrives in a section, or tell the plane how it was negotiated anew."""
        known = self._readers.get(section.mid)
        track = known[0] if known is not None else self._hub.plane.new_track_id()
        self._hub.apply(add_track(track, section, self._transport, self._room))
        if known is None:
            mid = str(section.mid)
            if section.kind is MediaKind.AUDIO:
                reader: Ear | Eye = Ear(mid, self._listener)
            else:
                codecs = [codec.codec for codec in section.codecs]
                reader = Eye(mid, codecs, self._listener, lambda: self._hub.apply(RequestKeyframe(track, 0)))
            self._readers[section.mid] = (track, self._hub.read(track, reader), reader)

    def _write(self, section: SendSection) -> None:
        """Let a section carry the track of its sender."""
        sender = next(
            self._senders[item.cid]
            for item in self._publish.values()
            if item.slots[0].ids.slot == section.slot
        )
        wanted = Codec.OPUS if isinstance(sender, Voice) else Codec(sender.codec)
        codecs = tuple(codec for codec in section.codecs if codec.codec is wanted)
        if not codecs:
            raise MediaError(f"the server does not take {wanted.value}")
        self._hub.apply(
            AddTrack(
                track=sender.track,
                room=self._room,
                source=LocalSource(),
                kind=section.kind,
                codecs=receive_codecs(codecs),
                layers=(LayerSpec(height_px=0 if wanted is Codec.OPUS else TRACK_HEIGHT_PX),),
                muted=False,
                cname=str(self._transport),
            ),
            add_slot(self._transport, replace(section, codecs=codecs)),
            Subscribe(section.slot, sender.track, EVERYTHING),
        )
        self._made.add(sender.track)
        if self._connected:
            sender.connect()

    # Sending.

    def _soon(self, voice: Voice) -> None:
        # Writes of one turn of the loop are encoded and handed over together.
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._pump)
        self._dirty.add(voice)

    def _pump(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for voice in dirty:
            voice.pump()

    async def ready(self) -> None:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await self._data.wait()
        except TimeoutError:
            raise MediaError("the data channels did not open") from None
        if self._closed:
            raise MediaError("the transport is closed")

    async def send_data(self, message: bytes, *, reliable: bool) -> None:
        await self.ready()
        plane = self._hub.plane
        while reliable and not self._closed and plane.unsent_bytes(self._transport) > HIGH_WATER_BYTES:
            await self._hub.beat()
        if self._closed:
            raise MediaError("the transport is closed")
        plane.send_messages(self._transport, [(reliable, message)])

    # The end.

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        was_closed = self._closed
        self._end()
        if self._added and not was_closed:
            self._hub.apply(RemoveTransport(self._transport))
        if self._socket is not None:
            self._hub.plane.close_socket(self._worker, self._socket)
        self._hub.forget(self._transport)
        if not was_closed and self._plan is not None:
            self._listener.on_media_state("closed")
        await self._hub.release()

    def _end(self) -> None:
        """Nothing flows any more. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._data.set()
        for sender in self._senders.values():
            sender.close()
        for _, tap, reader in self._readers.values():
            self._hub.stop_reading(tap)
            if isinstance(reader, Eye):
                reader.close()
        self._readers.clear()
        self._hub.apply(*(RemoveTrack(track) for track in self._made))
        if self._added:
            self._hub.apply(RemoveMember(self._room, self._participant))
        self._made.clear()
        self._senders.clear()

    # News of the plane.

    def _on_event(self, event: Event) -> None:
        match event:
            case DataReady():
                self._data.set()
            case TransportStateChanged(state=TransportState.CLOSED):
                if event.reason is not CloseReason.REMOVED:
                    _log.debug("the transport is closed: %s", event.reason.value)
                    self._end()
                    self._listener.on_media_state("closed")
            case TransportStateChanged():
                if event.state is TransportState.CONNECTED:
                    self._connected = True
                    for sender in self._senders.values():
                        if sender.track in self._made:
                            sender.connect()
                self._listener.on_media_state(_STATES[event.state])

    def _on_message(self, reliable: bool, message: bytes) -> None:
        self._listener.on_data(message, reliable=reliable)


EVERYTHING = Wish(max_height_px=TRACK_HEIGHT_PX, max_temporal=7, priority=100, may_pause=False, paused=False)
"""Of our own tracks by our own transport."""


def _route(candidates: tuple[tuple[str, int], ...]) -> str:
    """Our address towards the server: that of the first of its addresses we have a way to, this machine's
    own last. A socket is bound to it, so that answers come in where checks go out.

    Raises:
        MediaError: There is none.
    """
    ordered = sorted(
        candidates, key=lambda candidate: candidate[0].startswith("127.") or candidate[0] == "::1"
    )
    for host, port in ordered:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                # Sends nothing: the kernel only looks up the route.
                probe.connect((host, port))
            except OSError as error:
                _log.debug("no way to a candidate: %s", error)
                continue
            return str(probe.getsockname()[0])
    raise MediaError("there is no way to the server's addresses")


def _ssrc() -> int:
    return secrets.randbelow(2**32 - 1) + 1
