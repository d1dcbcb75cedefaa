"""Every setting: one model per subsystem, each field with unit, default and reason.

Unknown keys are refused, so that a misspelt one cannot be ignored silently.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FilePath, model_validator


def _ip(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError("must be an IP address, not a name and without a port") from None


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value


IpAddress = Annotated[str, AfterValidator(_ip)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
PublishCodec = Literal["opus", "vp8", "h264", "vp9", "av1", "h265"]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Base of all: no unknown keys, no edits, field docstrings as descriptions."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class HttpSettings(Section):
    """Signaling, server API, page and metrics."""

    host: str = "0.0.0.0"
    """Address to listen at; the default is every IPv4 one, `::` every one."""
    port: Port = 7880
    """TCP port of HTTP and WebSocket; 0 picks a free one."""
    tls_cert: Path | None = None
    """PEM certificate chain. Browsers give no camera to a page off localhost without HTTPS."""
    tls_key: Path | None = None
    """PEM private key that belongs to it."""
    metrics_port: Port | None = None
    """A second port for /metrics alone, so that it need not be public; unset: on the main port."""
    metrics_interval_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0
    """Between two readings of the packet plane's figures for /metrics; a scrape is usually every 15 s."""
    page: bool = True
    """Serve the demo page and the browser client."""

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key are needed together")
        return self


class RtcSettings(Section):
    """Media: where packets come in, and what clients are told about it."""

    bind: Annotated[tuple[IpAddress, ...], Field(min_length=1)] = ("0.0.0.0",)
    """Addresses to receive media at."""
    port: Port = 7882
    """UDP port of all media; 0 picks a free one. With `port_per_worker` the first of a row."""
    port_per_worker: bool = False
    """One UDP port for each worker, counted up from `port`, in place of one for all."""
    workers: Annotated[int, Field(ge=0, le=255)] = 0
    """Packet workers; 0: one per CPU core."""
    room_share: PositiveCount = 50
    """Participants of one room on a worker before the next worker gets some. Small rooms stay on one: a
    packet between two workers costs a hand-over; a large room needs more than one core."""
    voices: Annotated[int, Field(ge=0, le=64)] = 6
    """In a room of more than 16 publishers of sound, so many of them are forwarded at once: those who speak,
    and those whom a subscriber asks for with a priority of 200 or more. 0: all, always."""
    congestion_control: bool = True
    """Send each client no more than its network takes: packets are paced and video layers chosen by
    bitrate, from the client's feedback. Off: layers follow the size of the picture only."""
    announce: tuple[IpAddress, ...] = ()
    """IP addresses given to clients. Empty: every address of this machine that is not loopback.
    Must be set where a container or NAT hides the public one."""
    announce_loopback: bool = False
    """Also tell clients 127.0.0.1. On in `airside dev`, where everything is one machine."""


class RoomPreset(Section):
    """A named configuration of rooms. What is left out is as in `room`."""

    metadata: str = ""
    """Describes the room to applications."""
    empty_timeout_s: Seconds | None = None
    """A room nobody has entered yet ends after this long."""
    departure_timeout_s: Seconds | None = None
    """A room the last participant has left ends after this long."""
    max_participants: Count | None = None
    """Most participants at once; 0: no limit."""
    sync_streams: bool = False
    """A participant's sound and picture are played in sync by LiveKit clients."""
    min_playout_delay_ms: Annotated[int, Field(ge=0, le=40_950)] = 0
    """Receivers hold video back for at least this long; 0: as short as their network allows."""
    max_playout_delay_ms: Annotated[int, Field(ge=0, le=40_950)] = 0
    """And for at most this long; 0: as long as it takes."""


class RoomSettings(Section):
    """Defaults of new rooms; the server API may choose others per room."""

    auto_create: bool = True
    """Joining creates the room. If false, only the server API does."""
    empty_timeout_s: Seconds = 300.0
    """A room nobody has entered yet ends after this long."""
    departure_timeout_s: Seconds = 20.0
    """A room the last participant has left ends after this long."""
    max_participants: Count = 0
    """Most participants at once, agents and recorders apart; 0: no limit."""
    enabled_codecs: Annotated[tuple[PublishCodec, ...], Field(min_length=1)] = (
        "opus",
        "vp8",
        "h264",
        "vp9",
        "av1",
        "h265",
    )
    """What may be published, most usual first."""
    presets: dict[Annotated[str, Field(min_length=1)], RoomPreset] = Field(default_factory=dict)
    """Configurations by the name that a token's `roomPreset` or a request of the server API gives.
    Under each name:"""
    remote_unmute: bool = False
    """LiveKit's server API may unmute somebody's track. As in LiveKit, off: a microphone is its owner's."""


class SessionSettings(Section):
    """One client's connection."""

    resume_window_s: Seconds = 30.0
    """How long media and membership survive a lost WebSocket."""
    replay_events: PositiveCount = 512
    """Events kept for a client that resumes; if more were missed it gets the whole state."""
    connect_timeout_s: Seconds = 30.0
    """From the first offer to a connected transport; then the participant is told to join again."""
    ping_interval_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """Between the server's WebSocket pings; proxies cut what is silent for a minute."""
    ping_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 15.0
    """No pong for this long: the WebSocket is lost, the session may be resumed."""
    join_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """From the open WebSocket to its first message."""


class LimitSettings(Section):
    """What one client may make us hold. Beyond it is refused by name, never cut silently."""

    rooms: Count = 0
    """Most rooms on this node; 0: no limit."""
    participants: Count = 0
    """Most participants on this node; 0: no limit."""
    tracks_per_participant: PositiveCount = 20
    """Tracks one participant may publish at once."""
    expected_tracks: PositiveCount = 4096
    """Tracks one participant may have asked for or declined, those included that are not published."""
    audience_entries: PositiveCount = 4096
    """Names and tracks in one publisher's list of who may have its tracks."""
    journal_entries: PositiveCount = 10_000
    """Events kept for `/api/v1/events`; about 1 kB each."""
    sections: Annotated[int, Field(ge=1, le=200)] = 200
    """Media sections of one transport, in and out together."""
    sdp_bytes: PositiveCount = 256 * 1024
    """Longest session description."""
    name_characters: PositiveCount = 256
    """Longest room name, identity, participant or track name. As in LiveKit."""
    metadata_bytes: Count = 512 * 1024
    """Longest metadata of a room or participant, in UTF-8. As in LiveKit."""
    attributes_bytes: Count = 64 * 1024
    """All attribute keys and values of one participant together, in UTF-8. As in LiveKit."""
    topic_bytes: Annotated[int, Field(ge=1, le=256)] = 256
    """Longest topic of a data message, in UTF-8."""
    data_bytes: PositiveCount = 64 * 1024
    """Longest data message. Larger ones block a client's channel for too long."""
    message_bytes: PositiveCount = 2 * 1024 * 1024
    """Longest signaling message from a client. As in LiveKit."""
    api_body_bytes: PositiveCount = 10 * 1024 * 1024
    """Longest body of a server API request. As in LiveKit."""
    messages_per_second: PositiveCount = 50
    """Signaling messages of one client, averaged over ten seconds."""
    queue_messages: PositiveCount = 1024
    """Events that may wait for a slow reader before it is cut off."""
    queue_bytes: PositiveCount = 8 * 1024 * 1024
    """The same in bytes."""


class WebhookSettings(Section):
    """Events as LiveKit's webhooks, signed, in order per room; each URL by itself."""

    urls: tuple[HttpUrl, ...] = ()
    """Where to send them; none: nowhere."""
    api_key: str = ""
    """The API key that signs them; empty: the first one."""
    queue_events: PositiveCount = 1000
    """Events of one room that may wait for one URL; then the oldest are dropped. The next event that arrives
    there says how many in `numDropped`, and the metric `airside_webhooks_total` counts them."""
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """For one attempt."""
    attempts: PositiveCount = 6
    """Of one event at one URL, with twice the pause after each; then it is dropped and counted as above."""


class AgentSettings(Section):
    """Agent workers and their jobs."""

    answer_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """For a worker to say whether it takes a job; then another is asked. As in LiveKit."""
    join_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0
    """From a taken job to its agent in the room; models are loaded meanwhile. Then another worker gets it."""
    lost_timeout_s: Seconds = 5.0
    """An agent whose worker is gone may stay in its room so long for the worker to come back, which LiveKit's
    tries at once and after 2 s. Then it is removed, and another worker gets the job."""
    leave_timeout_s: Seconds = 10.0
    """For an agent to leave when its job has ended; then it is removed. Also for a worker to say how a job
    ended whose agent has left."""
    attempts: PositiveCount = 5
    """A job that fails so often has failed."""
    per_room: PositiveCount = 100
    """Agents that may be asked for in one room."""
    region: str = ""
    """Where this server is, in words of your own: of the workers that can take a job, one that names the same
    region is asked first."""
    embedded: tuple[FilePath, ...] = ()
    """Python files with a worker each, run beside the server as `airside agent start` does; started again
    when they end. Their media passes through memory shared with it. For small set-ups: large ones run workers
    on machines of their own."""


class AuthSettings(Section):
    """How access tokens are checked."""

    leeway_s: Seconds = 60.0
    """Tolerated difference of clocks. As in LiveKit."""


class LogSettings(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important message written. Addresses and descriptions appear at debug only."""
    json_lines: bool = False
    """One JSON object a line, for collectors, in place of text for people."""


class ShutdownSettings(Section):
    """What happens at SIGTERM."""

    deadline_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    """Clients are told, transports closed and workers joined within this; then the process goes anyway."""


class Settings(Section):
    """The whole configuration."""

    http: HttpSettings = HttpSettings()
    rtc: RtcSettings = RtcSettings()
    keys: dict[Annotated[str, Field(min_length=1)], Annotated[str, Field(min_length=1)]] = Field(
        default_factory=dict
    )
    """API key to secret. Tokens are signed with a secret and name its key; several may be valid at once."""
    auth: AuthSettings = AuthSettings()
    room: RoomSettings = RoomSettings()
    session: SessionSettings = SessionSettings()
    limits: LimitSettings = LimitSettings()
    webhook: WebhookSettings = WebhookSettings()
    agents: AgentSettings = AgentSettings()
    log: LogSettings = LogSettings()
    shutdown: ShutdownSettings = ShutdownSettings()

    @model_validator(mode="after")
    def _webhooks_are_signed(self) -> Self:
        if self.webhook.api_key and self.webhook.api_key not in self.keys:
            raise ValueError("webhook.api_key names no key of keys")
        return self
