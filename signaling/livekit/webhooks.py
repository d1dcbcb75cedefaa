"""Events as LiveKit's webhooks: signed, in order per room and URL, retried; counted when they are dropped."""

import asyncio
import base64
import hashlib
import json
import logging
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum

import httpx
from google.protobuf import json_format
from livekit.protocol import models, webhook

from sfu.core.clock import Clock
from sfu.core.ids import RoomSid
from sfu.core.journal import Journal
from sfu.participants.happenings import Happening, Kind
from sfu.participants.sink import LeaveCode
from sfu.settings.models import Settings, WebhookSettings
from sfu.telemetry.metrics import Metrics
from signaling.auth import Authenticator
from signaling.livekit import mapping

log = logging.getLogger(__name__)

CONTENT_TYPE = "application/webhook+json"
SEQUENCE_HEADER = "X-Airside-Sequence"
"""The event's number in the journal, for `/api/v1/events?after=`."""
DETAILS_FIELD = "airsideDetails"
"""What LiveKit's message has no place for."""
TOKEN_VALIDITY_S = 300.0
FIRST_PAUSE_S = 0.5
ACCEPTED = range(200, 300)

_END_REASONS = {
    LeaveCode.ROOM_DELETED: models.RoomEndReason.ROOM_END_API_DELETE,
    LeaveCode.ROOM_CLOSED: models.RoomEndReason.ROOM_END_IDLE_TIMEOUT,
    LeaveCode.SERVER_SHUTDOWN: models.RoomEndReason.ROOM_END_SERVER_SHUTDOWN,
}


class Outcome(StrEnum):
    """What became of one event at one URL."""

    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    """Its receiver took it at none of the attempts."""
    CROWDED_OUT = "crowded_out"
    """Too many waited behind it."""


@dataclass(slots=True)
class _Queue:
    """One room's events on their way to one URL."""

    waiting: deque[tuple[int, Happening]] = field(default_factory=deque)
    dropped: int = 0
    """Since the last one that arrived."""
    task: asyncio.Task[None] | None = None


class WebhookSender:
    """Listens to the journal. Each room has a task for each URL while something waits for that."""

    def __init__(
        self,
        settings: WebhookSettings,
        api_key: str,
        authenticator: Authenticator,
        clock: Clock,
        client: httpx.AsyncClient,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._api_key = api_key
        self._authenticator = authenticator
        self._clock = clock
        self._client = client
        self._metrics = metrics
        self._urls = tuple(dict.fromkeys(str(url) for url in settings.urls))
        self._queues: dict[tuple[RoomSid, str], _Queue] = {}
        self._open: set[RoomSid] = set()

    def handle(self, seq: int, event: Happening) -> None:
        """An entry of the journal."""
        room = event.room.sid
        if event.kind is Kind.ROOM_FINISHED:
            self._open.discard(room)
        elif event.kind is Kind.ROOM_STARTED:
            self._open.add(room)
        for url in self._urls:
            queue = self._queues.setdefault((room, url), _Queue())
            if len(queue.waiting) >= self._settings.queue_events:
                queue.waiting.popleft()
                self._drop(queue, Outcome.CROWDED_OUT)
            queue.waiting.append((seq, event))
            if queue.task is None:
                queue.task = asyncio.get_running_loop().create_task(self._send_all(room, url, queue))

    async def close(self, deadline_s: float) -> None:
        """Send what waits, as far as the time allows."""
        tasks = [queue.task for queue in self._queues.values() if queue.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline_s)
            for task in late:
                task.cancel()
        await self._client.aclose()

    async def _send_all(self, room: RoomSid, url: str, queue: _Queue) -> None:
        while queue.waiting:
            seq, event = queue.waiting.popleft()
            told = queue.dropped
            if await self._deliver(url, seq, encode_body(seq, event, told)):
                # Others may have been dropped meanwhile.
                queue.dropped -= told
                self._metrics.webhook_handled(Outcome.DELIVERED)
            else:
                self._drop(queue, Outcome.GIVEN_UP)
        queue.task = None
        if not queue.dropped or room not in self._open:
            # Nobody is left to be told.
            del self._queues[room, url]

    def _drop(self, queue: _Queue, outcome: Outcome) -> None:
        queue.dropped += 1
        self._metrics.webhook_handled(outcome)

    async def _deliver(self, url: str, seq: int, body: bytes) -> bool:
        pause_s = FIRST_PAUSE_S
        for attempt in range(self._settings.attempts):
            if attempt:
                await asyncio.sleep(pause_s)
                pause_s *= 2
            try:
                answer = await self._client.post(url, content=body, headers=self._headers(seq, body))
            except httpx.HTTPError as error:
                log.debug("webhook %d: %s", seq, type(error).__name__)
                continue
            if answer.status_code in ACCEPTED:
                return True
        log.warning("webhook %d was given up after %d attempts", seq, self._settings.attempts)
        return False

    def _headers(self, seq: int, body: bytes) -> dict[str, str]:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        return {
            # The bare token: LiveKit's receivers know no `Bearer` here.
            "Authorization": self._authenticator.sign_body(
                self._api_key, digest, self._clock.wall(), TOKEN_VALIDITY_S
            ),
            "Content-Type": CONTENT_TYPE,
            "User-Agent": "LiveKit",
            SEQUENCE_HEADER: str(seq),
        }


def make_sender(
    settings: Settings, journal: Journal[Happening], clock: Clock, metrics: Metrics
) -> WebhookSender | None:
    """A sender that listens, if there is somewhere to send to."""
    hooks = settings.webhook
    if not hooks.urls or not settings.keys:
        return None
    api_key = hooks.api_key or next(iter(settings.keys))
    client = httpx.AsyncClient(timeout=hooks.timeout_s)
    sender = WebhookSender(hooks, api_key, Authenticator(settings.keys), clock, client, metrics)
    journal.listen(sender.handle)
    return sender


def encode_body(seq: int, event: Happening, dropped: int = 0) -> bytes:
    """The event as it is sent. Receivers pass over the fields that they do not know, as ours of jobs."""
    message = encode(seq, event)
    message.num_dropped = dropped
    body = json_format.MessageToDict(message)
    if event.details is not None:
        body[DETAILS_FIELD] = dict(event.details)
    return json.dumps(body, separators=(",", ":")).encode()


def encode(seq: int, event: Happening) -> webhook.WebhookEvent:
    """The event as LiveKit's receivers read it."""
    message = webhook.WebhookEvent(
        event=event.kind.value,
        id=f"EV_{event.room.sid.removeprefix('RM_')}{seq}",
        created_at=int(event.at),
        room=mapping.room(event.room),
    )
    if event.participant is not None:
        person = mapping.participant_info(event.participant)
        if event.kind in (Kind.PARTICIPANT_LEFT, Kind.PARTICIPANT_ABORTED):
            person.state = models.ParticipantInfo.State.DISCONNECTED
            person.disconnect_reason = mapping.disconnect_reason(event.reason)
        message.participant.CopyFrom(person)
    if event.track is not None:
        message.track.CopyFrom(mapping.track_info(event.track))
    if event.kind is Kind.ROOM_FINISHED and event.reason is not None:
        message.room_end_reason = _END_REASONS.get(event.reason, models.RoomEndReason.ROOM_END_UNKNOWN)
    return message
