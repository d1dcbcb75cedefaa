"""The page about LiveKit names settings that there are."""

from __future__ import annotations

import re
from importlib.resources import files

from sfu.settings.load import paths


def test_settings_on_the_right_exist() -> None:
    page = files("signaling.livekit").joinpath("COMPATIBILITY.md").read_text()
    rows = re.findall(r"^\| `[^|]*\| (`[^|]*`) \|", page.split("## Move from")[1], re.MULTILINE)
    named = {name.split(":")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert len(named) > 12
    assert named <= {".".join(path) for path in paths()}
