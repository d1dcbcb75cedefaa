"""One job as its author sees it, and as it is run: to its end, whatever its code does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sfu.agents.backends import MediaBackend, media_factory
from sfu.agents.errors import ClosedError
from sfu.agents.events import Disconnected, TrackSubscribed
from sfu.agents.media import MediaFactory
from sfu.agents.plane.local_ring import InheritedRing
from sfu.agents.publishing import Publication
from sfu.agents.room import Room
from sfu.agents.tracks import RemoteTrack

STATE_ATTRIBUTE = "lk.agent.state"
"""Where clients look for what an agent does; LiveKit's name and words."""

AgentState = Literal["initializing", "listening", "thinking", "speaking"]
ShutdownHook = Callable[[str], Awaitable[None]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobInfo:
    """What a job is."""

    id: str
    room: str
    agent_name: str = ""
    type: str = "room"
    """`room`, `publisher` or `participant`."""
    metadata: str = ""
    """Of the request for the agent."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """The same."""
    participant: str = ""
    """Identity of whom it is for; empty: the room."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Whom the agent is to be. What is empty gets a default."""

    identity: str = ""
    name: str = ""
    metadata: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended."""

    error: str = ""
    """Empty: well."""


class JobContext:
    """Given to the entry function. `connect` first."""

    def __init__(
        self,
        info: JobInfo,
        url: str,
        token: str,
        media: MediaBackend = "auto",
        ring: InheritedRing | None = None,
    ) -> None:
        self.info = info
        self.url = url
        self.token = token
        self.media: MediaBackend = media
        self._ring = ring
        self._room: Room | None = None
        self._hooks: list[ShutdownHook] = []
        self._connected = asyncio.Event()
        self._ending = asyncio.Event()
        self._reason = ""

    async def connect(
        self,
        *,
        auto_subscribe: bool = True,
        publish: tuple[Publication, ...] = (),
        media: MediaFactory | None = None,
    ) -> Room:
        """Join the room; left when the job ends. Arguments as of `Room.connect`; media as the worker has it.

        Raises:
            ConnectError: The server is not reached, or refuses.
        """
        room = Room.connect(
            self.url,
            self.token,
            auto_subscribe=auto_subscribe,
            publish=publish,
            media=media or media_factory(self.media, self._ring),
        )
        self._room = await room.__aenter__()
        self._connected.set()
        return room

    @property
    def room(self) -> Room:
        """The room. Raises ClosedError before `connect`."""
        if self._room is None:
            raise ClosedError("not_joined", "the job has not connected yet")
        return self._room

    async def audio_tracks(self) -> AsyncIterator[RemoteTrack]:
        """Every voice in the room, those that are there and those that come, until the room is over."""
        with self.room.events() as events:
            for track in list(self.room.tracks.values()):
                if track.subscribed and track.kind == "audio":
                    yield track
            async for event in events:
                if isinstance(event, TrackSubscribed) and event.track.kind == "audio":
                    yield event.track

    async def set_state(self, state: AgentState) -> None:
        """Show everyone what the agent does. Raises RequestError."""
        await self.room.update_me(attributes={STATE_ATTRIBUTE: state})

    def add_shutdown_hook(self, hook: ShutdownHook) -> None:
        """Await this with the reason when the job ends, while the room is still there."""
        self._hooks.append(hook)

    def shutdown(self, reason: str = "") -> None:
        """End the job: its entry function is cancelled."""
        self._reason = self._reason or reason or "shutdown"
        self._ending.set()

    # For whoever runs it.

    async def ending(self) -> str:
        """Wait until somebody wants its end, or the room is over; why."""
        room = asyncio.create_task(self._room_over())
        asked = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait((room, asked), return_when=asyncio.FIRST_COMPLETED)
            return self._reason or room.result()
        finally:
            room.cancel()
            asked.cancel()

    async def _room_over(self) -> str:
        await self._connected.wait()
        with self.room.events() as events:
            async for event in events:
                if isinstance(event, Disconnected):
                    return event.code
        return "closed"

    async def close(self, reason: str) -> None:
        """Run the hooks and leave. A hook that fails is logged."""
        for hook in self._hooks:
            try:
                await hook(reason)
            except Exception:
                _log.exception("%s: a shutdown hook failed", self.info.id)
        if self._room is not None:
            await self._room.close()


Entry = Callable[[JobContext], Awaitable[None]]


async def run_job(job: JobContext, entry: Entry, *, shutdown_s: float, timeout_s: float | None) -> Outcome:
    """Run an entry function to its end. Does not raise, but for its own cancellation.

    Args:
        job: Given to it.
        entry: A coroutine function; the job is done when it returns.
        shutdown_s: For the function to end once it is cancelled, and then for the hooks.
        timeout_s: Longest life; None: none.
    """
    work = asyncio.ensure_future(entry(job))
    watch = asyncio.create_task(job.ending())
    reason, error = "done", ""
    try:
        done, _ = await asyncio.wait((work, watch), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if work not in done:
            reason = watch.result() if watch in done else "timeout"
            error = "" if watch in done else f"not done within {timeout_s:g} s"
            work.cancel()
            await asyncio.wait((work,), timeout=shutdown_s)
    except asyncio.CancelledError:
        # Whoever runs us ends; the room must not be left open for that.
        work.cancel()
        await asyncio.wait((work,), timeout=shutdown_s)
        await _close(job, "cancelled", shutdown_s)
        raise
    finally:
        watch.cancel()
        work.cancel()
    if not work.done():
        error = error or f"it went on for {shutdown_s:g} s after its end"
    elif not work.cancelled() and (raised := work.exception()) is not None:
        _log.error("%s: the agent failed", job.info.id, exc_info=raised)
        error = error or f"{type(raised).__name__}: {raised}"
    await _close(job, reason, shutdown_s)
    return Outcome(error)


async def _close(job: JobContext, reason: str, shutdown_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(shutdown_s):
            await job.close(reason)
