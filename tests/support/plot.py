"""Lines over time, in panels one above the other, as an SVG picture, without a plotting package."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 150  # of one panel, px
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 22, 20  # around its curves, px
COLOURS = ("#2563eb", "#059669", "#d97706", "#dc2626", "#7c3aed", "#64748b")
TICKS = 4
MAX_MARK_ROWS = 3


@dataclass(frozen=True)
class Line:
    """`points` are seconds and values; `steps` keeps a value until the next one."""

    label: str
    points: list[tuple[float, float]]
    steps: bool = False
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """Lines with one scale, named by `title`."""

    title: str
    lines: list[Line]


def svg(title: str, panels: list[Panel], marks: list[tuple[float, str]]) -> str:
    """The picture; `marks` are moments with a name, drawn through all panels."""
    times = [at for panel in panels for line in panel.lines for at, _ in line.points]
    start, end = (min(times), max(times)) if times else (0.0, 1.0)
    head = 28 + 14 * MAX_MARK_ROWS
    total = head + len(panels) * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total}" '
        f'viewBox="0 0 {WIDTH} {total}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{total}" fill="#fff"/>',
        f'<text x="{LEFT}" y="18" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    span = max(1e-9, end - start)

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - start) / span

    for number, (at, label) in enumerate(each for each in marks if start <= each[0] <= end):
        row = 32 + 14 * (number % MAX_MARK_ROWS)
        parts.append(
            f'<path d="M{x(at):.1f} {row + 3}V{total - BOTTOM}" stroke="#94a3b8" stroke-dasharray="2 3"/>'
        )
        parts.append(f'<text x="{x(at) + 3:.1f}" y="{row + 3}" fill="#334155">{escape(label)}</text>')
    for index, panel in enumerate(panels):
        parts += _panel(panel, head + index * HEIGHT, x)
    last = head + len(panels) * HEIGHT - 6
    step = _nice(span / 10)
    for number in range(math.floor(span / step) + 1):
        at = x(start + number * step)
        parts.append(f'<text x="{at:.1f}" y="{last}" text-anchor="middle">{number * step:g} s</text>')
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, top: int, x: object) -> list[str]:
    assert callable(x)
    highest = max((value for line in panel.lines for _, value in line.points), default=1.0) or 1.0
    step = _nice(highest / TICKS)
    scale = math.ceil(highest / step) * step
    low, high = top + HEIGHT - BOTTOM, top + TOP

    def y(value: float) -> float:
        return low - (low - high) * value / scale

    parts = [f'<text x="{LEFT}" y="{top + 14}" font-weight="bold">{escape(panel.title)}</text>']
    for number in range(round(scale / step) + 1):
        at = y(number * step)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#e2e8f0"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{number * step:g}</text>')
    label = LEFT + 220
    for line, colour in zip(panel.lines, COLOURS, strict=False):
        dash = ' stroke-dasharray="6 4"' if line.dashed else ""
        points = _stairs(line.points) if line.steps else line.points
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')
        parts.append(f'<path d="M{label} {top + 10}h18" stroke="{colour}" stroke-width="3"{dash}/>')
        parts.append(f'<text x="{label + 22}" y="{top + 14}">{escape(line.label)}</text>')
        label += 42 + 6 * len(line.label)
    return parts


def _stairs(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    corners = [(after[0], before[1]) for before, after in itertools.pairwise(points)]
    return (
        [point for pair in zip(points, [*corners, points[-1]], strict=True) for point in pair]
        if points
        else []
    )


def _nice(size: float) -> float:
    """1, 2 or 5 times a power of ten, at least `size`."""
    power = 10.0 ** math.floor(math.log10(max(size, 1e-9)))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size * (1 - 1e-9))
