"""The table that a run prints: a line for each fault as it goes, and all of it as a page."""

from __future__ import annotations

from collections.abc import Sequence

from fault_harness.services.trial import Row

HEAD = ("fault", "what was done", "well again after", "bound", "duplicates", "orphans", "law")
_WIDTHS = (25, 0, 20, 20, 10, 7, 0)


def cells(row: Row) -> tuple[str, ...]:
    """Returns the cells of one row as text."""
    if row.skipped:
        return (row.fault, row.told, *["-"] * 4, "not tried")
    after = ", ".join(f"{it:.1f}" for it in row.recoveries)
    bounds = ", ".join(dict.fromkeys(f"{it:.1f}" for it in row.bounds))
    verdict = "holds" if row.held else "BROKEN"
    return (
        row.fault,
        row.told,
        f"{after} s" if after else "-",
        f"{bounds} s" if bounds else "-",
        str(row.duplicates),
        str(row.orphans),
        verdict,
    )


def as_it_goes(row: Row) -> str:
    """Returns a row without what was done, and below it what has no cell."""
    words = [it.ljust(width) for it, width in zip(cells(row), _WIDTHS, strict=True) if width]
    lines = [f"{' '.join(words)} {cells(row)[-1]}"]
    if row.skipped:
        lines.append(f"    not tried: {row.skipped}")
    lines += [f"    {note}" for note in row.notes]
    lines += [f"    BROKEN: {problem}" for problem in row.problems]
    return "\n".join(lines)


def head() -> str:
    """Returns what stands above the rows as they go."""
    return " ".join(it.ljust(width) for it, width in zip(HEAD, _WIDTHS, strict=True) if width)


def markdown(rows: Sequence[Row]) -> str:
    """Returns the table, as it can stand in a page."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]

    def told(line: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = told(["-" * width for width in widths])
    return "\n".join([told(HEAD), rule, *(told(cells(row)) for row in rows)])
