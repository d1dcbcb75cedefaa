"""A room as an agent's author uses it.

async with Room.connect("ws://localhost:7880", token) as room:
    voice = PcmSource(sample_rate=24000)
    await room.publish_audio(voice)
    async for event in room.events():
        match event:
            case TrackSubscribed(track) if track.kind == "audio":
                tasks.create_task(listen(track))
            case Disconnected():
                break
"""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from sfu import __version__
from sfu.agents.audio import SAMPLE_RATE, AudioFrame, PcmSource
from sfu.agents.backends import media_factory
from sfu.agents.errors import ClosedError, RoomError
from sfu.agents.events import (
    DataReceived,
    Disconnected,
    MediaStateChanged,
    MutedByServer,
    ParticipantLeft,
    PermissionsChanged,
    QualityChanged,
    Reconnected,
    Reconnecting,
    RoomEvent,
    RoomUpdated,
    SpeakersChanged,
    StreamStateChanged,
    SubscriptionFailed,
    UnpublishedByServer,
)
from sfu.agents.files import FilePlayer
from sfu.agents.media import Media, MediaFactory, MediaState, VideoCodec
from sfu.agents.messaging import Messaging
from sfu.agents.mixing import PEOPLE, RoomMixer
from sfu.agents.publishing import Publication, Publisher
from sfu.agents.roster import Roster
from sfu.agents.signal import Signal, Token
from sfu.agents.streams import Stream
from sfu.agents.tracks import LocalTrack, Participant, RemoteTrack
from sfu.agents.video import VideoFrame, VideoSource
from signaling.native import messages
from signaling.native.values import ClientInfo, ParticipantInfo, Permissions, RoomInfo
from signaling.native.values import Source as TrackSource

EVENT_BACKLOG = 1000  # events kept for a reader that is behind
SPARE_SECTIONS = 3  # receive sections of each kind in the first offer: a small room needs no second
CLIENT = ClientInfo(sdk="airside-python", version=__version__)

E = TypeVar("E")

_log = logging.getLogger(__name__)


class Room(Messaging):
    """A room we are in. Enter it with `async with`; leaving the block leaves the room."""

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        auto_subscribe: bool,
        publish: Sequence[Publication],
        receive: tuple[int, int],
        media: MediaFactory | None,
    ) -> None:
        super().__init__()
        self._roster = Roster(self, self._emit)
        self._signal = Signal(url, token, self)
        self._auto_subscribe = auto_subscribe
        self._first = tuple(publish)
        self._receive = receive
        self._media_factory = media or media_factory()
        self._media: Media | None = None
        self._room: RoomInfo | None = None
        self._me: ParticipantInfo | None = None
        self._publisher: Publisher | None = None
        self._streams: set[Stream[RoomEvent]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._players: list[FilePlayer] = []
        self._disconnected: Disconnected | None = None

    @classmethod
    def connect(
        cls,
        url: str,
        token: Token,
        *,
        auto_subscribe: bool = True,
        publish: Sequence[Publication] = (),
        receive: tuple[int, int] = (SPARE_SECTIONS, SPARE_SECTIONS),
        media: MediaFactory | None = None,
    ) -> Room:
        """A room to enter with `async with`.

        Args:
            url: Of the server, as `ws://host:7880` or `https://host`.
            token: A JWT, or a function that gives a fresh one: it is asked again at each reconnect.
            auto_subscribe: Receive every track; else call `track.subscribe()`.
            publish: Sources to publish with the join itself, which saves a round trip.
            receive: How many audio and video tracks can arrive before a new negotiation.
            media: Makes the media stack; `media_factory()` when absent.
        """
        return cls(url, token, auto_subscribe=auto_subscribe, publish=publish, receive=receive, media=media)

    async def __aenter__(self) -> Room:
        """Join.

        Raises:
            ConnectError: The server is not reached, or refuses.
        """
        media = self._media = self._media_factory(self)
        publisher = self._publisher = Publisher(media, self._signal, self)
        try:
            media.receive(audio=self._receive[0], video=self._receive[1])
            for publication in self._first:
                publisher.add(publication)
            offer = await media.offer()
            joined = await self._signal.join(
                messages.Join(
                    protocol=messages.PROTOCOL_VERSION,
                    offer=offer.sdp,
                    tracks=publisher.requests(offer.mids),
                    auto_subscribe=self._auto_subscribe,
                    data="livekit",
                    client=CLIENT,
                    local_ring=media.local_ring,
                )
            )
            if (local := joined.local_route) is not None:
                media.use_local_route(local.worker, local.route)
            self._apply_state(joined.state)
            publisher.take(joined.state.tracks, offer.mids)
            if joined.answer is not None:
                await media.accept(joined.answer)
        except BaseException:
            await self.close()
            raise
        self._signal.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave. May be called twice."""
        for player in self._players:
            player.stop()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._signal.close()
        if self._media is not None:
            await self._media.close()
        self._finish(Disconnected("client_left", "left the room", rejoin=False))

    # What there is.

    @property
    def info(self) -> RoomInfo:
        """The room."""
        if self._room is None:
            raise ClosedError("not_joined", "the room has not been joined")
        return self._room

    @property
    def me(self) -> ParticipantInfo:
        """Ourselves, as others see us."""
        if self._me is None:
            raise ClosedError("not_joined", "the room has not been joined")
        return self._me

    @property
    def permissions(self) -> Permissions:
        """What we may do."""
        return self.me.permissions

    @property
    def participants(self) -> dict[str, Participant]:
        """Everyone else, by identity."""
        return self._roster.participants

    @property
    def tracks(self) -> dict[str, RemoteTrack]:
        """Everyone else's tracks, by track id."""
        return self._roster.tracks

    @property
    def local_tracks(self) -> dict[str, LocalTrack]:
        """Our own published tracks, by track id."""
        return self._publisher.tracks if self._publisher is not None else {}

    @property
    def media(self) -> Media:
        """The media stack, for statistics and tests."""
        if self._media is None:
            raise ClosedError("not_joined", "the room has not been joined")
        return self._media

    @property
    def disconnected(self) -> Disconnected | None:
        """Why the session is over; None while it is not."""
        return self._disconnected

    async def connected(self) -> None:
        """Wait until media can flow and data messages reach us: those sent before are not kept.

        Raises:
            MediaError: The transport ended, or did not come up in time.
        """
        await self.media.ready()

    async def mixed_audio(
        self, sample_rate: int = SAMPLE_RATE, *, kinds: Collection[str] = PEOPLE
    ) -> AsyncIterator[AudioFrame]:
        """Everyone's sound as one, mono, in frames of 20 ms in real time: silence where nobody speaks.

        Args:
            sample_rate: Of the frames, Hz; a multiple of 50.
            kinds: Of the participants that are in it; agents are not, unless asked for.
        """
        mixer = RoomMixer(sample_rate, kinds)
        try:
            with self.events() as events:
                mixer.follow(self._roster.by_mid.values(), events)
                async for frame in mixer.frames():
                    yield frame
        finally:
            mixer.close()

    def events(self) -> Stream[RoomEvent]:
        """Events from now on, until the session is over. Readers do not disturb each other."""
        stream: Stream[RoomEvent] = Stream(EVENT_BACKLOG, self._streams)
        if self._disconnected is not None:
            stream.push(self._disconnected)
            stream.end()
        return stream

    async def wait_for(
        self, kind: type[E], matches: Callable[[E], bool] = lambda _: True, *, timeout_s: float = 10.0
    ) -> E:
        """The next event of a kind for which `matches` is true.

        Raises:
            TimeoutError: None came in time.
            ClosedError: The session ended first.
        """
        async with asyncio.timeout(timeout_s):
            with self.events() as stream:
                async for event in stream:
                    if isinstance(event, kind) and matches(event):
                        return event
        ended = self._disconnected
        raise ClosedError(ended.code, ended.message) if ended else ClosedError

    # What one can do.

    async def publish_audio(
        self, media: PcmSource, *, source: TrackSource = "microphone", name: str = "", muted: bool = False
    ) -> LocalTrack:
        """Publish sound.

        Raises:
            RequestError: The server refuses, for example `permission_denied`.
        """
        return await self.publish(Publication(media, source, name, muted))

    async def publish_video(
        self,
        media: VideoSource,
        *,
        source: TrackSource = "camera",
        name: str = "",
        codec: VideoCodec = "vp8",
        width: int = 0,
        height: int = 0,
    ) -> LocalTrack:
        """Publish pictures.

        Raises:
            RequestError: The server refuses, for example `permission_denied`.
        """
        return await self.publish(Publication(media, source, name, codec=codec, width=width, height=height))

    async def publish_file(self, path: Path | str, *, repeat: bool = False) -> list[LocalTrack]:
        """Play a file's sound and picture into the room, in real time. Its tracks outlive it.

        Raises:
            OSError: It cannot be read.
            ValueError: It holds neither sound nor picture.
            RequestError: The server refuses.
        """
        player = await FilePlayer.open(path, repeat=repeat)
        self._players.append(player)
        tracks: list[LocalTrack] = []
        if player.audio is not None:
            tracks.append(await self.publish_audio(player.audio, source="screen_share_audio", name=str(path)))
        if player.video is not None:
            width, height = player.size
            tracks.append(
                await self.publish_video(
                    player.video, source="screen_share", name=str(path), width=width, height=height
                )
            )
        player.start()
        return tracks

    async def publish(self, publication: Publication) -> LocalTrack:
        """Publish a source.

        Raises:
            RequestError: The server refuses; the source is closed.
        """
        return await self._own.publish(publication)

    async def update_me(
        self,
        *,
        name: str | None = None,
        metadata: str | None = None,
        attributes: dict[str, str] | None = None,
    ) -> None:
        """Change what others see of us; an attribute set to "" goes.

        Raises:
            RequestError: Not allowed, or too long.
        """
        request = messages.UpdateMe(name=name, metadata=metadata, attributes=attributes)
        await self._signal.request(request, messages.Ok)

    # What handles ask (tracks.RoomControl).

    async def subscribe(
        self, track: RemoteTrack, max_height_px: int | None, priority: int | None, max_fps: int | None
    ) -> None:
        request = messages.Subscribe(
            track_id=track.id, max_height_px=max_height_px, priority=priority, max_fps=max_fps
        )
        await self._signal.request(request, messages.Ok)

    async def unsubscribe(self, track: RemoteTrack) -> None:
        await self._signal.request(messages.Unsubscribe(track_id=track.id), messages.Ok)

    async def update_subscription(
        self,
        track: RemoteTrack,
        max_height_px: int | None,
        priority: int | None,
        paused: bool | None,
        max_fps: int | None,
    ) -> None:
        request = messages.UpdateSubscription(
            track_id=track.id,
            max_height_px=max_height_px,
            priority=priority,
            paused=paused,
            max_fps=max_fps,
        )
        await self._signal.request(request, messages.Ok)

    async def mute(self, track: LocalTrack, muted: bool) -> None:
        if muted:
            track.apply_mute(True)
        await self._signal.request(messages.Mute(track_id=track.id, muted=muted), messages.Ok)
        track.apply_mute(muted)

    async def unpublish(self, track: LocalTrack) -> None:
        if self._own.forget(track.id) is not None:
            await self._signal.request(messages.Unpublish(track_id=track.id), messages.Ok)
            await self._own.negotiate()

    # What the media stack says (media.MediaListener).

    def wants(self, mid: str) -> bool:
        track = self._roster.by_mid.get(mid)
        return track is not None and track.read

    def on_audio(self, mid: str, frame: AudioFrame) -> None:
        track = self._roster.by_mid.get(mid)
        if track is not None:
            track.push_audio(frame)

    def on_video(self, mid: str, frame: VideoFrame) -> None:
        track = self._roster.by_mid.get(mid)
        if track is not None:
            track.push_video(frame)

    def on_media_state(self, state: MediaState) -> None:
        self._emit(MediaStateChanged(state))

    # What the server says (signal.SignalHandler).

    def on_event(self, event: messages.Event) -> None:
        match event:
            case messages.Moved():
                self._apply_state(event.state)
            case messages.Participants():
                self._apply_participants(event)
            case messages.Subscribed():
                self._roster.bind(event.track_id, event.mid)
            case messages.Unsubscribed():
                self._roster.unbind(event.track_id)
            case messages.SectionsNeeded():
                self._add_sections(event.audio, event.video)
            case messages.SubscriptionFailed():
                track = self._roster.tracks.get(event.track_id)
                if track is not None:
                    self._emit(SubscriptionFailed(track, event.code, event.message))
            case messages.Speakers():
                levels = tuple((speaker.identity, speaker.level) for speaker in event.speakers)
                self._emit(SpeakersChanged(levels))
            case messages.Quality():
                qualities = tuple((each.identity, each.quality) for each in event.participants)
                self._emit(QualityChanged(qualities))
            case messages.StreamState():
                track = self._roster.tracks.get(event.track_id)
                if track is not None:
                    paused = event.state == "paused"
                    self._emit(StreamStateChanged(track, paused, event.height, event.message))
            case messages.RoomUpdate():
                self._room = event.room
                self._emit(RoomUpdated(event.room))
            case messages.PermissionsUpdate():
                self._me = self.me.model_copy(update={"permissions": event.permissions})
                self._emit(PermissionsChanged(event.permissions))
            case messages.Muted():
                own = self.local_tracks.get(event.track_id)
                if own is not None:
                    own.apply_mute(event.muted)
                    self._emit(MutedByServer(own))
            case messages.Unpublished():
                ended = self._own.forget(event.track_id)
                if ended is not None:
                    self._spawn(self._own.negotiate())
                    self._emit(UnpublishedByServer(ended, event.code, event.message))
            case messages.DataReceived():
                self._emit(DataReceived(event.payload, event.topic, event.identity, event.reliable))

    def on_lost(self) -> None:
        self._emit(Reconnecting())

    def on_resumed(self, resumed: messages.Resumed) -> None:
        if resumed.state is not None:
            self._apply_state(resumed.state)
        self._emit(Reconnected())

    def on_ended(self, code: str, message: str, *, rejoin: bool) -> None:
        self._finish(Disconnected(code, message, rejoin))
        self._spawn(self.media.close())

    # How it is done.

    @property
    def _own(self) -> Publisher:
        if self._publisher is None:
            raise ClosedError("not_joined", "the room has not been joined")
        return self._publisher

    def _apply_state(self, state: messages.State) -> None:
        self._room, self._me = state.room, state.participant
        self._roster.replace(state)

    def _apply_participants(self, change: messages.Participants) -> None:
        for info in (*change.joined, *change.updated):
            if info.id == self.me.id and info.version >= self.me.version:
                self._me = info
        self._roster.apply(change)

    def _add_sections(self, audio: int, video: int) -> None:
        have = self._receive
        self._receive = (have[0] + audio, have[1] + video)
        self.media.receive(audio=self._receive[0], video=self._receive[1])
        self._spawn(self._own.negotiate())

    @property
    def _identity(self) -> str:
        return self.me.identity

    def _emit(self, event: RoomEvent) -> None:
        if isinstance(event, ParticipantLeft):
            self._sender_left(event.participant.identity)
        for stream in tuple(self._streams):
            stream.push(event)

    def _finish(self, event: Disconnected) -> None:
        if self._disconnected is None:
            self._disconnected = event
            self._roster.end()
            self._sender_left()
            self._emit(event)
            for stream in tuple(self._streams):
                stream.end()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except RoomError as error:
                _log.warning("room %s: %s", self._room.name if self._room else "?", error)

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def warm_up() -> None:
    """Import what the first room needs, which takes as long as a join.

    What is imported stays: the garbage collector need not look at it again, which takes longer than a packet.
    """
    media_factory()
    gc.collect()
    gc.freeze()
