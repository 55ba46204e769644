"""Bar charts as figures that a template draws: all positions are computed here, in units of the SVG's view box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.console.words import tokens

WIDTH = 720
HEIGHT = 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 12, 24
_MOST_LABELS = 8
PATTERNS = 4
"""Fillings that tell series apart without colour: plain, lines one way, lines the other way, dots."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle. series: its number. shown: the value as text."""

    x: float
    y: float
    width: float
    height: float
    series: int
    title: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a place of an axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart: stacked bars, one stack per label. rows: the same as a table, for screen readers."""

    title: str
    unit: str
    names: tuple[str, ...]
    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


def _round_up(value: int) -> int:
    """The next even number that reads well as the end of an axis, so that half of it does too."""
    size: int = 10 ** (len(str(value)) - 1)
    steps = (2, 4, 6, 8, 10) if size == 1 else (10, 12, 16, 20, 24, 30, 40, 50, 60, 80, 100)
    unit = max(size // 10, 1)
    return next(step * unit for step in steps if step * unit >= value)


def bar_chart(
    title: str, labels: Sequence[str], series: Sequence[tuple[str, Sequence[int]]], *, unit: str = "credits"
) -> Chart:
    """Stacked bars. labels: what stands below each stack, such as days. series: names with one value of zero or more
    for every label; those beyond the first `PATTERNS` share fillings."""
    most = max((sum(values[i] for _, values in series) for i in range(len(labels))), default=0)
    top = _round_up(max(most, 1))
    room, span = HEIGHT - _TOP - _BOTTOM, WIDTH - _LEFT - _RIGHT
    step = span / max(len(labels), 1)
    width = min(step * 0.72, 48)
    bars = []
    for i, label in enumerate(labels):
        floor = float(HEIGHT - _BOTTOM)
        for number, (name, values) in enumerate(series):
            height = values[i] / top * room
            if height <= 0:
                continue
            floor -= height
            said = f"{label}: {values[i]:,} {unit}" + (f", {name}" if len(series) > 1 else "")
            x = _LEFT + step * i + (step - width) / 2
            bars.append(Bar(round(x, 2), round(floor, 2), round(width, 2), round(height, 2), number % PATTERNS, said))
    every = -(-len(labels) // _MOST_LABELS) if labels else 1
    across = tuple(Tick(round(_LEFT + step * (i + 0.5), 2), label) for i, label in enumerate(labels) if i % every == 0)
    up = tuple(Tick(round(HEIGHT - _BOTTOM - part / top * room, 2), tokens(part)) for part in (0, top // 2, top))
    rows = tuple((label, tuple(f"{values[i]:,}" for _, values in series)) for i, label in enumerate(labels))
    return Chart(title, unit, tuple(name for name, _ in series), tuple(bars), across, up, rows)
