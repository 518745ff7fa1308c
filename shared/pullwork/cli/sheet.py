"""A table that fits its terminal: ids stay whole, words are cut, what has no room is left out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pullwork.cli.printable import printable

# A pipe has no width: nothing is cut there.
_PIPE_WIDTH: Final = 10_000
_GAP: Final = 2
_LEAST: Final = 10


def console() -> Console:
    """Returns the console on stdout."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


@dataclass(frozen=True)
class Column:
    """One column. `whole` ones are never cut; those with the greatest `rank` are left out first
    where there is no room, those of rank 0 never."""

    name: str
    rank: int = 0
    whole: bool = False
    right: bool = False


class Sheet:
    """Rows under columns; cells are Rich markup, a line each."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._rows: list[list[Text]] = []

    def add(self, *cells: str, style: str = "") -> None:
        """Adds a row."""
        row = [
            Text.from_markup(printable(" ".join(cell.splitlines())), style=style) for cell in cells
        ]
        assert len(row) == len(self._columns), "a cell for each column"
        self._rows.append(row)

    def print(self, out: Console | None = None) -> None:
        """Prints all rows, as wide as the terminal allows."""
        out = console() if out is None else out
        natural = [
            max([len(column.name), *(row[index].cell_len for row in self._rows)])
            for index, column in enumerate(self._columns)
        ]
        kept = _choose(self._columns, natural, out.width)
        widths = _shrink(self._columns, natural, kept, out.width)
        made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
        for index in kept:
            column = self._columns[index]
            made.add_column(
                column.name,
                width=widths[index],
                no_wrap=True,
                overflow="fold" if column.whole else "ellipsis",
                justify="right" if column.right else "left",
            )
        for row in self._rows:
            made.add_row(*(row[index] for index in kept))
        # On a very narrow terminal an id passes the edge: better than cut.
        out.width = max(out.width, _total(kept, widths) + _GAP)
        out.print(made, no_wrap=True)


def _total(kept: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[index] for index in kept) + _GAP * (len(kept) - 1)


def _floor(column: Column, natural: int) -> int:
    return natural if column.whole else min(natural, _LEAST)


def _choose(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Returns the columns that fit when cut to the least."""
    least = [_floor(column, natural[index]) for index, column in enumerate(columns)]
    kept = list(range(len(columns)))
    while _total(kept, least) + _GAP > width:
        droppable = [index for index in kept if columns[index].rank]
        if not droppable:
            break
        kept.remove(max(droppable, key=lambda index: columns[index].rank))
    return kept


def _shrink(
    columns: Sequence[Column], natural: Sequence[int], kept: Sequence[int], width: int
) -> list[int]:
    """Takes room from the widest column that may be cut until all fit."""
    widths = list(natural)
    while _total(kept, widths) + _GAP > width:
        spare = [i for i in kept if widths[i] > _floor(columns[i], natural[i])]
        if not spare:
            break
        widths[max(spare, key=lambda index: widths[index])] -= 1
    return widths
