"""dataplane/VECTORS.md names tests that exist, in every row."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
DATAPLANE = TESTS.parent / "dataplane"
PAGE = (DATAPLANE / "VECTORS.md").read_text()
PYTHON = ("loopback/", "unit/", "browser/", "bench/")
NAMED = sorted(
    set(
        re.findall(
            r"`((?:loopback|unit|browser|bench|scenarios|engine|dtls|emulator)/[\w./]+)(?:::(\w+))?`", PAGE
        )
    )
)
ROWS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| Case", "| ---"))
]


def place(path: str) -> Path:
    if path.startswith(PYTHON):
        return TESTS / path
    return DATAPLANE / path.replace("scenarios/", "engine/tests/scenarios/", 1)


def test_what_it_names_is_there() -> None:
    texts = {path: place(path).read_text() for path, _ in NAMED}
    absent = [
        (path, name) for path, name in NAMED if name and not re.search(rf"\b(?:def|fn) {name}\b", texts[path])
    ]
    assert not absent


def test_every_row_names_a_test() -> None:
    assert len(ROWS) > 90
    assert [row for row in ROWS if "::" not in row] == []


def test_every_scenario_made_for_it_is_named() -> None:
    made = {
        (f"scenarios/vectors/{file.name}", name)
        for file in (DATAPLANE / "engine/tests/scenarios/vectors").glob("*.rs")
        for name in re.findall(r"#\[test\]\n(?:#.*\n)?fn (\w+)", file.read_text())
    }
    assert made
    assert made - set(NAMED) == set()
