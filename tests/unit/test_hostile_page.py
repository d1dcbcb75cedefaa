"""tests/HOSTILE_INPUT.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
DATAPLANE = TESTS.parent / "dataplane"
PAGE = (TESTS / "HOSTILE_INPUT.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:loopback|unit|scenarios|engine|dtls)/[\w./]+)(?:::(\w+))?`", PAGE)))


def place(path: str) -> Path:
    if path.startswith(("loopback/", "unit/")):
        return TESTS / path
    return DATAPLANE / path.replace("scenarios/", "engine/tests/scenarios/", 1)


def test_what_it_names_is_there() -> None:
    texts = {path: place(path).read_text() for path, _ in NAMED}
    absent = [
        (path, name) for path, name in NAMED if name and not re.search(rf"\b(?:def|fn) {name}\b", texts[path])
    ]
    assert len(NAMED) > 50
    assert not absent


def test_every_hostile_file_of_the_loopback_suite_is_named() -> None:
    files = {f"loopback/{file.name}" for file in (TESTS / "loopback").glob("test_hostile_*.py")}
    assert files <= {path for path, _ in NAMED}
