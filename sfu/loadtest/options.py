"""What a load test does."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sfu.dataplane.commands import VideoLayer
from sfu.loadtest.network import Network

DEFAULT_URL = "ws://127.0.0.1:7880"
DEFAULT_LAYERS = (
    VideoLayer(bitrate_bps=150_000, fps=15, height_px=180),
    VideoLayer(bitrate_bps=500_000, fps=30, height_px=360),
    VideoLayer(bitrate_bps=1_700_000, fps=30, height_px=720),
)
"""What libwebrtc's simulcast of a 720p camera comes to."""
MAX_TRACKS_PER_SUBSCRIBER = 198
"""Sections of one transport that the server takes, less the data channel and one to spare."""


class NetworkOf(StrEnum):
    """Whose network it is."""

    EVERYONE = "everyone"
    PUBLISHERS = "publishers"
    SUBSCRIBERS = "subscribers"


@dataclass(frozen=True, slots=True)
class Options:
    """Publishers and subscribers are per room; every subscriber of a room gets every track in it."""

    api_key: str
    api_secret: str
    url: str = DEFAULT_URL
    room: str = "load"
    """Name of the room, or with a number behind it of each of several."""
    rooms: int = 1
    audio_publishers: int = 1
    video_publishers: int = 0
    subscribers: int = 1
    data_publishers: int = 0
    """Clients that send data messages to everyone else in the room."""
    data_rate: float = 10.0
    """Messages a second of each."""
    data_bytes: int = 100
    """Payload of each, its send time included."""
    data_reliable: bool = True
    """Over the ordered channel that loses nothing."""
    layers: tuple[VideoLayer, ...] = DEFAULT_LAYERS
    """Of each published video, lowest quality first; more than one is simulcast."""
    audio_bytes: int = 100
    """Payload of each audio packet; Opus speech at 40 kbit/s."""
    duration_s: float = 30.0
    """Measured, after everybody has joined."""
    joins_per_s: float = 50.0
    workers: int = 1
    """Threads that carry the clients' media."""
    network: Network | None = None
    """What lies between each client and the server; None: nothing."""
    network_of: NetworkOf = NetworkOf.EVERYONE
    seed: int = 1
    """Of the network: with it and the same packets, the same ones are lost."""
    metrics_url: str | None = None
    """The server's /metrics, for its processor time; None: beside `url`."""

    @property
    def tracks(self) -> int:
        """Published in each room, as many a subscriber receives."""
        return self.audio_publishers + self.video_publishers

    @property
    def clients(self) -> int:
        """In all rooms together."""
        return self.rooms * self.members

    @property
    def members(self) -> int:
        """Of each room."""
        return self.tracks + self.data_publishers + self.subscribers
