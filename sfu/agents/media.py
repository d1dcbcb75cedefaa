"""What a room needs of a media stack. aiortc implements it; the packet plane in client role fits too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from sfu.agents.audio import AudioFrame, PcmSource
from sfu.agents.video import VideoFrame, VideoSource

MediaState = Literal["new", "connecting", "connected", "disconnected", "closed"]
VideoCodec = Literal["vp8", "h264"]

# The data channels speak LiveKit's DataPacket, under its labels: streams, calls and transcriptions reach
# clients of every kind that know them. The join says so.
RELIABLE_LABEL = "_reliable"
LOSSY_LABEL = "_lossy"


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that waits for its answer."""

    sdp: str
    mids: Mapping[str, str]
    """Section of each published source, by the cid that `send_audio` and `send_video` gave."""


class MediaListener(Protocol):
    """Who is told. Called on the event loop, and must return quickly."""

    def on_data(self, message: bytes, *, reliable: bool) -> None:
        """A message came on one of the data channels."""

    def on_media_state(self, state: MediaState) -> None:
        """The transport's state changed."""

    def wants(self, mid: str) -> bool:
        """Somebody reads what arrives in a section; else it need not be decoded."""

    def on_audio(self, mid: str, frame: AudioFrame) -> None:
        """Sound arrived in a section: 20 ms, 48 kHz."""

    def on_video(self, mid: str, frame: VideoFrame) -> None:
        """A picture arrived in a section."""


class Media(Protocol):
    """Media and data of one session: one transport, whose offers are always ours."""

    @property
    def local_ring(self) -> str:
        """Secret by which the server is asked for a transport on a ring that it gave this process; "" for one
        on the network."""

    def use_local_route(self, worker: int, route: int) -> None:
        """The server's answer to `local_ring`, before its answer to the offer."""

    def receive(self, *, audio: int, video: int) -> None:
        """Have at least so many sections that receive in the next offer."""

    def send_audio(self, source: PcmSource) -> str:
        """Publish a source with the next offer; its cid. Sections of ended sources are used again."""

    def send_video(self, source: VideoSource, codec: VideoCodec) -> str:
        """The same for pictures."""

    def stop_sending(self, cid: str) -> None:
        """End a source with the next offer; nothing of it is sent from now on."""

    async def offer(self) -> Offer:
        """Make an offer of what is wanted now."""

    async def accept(self, answer_sdp: str) -> None:
        """Take the answer to the last offer."""

    async def ready(self) -> None:
        """Wait until media can flow and both data channels are open.

        Raises:
            MediaError: The transport ended, or did not come up in time.
        """

    async def send_data(self, message: bytes, *, reliable: bool) -> None:
        """Send on a data channel; waits until it is open, and while too much is queued.

        Raises:
            MediaError: The transport ended, or did not come up in time.
        """

    async def close(self) -> None:
        """End the transport. May be called twice."""


MediaFactory = Callable[[MediaListener], Media]
