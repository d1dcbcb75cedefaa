"""Events as LiveKit's webhooks: signed, in order per room, retried; counted when they are dropped."""

import asyncio
import base64
import hashlib
import json
import logging
from collections import deque
from dataclasses import dataclass, field

import httpx
from google.protobuf import json_format
from livekit.protocol import models, webhook

from sfu.core.clock import Clock
from sfu.core.ids import RoomSid
from sfu.core.journal import Journal
from sfu.participants.happenings import Happening, Kind
from sfu.participants.sink import LeaveCode
from sfu.settings.models import Settings, WebhookSettings
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


@dataclass(slots=True)
class _Queue:
    """One room's events on their way."""

    waiting: deque[tuple[int, Happening]] = field(default_factory=deque)
    dropped: int = 0
    task: asyncio.Task[None] | None = None


class WebhookSender:
    """Listens to the journal. Each room has a task while something of it waits."""

    def __init__(
        self,
        settings: WebhookSettings,
        api_key: str,
        authenticator: Authenticator,
        clock: Clock,
        client: httpx.AsyncClient,
    ) -> None:
        self._settings = settings
        self._api_key = api_key
        self._authenticator = authenticator
        self._clock = clock
        self._client = client
        self._queues: dict[RoomSid, _Queue] = {}

    def handle(self, seq: int, event: Happening) -> None:
        """An entry of the journal."""
        queue = self._queues.setdefault(event.room.sid, _Queue())
        if len(queue.waiting) >= self._settings.queue_events:
            queue.waiting.popleft()
            queue.dropped += 1
        queue.waiting.append((seq, event))
        if queue.task is None:
            queue.task = asyncio.get_running_loop().create_task(self._send_all(event.room.sid, queue))

    async def close(self, deadline_s: float) -> None:
        """Send what waits, as far as the time allows."""
        tasks = [queue.task for queue in self._queues.values() if queue.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=deadline_s)
            for task in late:
                task.cancel()
        await self._client.aclose()

    async def _send_all(self, room: RoomSid, queue: _Queue) -> None:
        while queue.waiting:
            seq, event = queue.waiting.popleft()
            body = encode_body(seq, event, queue.dropped)
            queue.dropped = 0
            for url in self._settings.urls:
                if not await self._deliver(url, seq, body):
                    queue.dropped += 1
        del self._queues[room]

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


def make_sender(settings: Settings, journal: Journal[Happening], clock: Clock) -> WebhookSender | None:
    """A sender that listens, if there is somewhere to send to."""
    hooks = settings.webhook
    if not hooks.urls or not settings.keys:
        return None
    api_key = hooks.api_key or next(iter(settings.keys))
    client = httpx.AsyncClient(timeout=hooks.timeout_s)
    sender = WebhookSender(hooks, api_key, Authenticator(settings.keys), clock, client)
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
