"""Firefox over WebDriver BiDi, inside a network namespace since it never gathers loopback candidates."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support.chromium import CALL_TIMEOUT_S, MAX_MESSAGE, START_TIMEOUT_S, ScriptError, wait_for
from tests.support.netns import Namespace

PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.devices.insecure.enabled": True,
    "media.getusermedia.insecure.enabled": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
    "media.gmp-manager.updateEnabled": False,
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/",
    "toolkit.telemetry.enabled": False,
}


class FirefoxPage:
    """One tab; the same few calls as the Chromium page."""

    def __init__(self, browser: Firefox, context: str) -> None:
        self._browser = browser
        self._context = context
        self.console: list[str] = []

    async def goto(self, url: str) -> None:
        """Load a page; returns when its load event has fired."""
        await self._browser.call(
            "browsingContext.navigate", {"context": self._context, "url": url, "wait": "complete"}
        )

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression (promises are awaited), as plain JSON."""
        wrapped = f"Promise.resolve({expression}).then((value) => JSON.stringify(value ?? null))"
        answer = await self._browser.call(
            "script.evaluate",
            {
                "expression": wrapped,
                "target": {"context": self._context},
                "awaitPromise": True,
                "userActivation": True,
            },
        )
        if answer["type"] == "exception":
            raise ScriptError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])

    async def wait_for(self, expression: str, timeout_s: float = 30.0) -> Any:
        """Poll an expression until it is truthy, and give its value."""
        return await wait_for(self, expression, timeout_s)

    async def screenshot(self, path: Path) -> None:
        """Write what the tab shows as a PNG."""
        answer = await self._browser.call("browsingContext.captureScreenshot", {"context": self._context})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(answer["data"]))


class Firefox:
    """One browser process with a fresh profile."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, FirefoxPage] = {}
        self.reader = asyncio.create_task(self._read())

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send one command and give its result.

        Raises:
            ScriptError: The browser refused it.
        """
        call_id = next(self._ids)
        future = self._calls[call_id] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": call_id, "method": method, "params": params}))
        async with asyncio.timeout(CALL_TIMEOUT_S):
            result: dict[str, Any] = await future
        return result

    async def page(self, url: str = "about:blank") -> FirefoxPage:
        """Open a tab."""
        created = await self.call("browsingContext.create", {"type": "tab"})
        page = self._pages[created["context"]] = FirefoxPage(self, created["context"])
        if url != "about:blank":
            await page.goto(url)
        return page

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if message.get("type") == "event":
                source = message["params"].get("source", {}).get("context", "")
                if page := self._pages.get(source):
                    page.console.append(str(message["params"].get("text", "")))
            elif (future := self._calls.pop(message.get("id"), None)) and not future.done():
                if message["type"] == "error":
                    future.set_exception(ScriptError(f"{message['error']}: {message['message']}"))
                else:
                    future.set_result(message["result"])


def executable() -> str | None:
    """Path of the system's Firefox, if it has one."""
    return shutil.which("firefox-esr") or shutil.which("firefox")


@asynccontextmanager
async def firefox(space: Namespace) -> AsyncIterator[Firefox]:
    """A running browser inside the namespace; ended with its profile when the block ends."""
    path = executable()
    assert path is not None, "install firefox-esr"
    with tempfile.TemporaryDirectory(prefix="airside-firefox-", ignore_cleanup_errors=True) as profile:
        lines = [f"user_pref({json.dumps(key)}, {json.dumps(value)});" for key, value in PREFERENCES.items()]
        Path(profile, "user.js").write_text("\n".join(lines))
        process = await asyncio.create_subprocess_exec(
            *space.command("env", f"HOME={profile}", "MOZ_DISABLE_CONTENT_SANDBOX=1", path),
            "--headless",
            "--no-remote",
            "--profile",
            profile,
            "--remote-debugging-port",
            "9333",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        stderr = process.stderr
        drain: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    line = (await stderr.readline()).decode(errors="replace")
                    assert line, "firefox ended before it listened"
                    if "BiDi listening on " in line:
                        endpoint = line.split("BiDi listening on ")[1].strip()
                        break
            drain = asyncio.create_task(_drain(stderr))
            port = int(endpoint.rsplit(":", 1)[1].split("/")[0])
            socket = await connect(
                f"ws://127.0.0.1:{port}/session",
                sock=space.connect(port),
                max_size=MAX_MESSAGE,
                compression=None,
            )
            browser = Firefox(socket)
            await browser.call("session.new", {"capabilities": {}})
            await browser.call("session.subscribe", {"events": ["log.entryAdded"]})
            yield browser
            await socket.close()
            browser.reader.cancel()
        finally:
            if drain is not None:
                drain.cancel()
            if process.returncode is None:
                process.terminate()
                try:
                    async with asyncio.timeout(10):
                        await process.wait()
                except TimeoutError:
                    process.kill()
                    await process.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    """Keep the pipe from filling."""
    while await stream.read(65536):
        pass
