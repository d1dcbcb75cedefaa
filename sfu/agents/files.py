"""Plays a sound or video file into sources, in real time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from sfu.agents.audio import SAMPLE_RATE, PcmSource, Resampler
from sfu.agents.video import VideoSource

CHANNELS = 2  # files are music as often as speech


class FilePlayer:
    """One file. Decoding runs in a thread, a frame at a time; pacing is by sound's queue and by the clock."""

    def __init__(self, container: Any, *, repeat: bool) -> None:
        self._container = container
        self._repeat = repeat
        self._sound = next(iter(container.streams.audio), None)
        self._picture = next(iter(container.streams.video), None)
        self.audio = PcmSource(SAMPLE_RATE, CHANNELS) if self._sound is not None else None
        self.video = VideoSource() if self._picture is not None else None
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path | str, *, repeat: bool = False) -> FilePlayer:
        """Open a file that FFmpeg can read.

        Raises:
            OSError: It cannot be read.
            ValueError: It holds neither sound nor picture.
        """
        try:
            container = await asyncio.to_thread(av.open, str(path))
        except FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise ValueError(f"{path} is no media file: {error}") from error
        player = cls(container, repeat=repeat)
        if player.audio is None and player.video is None:
            container.close()
            raise ValueError(f"{path} holds neither sound nor picture")
        return player

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; zeros without picture."""
        return (self._picture.width, self._picture.height) if self._picture is not None else (0, 0)

    def start(self) -> None:
        """Begin to play."""
        self._task = asyncio.create_task(self._play())

    async def finished(self) -> None:
        """Wait for the end of the file, or for `stop`."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()

    async def _play(self) -> None:
        streams = [stream for stream in (self._sound, self._picture) if stream is not None]
        try:
            while True:
                await self._play_once(streams)
                if not self._repeat:
                    break
                await asyncio.to_thread(self._container.seek, 0)
            if self.audio is not None:
                await self.audio.drained()
        finally:
            self._container.close()

    async def _play_once(self, streams: list[Any]) -> None:
        loop = asyncio.get_running_loop()
        frames = self._container.decode(*streams)
        resampler = Resampler(SAMPLE_RATE, CHANNELS)
        start_s: float | None = None
        while (frame := await asyncio.to_thread(next, frames, None)) is not None:
            time_s = frame.time or 0.0
            start_s = loop.time() - time_s if start_s is None else start_s
            if isinstance(frame, av.AudioFrame):
                if self.audio is not None:
                    # Its queue holds a second, so sound is decoded that far ahead of the picture.
                    await self.audio.write(resampler.convert_frame(frame))
            elif self.video is not None:
                await asyncio.sleep(max(0.0, start_s + time_s - loop.time()))
                self.video.write(frame, start_s + time_s)
