"""Which media stack a room uses."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Literal

from sfu.agents.media import MediaFactory
from sfu.agents.plane.local_ring import InheritedRing

MediaBackend = Literal["auto", "plane", "aiortc"]
"""`auto`: the packet plane on Linux where the native module is there, else aiortc."""


ECHOES: Mapping[MediaBackend, int] = {"plane": 40, "aiortc": 10}
"""Voices that one core decodes and encodes; `python -m tests.bench.agent_jobs` measures it."""


def resolve(backend: MediaBackend) -> MediaBackend:
    """The one that `auto` means here."""
    if backend != "auto":
        return backend
    native = sys.platform == "linux" and find_spec("sfu.dataplane._native") is not None
    return "plane" if native else "aiortc"


def media_factory(backend: MediaBackend = "auto", ring: InheritedRing | None = None) -> MediaFactory:
    """The one to be used. A backend is imported only where it is taken.

    With a ring the packet plane asks the server that gave it for media by that.
    """
    if resolve(backend) == "plane":
        from sfu.agents.media_plane import PlaneMedia

        return partial(PlaneMedia, ring=ring)
    from sfu.agents.media_aiortc import AiortcMedia

    return AiortcMedia
