"""What waits to be read by one client: bounded in messages and in bytes. Sans-IO."""

from collections import deque


class Outbox:
    """First in, first out. `put` refuses what would pass a bound; the caller then cuts the reader off."""

    __slots__ = ("_bytes", "_frames", "_max_bytes", "_max_frames")

    def __init__(self, max_frames: int, max_bytes: int) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._max_frames = max_frames
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._bytes

    def put(self, frame: bytes) -> bool:
        """Add a frame; False when it would pass a bound, and then nothing is added."""
        if len(self._frames) >= self._max_frames or self._bytes + len(frame) > self._max_bytes:
            return False
        self._frames.append(frame)
        self._bytes += len(frame)
        return True

    def pop(self) -> bytes | None:
        """The oldest frame; None when nothing waits."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame

    def clear(self) -> None:
        """Forget everything that waits."""
        self._frames.clear()
        self._bytes = 0
