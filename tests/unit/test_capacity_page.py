"""The planning page: its rooms follow from its streams."""

from __future__ import annotations

from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "deploy" / "CAPACITY.md"


def tables() -> list[list[list[str]]]:
    """Rows of each table, without its head."""
    found: list[list[list[str]]] = []
    inside = False
    for line in PAGE.read_text().splitlines():
        if not line.startswith("|"):
            inside = False
        elif line.startswith("| ---"):
            found.append([])
            inside = True
        elif inside:
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def streams() -> dict[str, tuple[float, float]]:
    """Bits and packets per second, by name."""
    return {name: (float(kbit) * 1000, float(packets)) for name, kbit, packets in tables()[0]}


def test_promise_38_a_720p_camera_is_planned_as_fifty_voices() -> None:
    assert streams()["Camera 720p"][0] == 1_500_000
    assert streams()["Camera 720p"][0] == 50 * streams()["Opus speech"][0]


@pytest.mark.parametrize("row", tables()[1], ids=lambda row: row[0])
def test_a_room_is_the_sum_of_what_its_members_take(row: list[str]) -> None:
    _, members, taken, egress_mbit, packets = row
    parts = [part.strip().split(" ", 1) for part in taken.split(",")]
    bits = sum(int(count) * streams()[name][0] for count, name in parts) * int(members)
    rate = sum(int(count) * streams()[name][1] for count, name in parts) * int(members)
    assert float(egress_mbit) == pytest.approx(bits / 1e6, rel=0.01)
    assert float(packets) == pytest.approx(rate)
