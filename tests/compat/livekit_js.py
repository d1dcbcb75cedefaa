"""`livekit-client` in pages of Chromium: one participant in each page."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.chromium import Chromium, Page, chromium
from tests.support.needs import need_chromium, need_node_modules
from tests.support.pages import pages
from tests.support.server import ROOT, Server

JS = ROOT / "tests" / "compat" / "js"
BUILD = JS / "build"
SPEECH = f"--use-file-for-fake-audio-capture={ROOT / 'tests' / 'loopback' / 'data' / 'speech.wav'}"
SCREEN = "--auto-select-desktop-capture-source=Entire screen"
FRAMES_SEEN = 10
MOVING = 0.5
"""Mean difference of pixel values between two moments; a still picture stays under 0.1."""


@cache
def bundle() -> Path:
    """Build the pages with esbuild, once for a run; the folder they are in."""
    need_node_modules(JS)
    esbuild = JS / "node_modules" / ".bin" / "esbuild"
    sources = [str(JS / "client.js"), str(JS / "conference.jsx")]
    subprocess.run(
        [
            str(esbuild),
            *sources,
            "--bundle",
            "--format=esm",
            "--jsx=automatic",
            f"--outdir={BUILD}",
            "--log-level=error",
            '--define:process.env.NODE_ENV="production"',
        ],
        cwd=JS,
        check=True,
    )
    for page in JS.glob("*.html"):
        shutil.copy(page, BUILD)
    worker = JS / "node_modules" / "livekit-client" / "dist" / "livekit-client.e2ee.worker.mjs"
    shutil.copy(worker, BUILD / "e2ee.worker.mjs")
    return BUILD


class JsClient:
    """One page with one participant; `client` and `livekit` are its global names."""

    def __init__(self, page: Page, server: Server, name: str) -> None:
        self.page = page
        self.name = name
        self._server = server

    async def join(
        self, room: str, *, url: str = "", connect: dict[str, Any] | None = None, **options: Any
    ) -> str:
        """Connect with options of livekit-client's `Room`; its participant sid."""
        token = self._server.token(room, self.name, canUpdateOwnMetadata=True)
        where = json.dumps([url or self._server.ws_url, token, options, connect or {}])
        sid: str = await self.page.evaluate(f"client.join(...{where})")
        return sid

    async def do(self, expression: str) -> Any:
        """The value of an expression, awaited."""
        return await self.page.evaluate(expression)

    async def me(self, call: str) -> Any:
        """Call a method of the page's `LocalParticipant`."""
        return await self.page.evaluate(f"client.room.localParticipant.{call}")

    async def until(self, expression: str, timeout_s: float = 30.0) -> Any:
        """Its value as soon as it is true."""
        return await self.page.wait_for(expression, timeout_s)

    async def seen(self, event: str, detail: Any = None, timeout_s: float = 30.0) -> None:
        """Wait for an event of the room, by its name in `RoomEvent`; of any detail if none is given."""
        matches = "true" if detail is None else f"JSON.stringify(item) === {json.dumps(compact(detail))}"
        await self.until(f"client.seen(livekit.RoomEvent.{event}).some((item) => {matches})", timeout_s)

    async def sees(self, identity: str, source: str = "camera") -> None:
        """Wait until somebody's picture is decoded and moves."""
        what = json.dumps([identity, source])[1:-1]
        await self.until(f"(async () => (await client.received({what}))?.frames > {FRAMES_SEEN})()")
        await self.until(f"(async () => (await client.changes({what})) > {MOVING})()")

    async def hears(self, identity: str) -> None:
        """Wait until somebody's voice comes out of the decoder."""
        await self.until(
            f"(async () => (await client.received('{identity}', 'microphone'))?.energy > 0.001)()"
        )


def compact(value: Any) -> str:
    """JSON as browsers write it."""
    return json.dumps(value, separators=(",", ":"))


class JsPages:
    """A browser with any number of pages; `address` serves those of tests/compat/js."""

    def __init__(self, server: Server, browser: Chromium, address: str) -> None:
        self.address = address
        self._server = server
        self._browser = browser
        self._clients: list[JsClient] = []

    async def open(self, url: str) -> Page:
        """A tab with any page."""
        return await self._browser.page(url)

    async def client(self, name: str) -> JsClient:
        """A tab with a participant that is not connected yet."""
        page = await self.open(f"{self.address}/client.html")
        await page.wait_for("globalThis.client")
        client = JsClient(page, self._server, name)
        self._clients.append(client)
        return client

    async def leave(self) -> None:
        """Every participant goes."""
        for client in self._clients:
            await client.do("client.room?.disconnect()")


@asynccontextmanager
async def js_pages(server: Server) -> AsyncIterator[JsPages]:
    """A browser that can hold participants; gone when the block ends."""
    need_chromium()
    folder = await asyncio.to_thread(bundle)
    async with pages(folder) as address, chromium(SPEECH, SCREEN) as browser:
        made = JsPages(server, browser, address)
        yield made
        await made.leave()


@asynccontextmanager
async def js_clients(server: Server, *names: str) -> AsyncIterator[list[JsClient]]:
    """Participants in pages of one browser, not connected yet; gone when the block ends."""
    async with js_pages(server) as browser:
        yield [await browser.client(name) for name in names]
