"""One participant: its signaling, its transport in client role, what it publishes and meters."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from sfu.core.codecs import Codec, MediaKind
from sfu.core.ids import TransportId
from sfu.dataplane.commands import (
    AddTarget,
    AddTrack,
    AddTransport,
    AudioGenerator,
    Command,
    LayerSpec,
    MeterTarget,
    RemoveTransport,
    Role,
    Subscribe,
    VideoGenerator,
    Wish,
)
from sfu.dataplane.events import CloseReason, TransportState, TransportStateChanged
from sfu.dataplane.plane import DataPlane, EmulatedNetwork
from sfu.loadtest.options import NetworkOf, Options
from sfu.loadtest.signal import JoinFailedError, Signal
from sfu.transport.commands import add_slot, add_track, receive_codecs, set_remote
from sfu.transport.plan import ReceiveSection, SendSection, SlotIds, TransportPlan
from sfu.transport.sdp.agreed import Agreed, LocalDescription, Slot
from sfu.transport.sdp.candidates import host_candidate
from sfu.transport.sdp.client import ClientWish, Publish, accept, client_offer
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import parse, write
from sfu.transport.sdp.offer import Offered
from signaling.native.messages import PROTOCOL_VERSION, Join, TrackRequest
from signaling.native.values import ClientInfo, Layer

POLICY = CodecPolicy(audio=(Codec.OPUS,), video=(Codec.VP8,))
"""What the generators make."""
RIDS = ("q", "h", "f")
"""Names of simulcast layers, lowest first; the customary ones."""
CONNECT_TIMEOUT_S = 30.0
MAX_TEMPORAL = 7
ANY_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """What one client does."""

    room: str
    identity: str
    publish: MediaKind | None = None
    receive_audio: int = 0
    receive_video: int = 0
    send_data: bool = False


class Client:
    """Join with `run`; the owner passes on events of its transport."""

    def __init__(
        self, plane: DataPlane, options: Options, spec: ClientSpec, local_address: str, number: int
    ) -> None:
        self.spec = spec
        self.transport: TransportId = plane.new_transport_id()
        self.meters: list[int] = []
        self.joined_s: float | None = None
        """From the first packet of ours to the answer, seconds; likewise the next."""
        self.connected_s: float | None = None
        self.started = 0.0
        """On the monotonic clock."""
        self.ended = ""
        """Why it is over; empty while it is not."""
        self.data_ready = False
        """Its data channels are open."""
        self._plane = plane
        self._options = options
        self._room = plane.new_room_id()
        self._worker = plane.place(self._room)
        self._credentials = plane.credentials(self._worker)
        self._socket, self._address = plane.open_socket(self._worker, local_address, self._network(number))
        self._added = False
        self._state: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._signal: Signal | None = None
        self._listener: asyncio.Task[None] | None = None

    async def run(self, token: str) -> None:
        """Join and connect. Raises JoinFailedError."""
        self.started = time.monotonic()
        offered = self._offer()
        self._signal = signal = await Signal.open(self._options.url, token)
        joined = await signal.join(self._join(offered))
        self.joined_s = time.monotonic() - self.started
        if joined.answer is None:
            raise JoinFailedError("no_answer")
        plan = accept(offered, parse(joined.answer)).plan
        self._added = True
        self._plane.apply(self._commands(plan))
        self._listener = asyncio.create_task(self._listen(signal))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await self._state
        except TimeoutError:
            raise JoinFailedError("no_media", "the transport did not connect") from None

    def on_data_ready(self) -> None:
        """News of the transport's data channels."""
        self.data_ready = True

    def on_transport(self, event: TransportStateChanged) -> None:
        """News of the transport."""
        if event.state is TransportState.CONNECTED and not self._state.done():
            self.connected_s = time.monotonic() - self.started
            self._state.set_result(None)
        elif event.state is TransportState.CLOSED:
            self._added = False
            if event.reason is not CloseReason.REMOVED:
                self.ended = self.ended or event.reason.value
            if not self._state.done():
                self._state.set_exception(JoinFailedError(event.reason.value))

    async def close(self) -> None:
        """Leave the room; what it held of the plane is free again."""
        self.ended = self.ended or "done"
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        if self._signal is not None:
            await self._signal.leave()
        if self._added:
            self._plane.apply([RemoveTransport(self.transport)])
        self._plane.close_socket(self._worker, self._socket)
        if not self._state.cancel() and not self._state.cancelled():
            # An owner that gave up on `run` has not asked how it went.
            self._state.exception()

    async def _listen(self, signal: Signal) -> None:
        reason = await signal.listen()
        self.ended = self.ended or reason

    def _network(self, number: int) -> EmulatedNetwork | None:
        """That of client `number`, if it has one."""
        options = self._options
        owner = NetworkOf.SUBSCRIBERS if self.spec.publish is None else NetworkOf.PUBLISHERS
        if options.network is None or options.network_of not in (NetworkOf.EVERYONE, owner):
            return None
        return options.network.up.text(), options.network.down.text(), options.seed + number

    def _offer(self) -> Offered:
        spec = self.spec
        layers = self._options.layers
        simulcast = spec.publish is MediaKind.VIDEO and len(layers) > 1
        rids: list[str | None] = list(RIDS[-len(layers) :]) if simulcast else [None]
        slots = tuple(Slot(SlotIds(self._plane.new_slot_id(), _ssrc(), _ssrc()), rid) for rid in rids)
        wish = ClientWish(
            receive_audio=spec.receive_audio,
            receive_video=spec.receive_video,
            publish=(Publish(spec.publish, "generator", slots),) if spec.publish else (),
            data=self._options.data_publishers > 0,
        )
        local = LocalDescription(
            ufrag=self._credentials.ufrag,
            pwd=self._credentials.password,
            fingerprint=self._plane.fingerprint,
            candidates=(host_candidate(*self._address),),
            ice_lite=False,
        )
        return client_offer(Agreed(), wish, local, POLICY)

    def _join(self, offered: Offered) -> Join:
        tracks: tuple[TrackRequest, ...] = ()
        publish = self.spec.publish
        if publish is not None:
            mid = next(section.mid for section in offered.wanted if section.sends)
            if publish is MediaKind.AUDIO:
                tracks = (TrackRequest(mid=mid, source="microphone"),)
            else:
                top = self._options.layers[-1].height_px
                tracks = (
                    TrackRequest(
                        mid=mid,
                        source="camera",
                        width=top * 16 // 9,
                        height=top,
                        layers=self._layer_requests(),
                    ),
                )
        return Join(
            protocol=PROTOCOL_VERSION,
            offer=write(offered.offer),
            tracks=tracks,
            auto_subscribe=publish is None,
            client=ClientInfo(sdk="airside-load-test"),
        )

    def _layer_requests(self) -> tuple[Layer, ...]:
        layers = self._options.layers
        if len(layers) == 1:
            return ()
        return tuple(
            Layer(
                rid=rid,
                width=layer.height_px * 16 // 9,
                height=layer.height_px,
                max_bitrate_bps=layer.bitrate_bps,
            )
            for rid, layer in zip(RIDS[-len(layers) :], layers, strict=True)
        )

    def _commands(self, plan: TransportPlan) -> Iterator[Command]:
        yield AddTransport(self.transport, self._room, Role.CLIENT, self._credentials, self._socket)
        yield set_remote(self.transport, plan)
        for section in plan.receive:
            yield from self._meter(section)
        for kind, sections in itertools.groupby(plan.send, key=lambda section: section.kind):
            yield from self._generate(kind, list(sections))

    def _meter(self, section: ReceiveSection) -> Iterator[Command]:
        track, meter = self._plane.new_track_id(), self._plane.new_meter_id()
        yield add_track(track, section, self.transport, self._room)
        yield AddTarget(track, MeterTarget(meter))
        self.meters.append(meter)

    def _generate(self, kind: MediaKind, sections: list[SendSection]) -> Iterator[Command]:
        """One generated track; each section sends one layer of it."""
        layers = self._options.layers
        track = self._plane.new_track_id()
        is_audio = kind is MediaKind.AUDIO
        yield AddTrack(
            track=track,
            room=self._room,
            source=AudioGenerator(self._options.audio_bytes) if is_audio else VideoGenerator(layers),
            kind=kind,
            codecs=receive_codecs(sections[0].codecs),
            layers=(LayerSpec(),)
            if is_audio
            else tuple(LayerSpec(height_px=each.height_px) for each in layers),
            muted=False,
            cname=self.spec.identity,
        )
        for index, section in enumerate(sections):
            yield add_slot(self.transport, section)
            height = layers[index].height_px if not is_audio else 0
            yield Subscribe(section.slot, track, _wish(height))


def _wish(height_px: int) -> Wish:
    """Exactly the layer of that height, whatever the network says: a generator does not adapt."""
    return Wish(
        max_height_px=height_px,
        max_temporal=MAX_TEMPORAL,
        priority=ANY_PRIORITY,
        may_pause=False,
        paused=False,
    )


def _ssrc() -> int:
    return secrets.randbelow(2**32 - 1) + 1
