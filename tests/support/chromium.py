"""Chromium over the DevTools protocol: just enough to open pages, run script and look at them."""

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
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect

from tests.support.netns import Namespace

START_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 60.0
MAX_MESSAGE = 64 * 1024 * 1024

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--mute-audio",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns,CalculateNativeWinOcclusion",
    "--autoplay-policy=no-user-gesture-required",
    "--window-size=1280,800",
    "--remote-debugging-port=0",
)


class ScriptError(AssertionError):
    """The page's script threw; the text is its message and stack."""


class Evaluator(Protocol):
    """A tab of any browser."""

    console: list[str]

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression, as plain JSON."""


async def wait_for(page: Evaluator, expression: str, timeout_s: float) -> Any:
    """Poll an expression until it is truthy, and give its value."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                value = await page.evaluate(f"Promise.resolve({expression}).catch(() => null)")
                if value:
                    return value
                await asyncio.sleep(0.1)
    except TimeoutError:
        tail = "\n".join(page.console[-20:])
        raise AssertionError(f"never true: {expression}\nconsole:\n{tail}") from None


class Page:
    """One tab."""

    def __init__(self, browser: Chromium, session_id: str, target_id: str) -> None:
        self._browser = browser
        self._session_id = session_id
        self._target_id = target_id
        self.console: list[str] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one DevTools command to this tab."""
        return await self._browser.call(method, params, self._session_id)

    async def goto(self, url: str) -> None:
        """Load a page; returns when its load event has fired."""
        await self.call("Page.navigate", url=url)
        await self.wait_for("document.readyState === 'complete'")

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression (promises are awaited), as plain JSON."""
        answer = await self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise ScriptError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    async def wait_for(self, expression: str, timeout_s: float = 30.0) -> Any:
        """Poll an expression until it is truthy, and give its value."""
        return await wait_for(self, expression, timeout_s)

    async def screenshot(self, path: Path) -> None:
        """Write what the tab shows as a PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    async def close(self) -> None:
        """Close the tab."""
        await self._browser.call("Target.closeTarget", {"targetId": self._target_id})


class Chromium:
    """One browser process with a fresh profile."""

    def __init__(self, process: asyncio.subprocess.Process, socket: ClientConnection) -> None:
        self._process = process
        self._socket = socket
        self._ids = itertools.count(1)
        self._calls: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._reader = asyncio.create_task(self._read())

    async def call(
        self, method: str, params: dict[str, Any], session_id: str | None = None
    ) -> dict[str, Any]:
        """Send one command and give its result.

        Raises:
            ScriptError: The browser refused it.
        """
        call_id = next(self._ids)
        future = self._calls[call_id] = asyncio.get_running_loop().create_future()
        message: dict[str, Any] = {"id": call_id, "method": method, "params": params}
        if session_id:
            message["sessionId"] = session_id
        await self._socket.send(json.dumps(message))
        async with asyncio.timeout(CALL_TIMEOUT_S):
            result: dict[str, Any] = await future
        return result

    async def page(self, url: str = "about:blank") -> Page:
        """Open a tab."""
        target = await self.call("Target.createTarget", {"url": "about:blank"})
        attached = await self.call("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        page = Page(self, attached["sessionId"], target["targetId"])
        self._pages[attached["sessionId"]] = page
        await page.call("Page.enable")
        await page.call("Runtime.enable")
        if url != "about:blank":
            await page.goto(url)
        return page

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                future = self._calls.pop(message["id"], None)
                if future is None or future.done():
                    continue
                if "error" in message:
                    future.set_exception(ScriptError(str(message["error"])))
                else:
                    future.set_result(message["result"])
            elif page := self._pages.get(message.get("sessionId", "")):
                self._log(page, message)

    @staticmethod
    def _log(page: Page, message: dict[str, Any]) -> None:
        if message["method"] == "Runtime.consoleAPICalled":
            arguments = message["params"]["args"]
            page.console.append(" ".join(str(a.get("value", a.get("description", ""))) for a in arguments))
        elif message["method"] == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            page.console.append(details.get("exception", {}).get("description", details["text"]))

    async def stop(self) -> None:
        """End the process and wait for it."""
        self._reader.cancel()
        await self._socket.close()
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


def executable() -> str | None:
    """Path of the system's Chromium, if it has one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@asynccontextmanager
async def chromium(*extra_flags: str, space: Namespace | None = None) -> AsyncIterator[Chromium]:
    """A running browser, inside a namespace if one is given; ended with its profile when the block ends."""
    path = executable()
    assert path is not None, "install chromium"
    with tempfile.TemporaryDirectory(prefix="airside-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(space.command(path) if space else (path,)),
            *FLAGS,
            *extra_flags,
            f"--user-data-dir={profile}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        stderr = process.stderr
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while True:
                    line = (await stderr.readline()).decode(errors="replace")
                    assert line, "chromium ended before it listened"
                    if "DevTools listening on " in line:
                        endpoint = line.split("DevTools listening on ")[1].strip()
                        break
            drain = asyncio.create_task(_drain(stderr))
            port = int(endpoint.split("://")[1].split("/")[0].rsplit(":", 1)[1])
            inside = space.connect(port) if space else None
            socket = await connect(endpoint, max_size=MAX_MESSAGE, compression=None, sock=inside)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        browser = Chromium(process, socket)
        try:
            yield browser
        finally:
            await browser.stop()
            drain.cancel()


async def _drain(stream: asyncio.StreamReader) -> None:
    """Keep the pipe from filling."""
    while await stream.read(65536):
        pass
