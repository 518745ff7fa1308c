"""Figures as bars in one SVG: a panel for each section and unit, whiskers from least to largest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Final

from bench.figure import Figure, readable

WIDTH: Final = 860
LABEL_END: Final = 330
BAR_END: Final = 700
ROW: Final = 24
BAR: Final = 14
HEAD: Final = 46
COLOURS: Final = ("#5e81ac", "#8fbc8f", "#d08770", "#b48ead")
INK: Final = "#2e3440"
PALE: Final = "#4c566a"


@dataclass(frozen=True)
class Panel:
    """Bars of one unit, drawn to one scale."""

    title: str
    unit: str
    figures: Sequence[Figure]

    @property
    def rows(self) -> list[list[Figure]]:
        """The figures of each bar; parts of one whole stand behind each other."""
        return [list(them) for _, them in groupby(self.figures, key=lambda it: it.what)]

    @property
    def height(self) -> int:
        """Its height in pixels."""
        return HEAD + ROW * len(self.rows) + 14


def panels(title: str, figures: Sequence[Figure]) -> Iterator[Panel]:
    """Divides the figures of a section by their units."""
    for unit, them in groupby(figures, key=lambda it: it.unit):
        yield Panel(title, unit, list(them))


def picture(title: str, shown: Sequence[Panel]) -> str:
    """Returns the whole SVG."""
    height = 16 + sum(panel.height for panel in shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif">\n'
        f"<title>{escape(title)}</title>\n"
        f'<rect width="{WIDTH}" height="{height}" rx="12" fill="#fbfbf8"/>\n'
    ]
    top = 8
    for panel in shown:
        parts += _panel(panel, top)
        top += panel.height
    return "".join(parts) + "</svg>\n"


def _panel(panel: Panel, top: int) -> Iterator[str]:
    yield _text(24, top + 28, panel.title, size=15, weight=600)
    yield _text(BAR_END, top + 28, panel.unit, size=13, colour=PALE, anchor="end")
    names = list(dict.fromkeys(it.part for it in panel.figures if it.part))
    yield from _legend(names, top + 28)
    most = max(sum(max(it.values) for it in row) for row in panel.rows)
    scale = (BAR_END - LABEL_END) / most if most else 0.0
    for number, row in enumerate(panel.rows):
        yield from _row(row, top + HEAD + ROW * number, scale, names)


def _legend(names: list[str], y: int) -> Iterator[str]:
    for number, name in enumerate(names):
        x = LABEL_END + 80 * number
        yield f'<rect x="{x}" y="{y - 10}" width="10" height="10" fill="{COLOURS[number]}"/>\n'
        yield _text(x + 15, y, name, size=12, colour=PALE)


def _row(row: list[Figure], y: int, scale: float, names: list[str]) -> Iterator[str]:
    yield _text(LABEL_END - 10, y + BAR - 2, row[0].what, size=13, anchor="end")
    x = float(LABEL_END)
    for it in row:
        colour = COLOURS[names.index(it.part) if it.part else 0]
        width = it.median * scale
        yield f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>\n'
        x += width
    if len(row) == 1:
        least, largest = (LABEL_END + scale * it for it in (min(it.values), max(it.values)))
        middle = y + BAR / 2
        yield (
            f'<path d="M {least:.1f} {middle} H {largest:.1f} M {least:.1f} {middle - 4} v 8 '
            f'M {largest:.1f} {middle - 4} v 8" stroke="{INK}" stroke-width="1.2"/>\n'
        )
        x = max(x, largest)
    total = readable(sum(it.median for it in row))
    yield _text(round(x) + 8, y + BAR - 2, total, size=13, weight=600)


def _text(
    x: int,
    y: int,
    text: str,
    *,
    size: int,
    weight: int = 400,
    colour: str = INK,
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(text)}</text>\n'
    )
