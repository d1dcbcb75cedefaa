"""People in a room, each a Chromium tab of our client, whose figures are sampled twice a second.

The tab shows nothing but the pictures: no demo page takes processor time from the codecs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.chromium import Page
from tests.support.server import Server

CONNECT_TIMEOUT_S = 30.0
SAMPLE_INTERVAL_MS = 500

SCRIPT = Path(__file__).with_name("person.js")


class Person:
    """One tab in a room."""

    def __init__(self, page: Page, identity: str) -> None:
        self.page = page
        self.identity = identity

    @classmethod
    async def join(cls, page: Page, server: Server, room: str, identity: str) -> Person:
        """Enter, and show whatever comes 1280 by 720 pixels large."""
        await page.goto(f"{server.url}/healthz")
        token = json.dumps(server.token(room, identity))
        await page.evaluate(f"({SCRIPT.read_text()})({token}, {SAMPLE_INTERVAL_MS})")
        connected = "airside.state === 'connected' && airside.connectionState === 'connected'"
        await page.wait_for(connected, CONNECT_TIMEOUT_S)
        return cls(page, identity)

    async def publish_microphone(self) -> None:
        """Speak, without what would make a noise quiet."""
        plain = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}
        await self.page.evaluate(f"airside.publishMicrophone({json.dumps(plain)}).then(() => true)")

    async def publish_camera(
        self, *, width: int = 1280, height: int = 720, fps: int = 20, **options: Any
    ) -> None:
        """Show the camera; `options` as `Room.publish` of the client takes them (`codec`, `encodings`)."""
        picture = {"width": width, "height": height, "frameRate": fps}
        await self.page.evaluate(
            f"airside.publishCamera({json.dumps(picture)}, {json.dumps(options)}).then(() => true)"
        )

    async def show(self, width: int, height: int) -> None:
        """Give every picture this size on screen."""
        await self.page.evaluate(
            "document.querySelectorAll('video').forEach((v) => {"
            f" v.style.width = '{width}px'; v.style.height = '{height}px'; }})"
        )

    async def samples(self) -> list[dict[str, Any]]:
        """All samples so far."""
        found: list[dict[str, Any]] = await self.page.evaluate("samples")
        return found


def camera_flags(server_url: str, clip: Path | None = None) -> list[str]:
    """Chromium's flags for a page that is not served from its own loopback, and for a camera from a file."""
    flags = [f"--unsafely-treat-insecure-origin-as-secure={server_url}"]
    if clip is not None:
        flags.append(f"--use-file-for-fake-video-capture={clip}")
    return flags
