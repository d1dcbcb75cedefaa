"""What a test needs of the machine: skipped where it is missing, failed where CI says that nothing may be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support import chromium, firefox, netns


def _require(present: bool, what: str) -> None:
    if present:
        return
    if os.environ.get("AIRSIDE_TEST_STRICT") == "1":
        pytest.fail(f"this machine lacks {what}")
    pytest.skip(f"this machine lacks {what}")


def need_chromium() -> None:
    """Debian's `chromium`."""
    _require(chromium.executable() is not None, "chromium")


def need_firefox() -> None:
    """Debian's `firefox-esr`, and root for a network namespace."""
    _require(firefox.executable() is not None, "firefox-esr")
    need_netns()


def need_netns() -> None:
    """Root and a kernel with network namespaces."""
    _require(netns.available(), "the right to make network namespaces")


def need_gstreamer(*elements: str) -> None:
    """GStreamer's webrtcbin for the system's Python, and what else of it is named."""
    probe = "import gi; gi.require_version('GstWebRTC', '1.0')"
    python = shutil.which("python3", path="/usr/bin")
    found = (
        python is not None
        and subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0
    )
    inspect = shutil.which("gst-inspect-1.0")
    _require(found and inspect is not None, "GStreamer's webrtcbin and python3-gst-1.0")
    for element in elements:
        known = subprocess.run([str(inspect), "--exists", element], check=False).returncode == 0
        _require(known, f"GStreamer's {element}")


def need_espeak() -> None:
    """Debian's `espeak-ng`."""
    _require(shutil.which("espeak-ng") is not None, "espeak-ng")


def need_file(path: Path, what: str) -> None:
    """Something that a step of tests/all.py puts in its place."""
    _require(path.exists(), what)


def need_node_modules(folder: Path) -> None:
    """Node, and what `npm ci` puts beside a package.json."""
    found = shutil.which("node") is not None and (folder / "node_modules" / ".package-lock.json").exists()
    _require(found, f"Node or its packages: npm ci --prefix {folder.name}")
