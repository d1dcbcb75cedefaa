"""Which media stack a room uses."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Literal

from sfu.agents.media import MediaFactory

MediaBackend = Literal["auto", "plane", "aiortc"]
"""`auto`: the packet plane on Linux where the native module is there, else aiortc."""


def media_factory(backend: MediaBackend = "auto") -> MediaFactory:
    """The one to be used. A backend is imported only where it is taken."""
    if backend == "auto":
        native = sys.platform == "linux" and find_spec("sfu.dataplane._native") is not None
        backend = "plane" if native else "aiortc"
    if backend == "plane":
        from sfu.agents.media_plane import PlaneMedia

        return PlaneMedia
    from sfu.agents.media_aiortc import AiortcMedia

    return AiortcMedia
