"""The Python client: join a room, publish and receive PCM and pictures, exchange data.

    from sfu.agents import PcmSource, Room, TrackSubscribed

    async with Room.connect("ws://localhost:7880", token) as room:
        ...

Needs the extra `agents` (aiortc, PyAV, NumPy).
"""

from sfu.agents.audio import AudioFrame, PcmSource
from sfu.agents.data_streams import ByteReader, TextReader, Writer
from sfu.agents.errors import (
    ClosedError,
    ConnectError,
    MediaError,
    RequestError,
    RoomError,
    RpcError,
    SignalLostError,
    StreamError,
)
from sfu.agents.events import (
    DataReceived,
    Disconnected,
    MediaStateChanged,
    MutedByServer,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantUpdated,
    PermissionsChanged,
    QualityChanged,
    Reconnected,
    Reconnecting,
    RoomEvent,
    RoomUpdated,
    SpeakersChanged,
    StreamStateChanged,
    SubscriptionFailed,
    TrackMuted,
    TrackPublished,
    TrackSubscribed,
    TrackUnpublished,
    TrackUnsubscribed,
    TranscriptionReceived,
    UnpublishedByServer,
)
from sfu.agents.job import Accept, JobContext, JobInfo
from sfu.agents.publishing import Publication
from sfu.agents.room import Room
from sfu.agents.rpc import RpcCall
from sfu.agents.tracks import LocalTrack, Participant, RemoteTrack
from sfu.agents.turns import Sentence, SpeechBegan, TurnDetector
from sfu.agents.video import VideoFrame, VideoSource
from sfu.agents.worker import Worker

__all__ = [
    "Accept",
    "AudioFrame",
    "ByteReader",
    "ClosedError",
    "ConnectError",
    "DataReceived",
    "Disconnected",
    "JobContext",
    "JobInfo",
    "LocalTrack",
    "MediaError",
    "MediaStateChanged",
    "MutedByServer",
    "Participant",
    "ParticipantJoined",
    "ParticipantLeft",
    "ParticipantUpdated",
    "PcmSource",
    "PermissionsChanged",
    "Publication",
    "QualityChanged",
    "Reconnected",
    "Reconnecting",
    "RemoteTrack",
    "RequestError",
    "Room",
    "RoomError",
    "RoomEvent",
    "RoomUpdated",
    "RpcCall",
    "RpcError",
    "Sentence",
    "SignalLostError",
    "SpeakersChanged",
    "SpeechBegan",
    "StreamError",
    "StreamStateChanged",
    "SubscriptionFailed",
    "TextReader",
    "TrackMuted",
    "TrackPublished",
    "TrackSubscribed",
    "TrackUnpublished",
    "TrackUnsubscribed",
    "TranscriptionReceived",
    "TurnDetector",
    "UnpublishedByServer",
    "VideoFrame",
    "VideoSource",
    "Worker",
    "Writer",
]
