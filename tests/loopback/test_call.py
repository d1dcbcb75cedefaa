"""Two Python clients talk through a real server: what one says and shows, the other hears and sees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from sfu.agents import (
    ClosedError,
    DataReceived,
    Disconnected,
    MutedByServer,
    PcmSource,
    PermissionsChanged,
    Publication,
    Reconnected,
    RemoteTrack,
    Room,
    SpeakersChanged,
    UnpublishedByServer,
    VideoSource,
)
from sfu.agents.media_aiortc import AiortcMedia
from tests.loopback.rtp_tap import RtpTap
from tests.loopback.signals import correlation, picture, speech, square_position
from tests.loopback.waiting import until
from tests.support.server import Server, running_server

SAME_SOUND = 0.9  # one coding by Opus gives 0.96
TAIL_SAMPLES = 24_000  # half a second: more than the jitter buffer and codec delay sound by
LAYOUTS = {
    # Workers, and whether each has a port of its own.
    "one worker": (1, False),
    "two workers, one port": (2, False),
    "two workers, a port each": (2, True),
}


class Call:
    """A server and the rooms a test enters on it."""

    def __init__(self, server: Server, stack: AsyncExitStack) -> None:
        self.server = server
        self._stack = stack

    async def join(self, identity: str, room: str = "call", **options: Any) -> Room:
        grant = options.pop("grant", {})
        joined = await self._stack.enter_async_context(
            Room.connect(self.server.ws_url, self.server.token(room, identity, **grant), **options)
        )
        await joined.connected()
        return joined


@pytest_asyncio.fixture(params=list(LAYOUTS), scope="module", loop_scope="module")
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    folder: Path = tmp_path_factory.mktemp("server")
    workers, port_per_worker = LAYOUTS[request.param]
    async with running_server(folder, workers=workers, port_per_worker=port_per_worker) as running:
        yield running
    log = running.log.read_text()
    assert "ERROR" not in log, log
    assert "Traceback" not in log, log


@pytest.fixture
async def call(server: Server) -> AsyncIterator[Call]:
    async with AsyncExitStack() as stack:
        yield Call(server, stack)


async def bound_track(room: Room, kind: str) -> RemoteTrack:
    """The one track of a kind that arrives."""
    await until(lambda: any(track.subscribed and track.kind == kind for track in room.tracks.values()))
    return next(track for track in room.tracks.values() if track.subscribed and track.kind == kind)


async def say_and_hear(source: PcmSource, track: RemoteTrack, words: np.ndarray[Any, Any]) -> float:
    """Correlation of what was said with what was heard."""
    heard: list[np.ndarray[Any, Any]] = []
    with track.raw_audio() as stream:
        # Both directions are up before anything is said: a slot's first packets may come before it is known.
        for _ in range(10):
            await anext(stream)

        async def listen() -> None:
            async for frame in stream:  # one by one: how much there is is asked meanwhile
                heard.append(frame.data[:, 0])  # noqa: PERF401

        listening = asyncio.create_task(listen())
        await source.write(words)
        await source.drained()
        await until(lambda: sum(map(len, heard)) > len(words) + TAIL_SAMPLES)
        stream.end()
        await listening
    return correlation(words, np.concatenate(heard))


async def test_speech_both_ways_and_who_speaks(call: Call) -> None:
    voices = {"alice": PcmSource(), "bob": PcmSource()}
    alice = await call.join("alice", publish=[Publication(voices["alice"], "microphone")], media=AiortcMedia)
    bob = await call.join("bob", publish=[Publication(voices["bob"], "microphone")], media=AiortcMedia)
    tap_alice, tap_bob = RtpTap(alice), RtpTap(bob)
    words = {"alice": speech(), "bob": speech("The other side answers, and is heard as well.")}
    said, answered, _ = await asyncio.gather(
        say_and_hear(voices["alice"], await bound_track(bob, "audio"), words["alice"]),
        say_and_hear(voices["bob"], await bound_track(alice, "audio"), words["bob"]),
        bob.wait_for(SpeakersChanged, lambda event: any(name == "alice" for name, _ in event.speakers)),
    )
    assert said > SAME_SOUND
    assert answered > SAME_SOUND
    for sender, receiver in ((tap_alice, tap_bob), (tap_bob, tap_alice)):
        # The first few were on their way when the taps were put in.
        sent, received = sender.sent["audio"], receiver.received["audio"][10:]
        assert len(received) > 50
        assert contains_in_order(sent, received), "payload bytes in are payload bytes out"


def contains_in_order(sent: list[bytes], received: list[bytes]) -> bool:
    """Every received payload is a sent one, in the same order."""
    place = iter(sent)
    return all(any(payload == candidate for candidate in place) for payload in received)


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_moving_pictures(call: Call, codec: Any) -> None:
    camera = VideoSource()
    publication = Publication(camera, "camera", codec=codec, width=320, height=240)
    alice = await call.join("alice", publish=[publication], media=AiortcMedia)

    async def film() -> None:
        number = 0
        while True:
            camera.write(picture(number))
            number += 1
            await asyncio.sleep(1 / 25)

    filming = asyncio.create_task(film())
    try:
        bob = await call.join("bob", media=AiortcMedia)
        tap_alice, tap_bob = RtpTap(alice), RtpTap(bob)
        track = await bound_track(bob, "video")
        positions: set[float] = set()
        async with asyncio.timeout(20):
            async for frame in track.video():
                assert (frame.width, frame.height) == (320, 240)
                positions.add(round(square_position(frame.to_ndarray()), 2))
                if len(positions) > 20:
                    break
        received = tap_bob.received["video"]
        assert received
        late = received[len(received) // 2 :]
        assert contains_in_order(tap_alice.sent["video"], late), "payload bytes in are payload bytes out"
    finally:
        filming.cancel()


async def test_data_both_ways(call: Call) -> None:
    alice, bob, carol = [await call.join(name) for name in ("alice", "bob", "carol")]
    with bob.events() as to_bob, carol.events() as to_carol, alice.events() as to_alice:
        for number in range(20):
            await alice.send_data(bytes([number]) * 1200, topic="count")
        got = [await next_data(to_bob) for _ in range(20)]
        assert [event.payload[0] for event in got] == list(range(20))
        assert {(event.sender, event.topic, event.reliable) for event in got} == {("alice", "count", True)}
        await bob.send_data(b"only you", destinations=["alice"], topic="private")
        assert (await next_data(to_alice)).payload == b"only you"
        await bob.send_data(b"quick", reliable=False)
        quick = await next_data(to_alice)
        assert (quick.payload, quick.reliable) == (b"quick", False)
        topics = {(await next_data(to_carol)).topic for _ in range(21)}
        assert topics == {"count", ""}, "what was for alice only did not reach carol"


async def next_data(stream: Any) -> DataReceived:
    async with asyncio.timeout(10):
        async for event in stream:
            if isinstance(event, DataReceived):
                return event
    raise AssertionError("the room ended")


async def test_mute_stops_the_sound(call: Call) -> None:
    voice = PcmSource()
    alice = await call.join("alice", publish=[Publication(voice, "microphone")])
    bob = await call.join("bob")
    track = await bound_track(bob, "audio")
    (own,) = alice.local_tracks.values()
    with track.raw_audio() as stream:
        await anext(stream)
        await own.mute()
        await until(lambda: track.muted)
        await asyncio.sleep(0.3)
        stream.dropped, before = 0, len(stream._items)
        await asyncio.sleep(0.5)
        assert len(stream._items) == before
        await own.unmute()
        await until(lambda: len(stream._items) > before)
    muted = asyncio.create_task(alice.wait_for(MutedByServer))
    path = f"/rooms/call/participants/alice/tracks/{own.id}"
    await call.server.api("PATCH", path, room="call", json={"muted": True})
    assert (await muted).track is own


async def test_kick_and_permission_change(call: Call) -> None:
    voice = PcmSource()
    alice = await call.join("alice", publish=[Publication(voice, "microphone")])
    bob = await call.join("bob")
    await bound_track(bob, "audio")
    ended = asyncio.create_task(alice.wait_for(UnpublishedByServer))
    changed = asyncio.create_task(alice.wait_for(PermissionsChanged))
    await call.server.api(
        "PATCH", "/rooms/call/participants/alice", room="call", json={"permissions": {"can_publish": False}}
    )
    assert (await ended).code == "permission_denied"
    assert not (await changed).permissions.can_publish
    await until(lambda: not bob.tracks)
    removed = asyncio.create_task(alice.wait_for(Disconnected))
    await call.server.api("DELETE", "/rooms/call/participants/alice", room="call")
    assert (await removed).code == "removed"
    await until(lambda: "alice" not in bob.participants)


async def test_duplicate_identity_replaces_the_older(call: Call) -> None:
    bob = await call.join("bob")
    first = await call.join("alice", publish=[Publication(PcmSource(), "microphone")])
    old = (await bound_track(bob, "audio")).id
    ended = asyncio.create_task(first.wait_for(Disconnected))
    await call.join("alice", publish=[Publication(PcmSource(), "microphone")])
    assert (await ended).code == "duplicate_identity"
    await until(lambda: any(track.subscribed and track.id != old for track in bob.tracks.values()))
    with pytest.raises(ClosedError):
        await first.update_me(name="gone")


async def test_resume_does_not_touch_media(call: Call) -> None:
    """Judged by packets, not by the clock: a machine that is busy elsewhere delays them all."""
    voice = PcmSource()
    alice = await call.join("alice", publish=[Publication(voice, "microphone")])
    bob = await call.join("bob", media=AiortcMedia)
    track = await bound_track(bob, "audio")
    tap = RtpTap(bob)
    numbers = tap.numbers["audio"]
    await until(lambda: len(numbers) > 20)
    for room in (alice, bob):
        back = asyncio.create_task(room.wait_for(Reconnected))
        await room._signal.drop()
        await back
    count = len(numbers)
    await until(lambda: len(numbers) > count + 50)
    assert len({ssrc for ssrc, _ in numbers}) == 1, "one stream all along"
    steps = {(later - earlier) % 2**16 for (_, earlier), (_, later) in pairwise(numbers)}
    assert steps == {1}, "every packet came, each once, while the WebSockets were away"
    assert track.subscribed
    late = await alice.publish_audio(PcmSource(), name="after")
    await until(lambda: late.id in bob.tracks and bob.tracks[late.id].subscribed)


async def test_tracks_beyond_the_first_sections(call: Call) -> None:
    sources = [PcmSource() for _ in range(5)]
    await call.join("alice", publish=[Publication(each, "microphone") for each in sources])
    bob = await call.join("bob", receive=(2, 1))
    await until(lambda: sum(track.subscribed for track in bob.tracks.values()) == 5)
    for track in bob.tracks.values():
        with track.raw_audio() as stream:
            async with asyncio.timeout(10):
                await anext(stream)


async def test_a_file_is_played(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "clip.mkv"
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=320x240:rate=15:duration=4",
        "-f", "lavfi", "-i", "sine=frequency=440:duration=4", "-c:v", "mpeg4", "-c:a", "pcm_s16le", str(path),
    )  # fmt: skip
    assert await process.wait() == 0
    alice, bob = await call.join("alice"), await call.join("bob")
    tracks = await alice.publish_file(path)
    assert {track.info.kind for track in tracks} == {"audio", "video"}
    sound, pictures = await bound_track(bob, "audio"), await bound_track(bob, "video")
    loud = 0
    async with asyncio.timeout(10):
        async for frame in sound.audio(16000):
            assert frame.sample_rate == 16000
            loud += int(np.abs(frame.data).max() > 1000)
            if loud > 20:
                break
        async for shown in pictures.video():
            assert shown.width == 320
            break
