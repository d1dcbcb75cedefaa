"""Participants on the packet plane in client role: real ICE, DTLS and SRTP for a fraction of aiortc's work.

Their audio is made and timed by a worker thread, so that a busy test does not show up as a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sfu.core.codecs import MediaKind
from sfu.core.ids import Mid, RoomId, TrackId, TransportId, WorkerId
from sfu.dataplane.commands import (
    AddTarget,
    AddTrack,
    AddTransport,
    AudioGenerator,
    Command,
    IceCredentials,
    LayerSpec,
    MeterTarget,
    RemoveTarget,
    RemoveTransport,
    Role,
    Subscribe,
    VideoGenerator,
    VideoLayer,
    Wish,
)
from sfu.dataplane.events import CloseReason, DataReady, Event, TransportState, TransportStateChanged
from sfu.dataplane.plane import Address, DataPlane
from sfu.transport.commands import add_slot, add_track, receive_codecs, set_remote
from sfu.transport.plan import ReceiveSection, SlotIds, TransportPlan
from sfu.transport.sdp.agreed import Agreed, LocalDescription, Slot
from sfu.transport.sdp.client import ClientWish, Publish, accept, client_offer
from sfu.transport.sdp.codecs import CodecPolicy
from sfu.transport.sdp.grammar import parse, write

LOOPBACK = "127.0.0.1"
WORKER = WorkerId(0)
WAIT_S = 15.0
PREFIX = 40  # bytes of a message in which its type stands
CLOSE_S = 5.0
SOURCES = {"audio": "microphone", "video": "camera"}
SPEECH = AudioGenerator(payload_bytes=100)
FILM = VideoGenerator((VideoLayer(bitrate_bps=500_000, fps=30, height_px=360),), keyframe_interval_s=600)
WHOLE_WISH = Wish(max_height_px=4320, max_temporal=7, priority=128, may_pause=False, paused=False)


@dataclass(frozen=True)
class Heard:
    """What a meter counted."""

    packets: int
    lost: int
    max_gap_ms: float


class Callers:
    """A packet plane without a server, and the callers on it. All callers of one plane share a worker."""

    def __init__(self) -> None:
        self.plane = DataPlane(workers=1)
        self.states: dict[TransportId, list[TransportStateChanged]] = {}
        self.with_data: set[TransportId] = set()
        """Whose data channels work."""
        self._news = asyncio.Event()
        self.plane.subscribe_events(self._on_event)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, TransportStateChanged):
            self.states.setdefault(event.transport, []).append(event)
            self._news.set()
        elif isinstance(event, DataReady):
            self.with_data.add(event.transport)
            self._news.set()

    async def until(self, condition: Callable[[], bool], seconds: float = WAIT_S) -> None:
        """Wait for something that transport events bring."""
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def heard(self, meter: int) -> Heard:
        """Figures of a meter so far; a gap that is still open counts."""
        (stats,) = await self.plane.stats()
        for row in stats.rows("meters"):
            if row["meter"] == meter:
                return Heard(int(row["packets"]), int(row["lost"]), row["max_gap_us"] / 1000)
        return Heard(0, 0, float("inf"))

    async def close(self) -> None:
        """All of them hang up."""
        await self.plane.close(CLOSE_S)


class Caller:
    """One participant: a WebSocket and a transport. `join` makes one."""

    def __init__(self, callers: Callers, socket: ClientConnection) -> None:
        self.callers = callers
        self.plane = callers.plane
        self.socket = socket
        self.room: RoomId = self.plane.new_room_id()
        self.transport: TransportId = self.plane.new_transport_id()
        self.credentials: IceCredentials = self.plane.credentials(WORKER)
        self.number, self.address = self.plane.open_socket(WORKER, LOOPBACK)
        self.agreed = Agreed()
        self.plan: TransportPlan | None = None
        self.joined: Any = None
        self.deaf_to_people = False
        """Pass over `participants`."""
        self.messages: list[Any] = []
        """Everything the server said, in order."""
        self.published: dict[str, str] = {}
        """Mid to the id of the own track in it."""
        self.bound: dict[str, str] = {}
        """Mid to the id of the track it carries."""
        self._tracks: dict[Mid, TrackId] = {}
        self._news = asyncio.Event()
        self._offers = 0

    # Signaling.

    async def say(self, **message: Any) -> None:
        """Send one message."""
        await self.socket.send(json.dumps(message))

    async def read(self) -> None:
        """Take what the server says until it ends the connection."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                text = await self.socket.recv(decode=False)
                # News of the room is most of what a crowd is told, and parsing it would be most of its work.
                if not (self.deaf_to_people and b'"participants"' in text[:PREFIX]):
                    self._take(json.loads(text))

    def _take(self, message: Any) -> None:
        self.messages.append(message)
        match message["type"]:
            case "subscribed":
                self.bound[message["mid"]] = message["track_id"]
            case "unsubscribed":
                self.bound.pop(message["mid"], None)
        self._news.set()

    async def hear(self, kind: str, after: int = 0, seconds: float = WAIT_S) -> Any:
        """The first message of a type, not counting the first `after` of all messages."""
        return await self.until(
            lambda: next((m for m in self.messages[after:] if m["type"] == kind), None), seconds
        )

    async def until(self, condition: Callable[[], Any], seconds: float = WAIT_S) -> Any:
        """Wait for something that messages bring; gives what the condition gave."""
        async with asyncio.timeout(seconds):
            while not (found := condition()):
                self._news.clear()
                await self._news.wait()
        return found

    # Media.

    def offer(
        self, *, audio: int = 0, video: int = 0, receive: int = 1, data: bool = False
    ) -> tuple[str, list[Any]]:
        """The first offer: published microphones and cameras, sections for others' sound."""
        kinds = [MediaKind.AUDIO] * audio + [MediaKind.VIDEO] * video
        publish = tuple(
            Publish(kind, f"track{index}", (Slot(self._slot_ids()),)) for index, kind in enumerate(kinds)
        )
        self._wish = ClientWish(receive_audio=receive, publish=publish, data=data)
        self._local = LocalDescription(
            self.credentials.ufrag, self.credentials.password, self.plane.fingerprint, ice_lite=False
        )
        self._offered = client_offer(self.agreed, self._wish, self._local, CodecPolicy())
        return write(self._offered.offer), self._described()

    async def publish_again(self) -> None:
        """End every published track, then offer and publish anew in the same sections."""
        for section in self._offered.wanted:
            if section.sends:
                await self.say(type="unpublish", track_id=self.published[section.mid])
        self._offers += 1
        self._offered = client_offer(self.agreed, self._wish, self._local, CodecPolicy())
        seen = len(self.messages)
        sdp, tracks = write(self._offered.offer), self._described()
        await self.say(type="offer", id=self._offers, sdp=sdp, tracks=tracks)
        answer = await self.hear("answer", after=seen)
        self.accept(answer["sdp"])
        self.published = {entry["mid"]: entry["track"]["id"] for entry in answer["tracks"]}

    def _described(self) -> list[Any]:
        return [
            {
                "mid": section.mid,
                "cid": section.msid[1] if section.msid else "",
                "source": SOURCES[section.kind],
            }
            for section in self._offered.wanted
            if section.sends
        ]

    def _slot_ids(self) -> SlotIds:
        return SlotIds(self.plane.new_slot_id(), secrets.randbits(32) | 1, secrets.randbits(32) | 1)

    def accept(self, answer: str) -> TransportPlan:
        """Take the server's answer. Nothing is sent before `start`."""
        negotiation = accept(self._offered, parse(answer))
        self.agreed, self.plan = negotiation.agreed, negotiation.plan
        return negotiation.plan

    def start(self, via: Address | None = None, **change: Any) -> None:
        """Begin to connect.

        Args:
            via: Send everything here in place of the server's own address: a relay.
            **change: Fields of `SetRemote` that are to be different.
        """
        plan = self.plan
        assert plan is not None, "no answer yet"
        remote = set_remote(self.transport, plan)
        if via is not None:
            remote = replace(remote, candidates=(via,))
        commands: list[Command] = [
            AddTransport(self.transport, self.room, Role.CLIENT, self.credentials, self.number),
            replace(remote, **change),
            *(add_slot(self.transport, section) for section in plan.send),
            *map(self._add_track, plan.receive),
        ]
        self.plane.apply(commands)

    def _add_track(self, section: ReceiveSection) -> AddTrack:
        track = self._tracks[section.mid] = self.plane.new_track_id()
        return add_track(track, section, self.transport, self.room)

    def speak(self) -> None:
        """Send in every section that publishes: audio 50 packets a second, video about 60."""
        assert self.plan is not None, "no answer yet"
        for section in self.plan.send:
            track = self.plane.new_track_id()
            made = AddTrack(
                track=track,
                room=self.room,
                source=SPEECH if section.kind is MediaKind.AUDIO else FILM,
                kind=section.kind,
                codecs=receive_codecs(section.codecs[:1]),
                layers=(LayerSpec(),),
                muted=False,
                cname="mic",
            )
            self.plane.apply([made, Subscribe(section.slot, track, WHOLE_WISH)])

    @asynccontextmanager
    async def metered(self, mid: str) -> AsyncIterator[int]:
        """A meter on what comes in one section, from now on; its number."""
        track, meter = self._tracks[Mid(mid)], self.plane.new_meter_id()
        self.plane.apply([AddTarget(track, MeterTarget(meter))])
        await self.plane.stats()  # answered after what was commanded before
        yield meter
        self.plane.apply([RemoveTarget(track, MeterTarget(meter))])

    # States.

    @property
    def states(self) -> list[TransportState]:
        """What the transport went through."""
        return [event.state for event in self.callers.states.get(self.transport, [])]

    @property
    def closed_because(self) -> CloseReason | None:
        """Why it closed; None while it is there."""
        events = self.callers.states.get(self.transport, [])
        return next((event.reason for event in events if event.state is TransportState.CLOSED), None)

    async def connected(self, seconds: float = WAIT_S) -> None:
        """Wait until keys are in place."""
        await self.callers.until(lambda: TransportState.CONNECTED in self.states, seconds)

    async def has_data(self) -> None:
        """Wait until both data channels work."""
        await self.callers.until(lambda: self.transport in self.callers.with_data)

    async def data_messages(self) -> int:
        """How many came in."""
        (stats,) = await self.plane.stats()
        rows = stats.rows("transports")
        return sum(int(row["data_messages_received"]) for row in rows if row["transport"] == self.transport)

    def hang_up(self) -> None:
        """End the transport."""
        self.plane.apply([RemoveTransport(self.transport)])


@asynccontextmanager
async def signaling(callers: Callers, ws_url: str, token: str) -> AsyncIterator[Caller]:
    """A caller that has opened its WebSocket and said nothing."""
    url = f"{ws_url}/signal?access_token={quote(token)}"
    async with connect(url, max_size=None) as socket:
        caller = Caller(callers, socket)
        reading = asyncio.create_task(caller.read())
        try:
            yield caller
        finally:
            if caller.closed_because is None and caller.plan is not None:
                caller.hang_up()
            await socket.close()
            await reading


@asynccontextmanager
async def joined(
    callers: Callers,
    ws_url: str,
    token: str,
    *,
    via: Address | None = None,
    start: bool = True,
    deaf_to_people: bool = False,
    **wish: Any,
) -> AsyncIterator[Caller]:
    """A caller in a room whose transport is on its way up; `wish` as for `Caller.offer`."""
    async with signaling(callers, ws_url, token) as caller:
        caller.deaf_to_people = deaf_to_people
        sdp, tracks = caller.offer(**wish)
        await caller.say(type="join", protocol=1, offer=sdp, tracks=tracks)
        caller.joined = await caller.hear("joined")
        caller.published = {entry["mid"]: entry["track"]["id"] for entry in caller.joined["state"]["tracks"]}
        caller.accept(caller.joined["answer"])
        if start:
            caller.start(via)
        yield caller
