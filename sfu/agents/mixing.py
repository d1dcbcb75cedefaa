"""Many voices into one stream of PCM, for who wants to hear a room and not its people."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable
from typing import TYPE_CHECKING

import numpy as np

from sfu.agents.audio import FRAME_S, LATE_S, AudioFrame
from sfu.agents.events import Disconnected, RoomEvent, TrackSubscribed, TrackUnsubscribed
from sfu.agents.streams import Stream
from sfu.agents.tracks import RemoteTrack

if TYPE_CHECKING:
    from sfu.agents.audio import Pcm

PEOPLE = frozenset({"standard", "ingress", "relay"})
FILL_S = 0.04  # of one voice before it is heard: rides out a packet that is late
MOST_S = 0.2  # of one voice; more is old, and is left out
FULL = 32767


class Mixer:
    """Adds voices up. Each waits in a queue of its own; one that has nothing is silent. Pure."""

    def __init__(self, sample_rate: int) -> None:
        self._frame = round(sample_rate * FRAME_S)
        self._fill = round(sample_rate * FILL_S)
        self._most = round(sample_rate * MOST_S)
        self._voices: dict[str, _Voice] = {}

    def push(self, voice: str, samples: Pcm) -> None:
        """More of one voice, mono, at the mixer's rate."""
        self._voices.setdefault(voice, _Voice()).push(samples[:, 0], self._most)

    def remove(self, voice: str) -> None:
        """It is over."""
        self._voices.pop(voice, None)

    def mix(self) -> Pcm:
        """The next 20 ms, of shape (samples, 1). What is too loud is cut off."""
        total = np.zeros(self._frame, np.int32)
        for voice in self._voices.values():
            part = voice.take(self._frame, self._fill)
            total[: len(part)] += part
        return np.clip(total, -FULL, FULL).astype(np.int16).reshape(-1, 1)


class _Voice:
    def __init__(self) -> None:
        self._queue: deque[Pcm] = deque()
        self._queued = 0
        self._begun = False

    def push(self, samples: Pcm, most: int) -> None:
        self._queue.append(samples)
        self._queued += len(samples)
        while self._queued > most:
            self._queued -= len(self._queue.popleft())

    def take(self, count: int, fill: int) -> Pcm:
        # After a gap it waits again, so that it is not cut up.
        self._begun = self._queued >= (count if self._begun else fill)
        if not self._begun:
            return np.zeros(0, np.int16)
        found = 0
        out = np.zeros(count, np.int16)
        while found < count:
            piece = self._queue.popleft()
            taken = piece[: count - found]
            out[found : found + len(taken)] = taken
            found += len(taken)
            if len(taken) < len(piece):
                self._queue.appendleft(piece[len(taken) :])
        self._queued -= count
        return out


class RoomMixer:
    """A mixer that follows who is heard in a room, and plays in real time."""

    def __init__(self, sample_rate: int, kinds: Collection[str]) -> None:
        self._rate = sample_rate
        self._kinds = kinds
        self._mixer = Mixer(sample_rate)
        self._readers: dict[str, asyncio.Task[None]] = {}
        self._follower: asyncio.Task[None] | None = None

    def follow(self, tracks: Iterable[RemoteTrack], events: Stream[RoomEvent]) -> None:
        """Mix these, and those that come."""
        for track in tracks:
            self._add(track)
        self._follower = asyncio.create_task(self._follow(events))

    async def frames(self) -> AsyncIterator[AudioFrame]:
        """20 ms when they are due, until the room is over."""
        loop = asyncio.get_running_loop()
        start_s, position = loop.time(), 0
        while self._follower is not None and not self._follower.done():
            position += 1
            late_s = loop.time() - start_s - position * FRAME_S
            if late_s > LATE_S:
                # The loop stood still; what it missed is not made up for.
                position += int(late_s / FRAME_S)
            elif late_s < 0:
                await asyncio.sleep(-late_s)
            yield AudioFrame(self._mixer.mix(), self._rate, (position - 1) * FRAME_S)

    def close(self) -> None:
        """Stop."""
        for task in (self._follower, *self._readers.values()):
            if task is not None:
                task.cancel()

    async def _follow(self, events: Stream[RoomEvent]) -> None:
        async for event in events:
            match event:
                case TrackSubscribed(track):
                    self._add(track)
                case TrackUnsubscribed(track) if (task := self._readers.pop(track.id, None)) is not None:
                    task.cancel()
                    self._mixer.remove(track.id)
                case Disconnected():
                    return
                case _:
                    continue

    def _add(self, track: RemoteTrack) -> None:
        if track.kind == "audio" and track.participant.kind in self._kinds and track.id not in self._readers:
            self._readers[track.id] = asyncio.create_task(self._read(track))

    async def _read(self, track: RemoteTrack) -> None:
        async for frame in track.audio(self._rate):
            self._mixer.push(track.id, frame.data)
