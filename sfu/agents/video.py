"""Pictures in and out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from av import VideoFrame as AvFrame

from sfu.agents.errors import SourceEndedError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class VideoFrame:
    """A decoded picture."""

    picture: AvFrame
    timestamp_s: float
    """Media time, from the start of the stream."""

    @property
    def width(self) -> int:
        """Pixels."""
        return int(self.picture.width)

    @property
    def height(self) -> int:
        """Pixels."""
        return int(self.picture.height)

    def to_ndarray(self, pixel_format: str = "rgb24") -> NDArray[Any]:
        """The pixels, for `rgb24` with the shape (height, width, 3)."""
        return self.picture.to_ndarray(format=pixel_format)


class VideoSource:
    """Pictures to publish. What is not sent when the next comes is dropped: fresh before complete."""

    def __init__(self) -> None:
        self._newest: VideoFrame | None = None
        self._arrived = asyncio.Event()
        self._enabled = True
        self._closed = False

    def write(self, picture: AvFrame | NDArray[Any], timestamp_s: float | None = None) -> None:
        """Show this picture from now on.

        Args:
            picture: A PyAV frame, or an array of shape (height, width, 3), RGB, 8 bits.
            timestamp_s: Media time, rising; now when absent.
        """
        if not isinstance(picture, AvFrame):
            picture = AvFrame.from_ndarray(picture, format="rgb24")
        if timestamp_s is None:
            timestamp_s = asyncio.get_running_loop().time()
        if self._enabled:
            self._newest = VideoFrame(picture, timestamp_s)
            self._arrived.set()

    def enable(self, enabled: bool) -> None:
        """Muted sources send nothing."""
        self._enabled = enabled

    def close(self) -> None:
        """End it: `read` raises."""
        self._enabled, self._closed = False, True
        self._arrived.set()

    async def read(self) -> VideoFrame:
        """The next picture. For media backends.

        Raises:
            SourceEndedError: `close` was called.
        """
        while self._newest is None:
            if self._closed:
                raise SourceEndedError
            self._arrived.clear()
            await self._arrived.wait()
        frame, self._newest = self._newest, None
        return frame
