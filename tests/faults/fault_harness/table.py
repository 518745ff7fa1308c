"""The table that a run prints: a line for each fault, and what broke below it."""

from __future__ import annotations

from collections.abc import Sequence

from fault_harness.bench import Row

HEAD = (
    "fault",
    "times",
    "tasks",
    "lost",
    "accepted twice",
    "executions over one",
    "longest time to recover",
    "bound",
    "settings",
    "law",
)


def cells(row: Row) -> tuple[str, ...]:
    """Returns the cells of one row as text."""
    if row.skipped:
        return (row.fault, *["-"] * 8, "not tried")
    account = row.account
    counts = ["-"] * 4
    if account is not None:
        counts = [
            f"{account.tasks:,}",
            str(len(account.lost)),
            str(len(account.accepted_twice)),
            f"{account.over_one:,}",
        ]
    longest = f"{max(row.recoveries):.2f} s" if row.recoveries else "-"
    bound = "-" if row.bound_s is None else f"{row.bound_s:g} s"
    verdict = "holds" if row.held else "BROKEN"
    return (row.fault, f"{row.times:,}", *counts, longest, bound, row.settings, verdict)


def markdown(rows: Sequence[Row]) -> str:
    """Returns the table, as it can stand in a page."""
    lines = [HEAD, *map(cells, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]

    def told(line: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        return f"| {' | '.join(padded)} |"

    rule = told(["-" * width for width in widths])
    return "\n".join([told(HEAD), rule, *(told(cells(row)) for row in rows)])


def remarks(row: Row) -> str:
    """Returns what a row has no cell for: its law, what was measured, what broke."""
    lines = [f"{row.fault}: {row.law}"]
    if row.skipped:
        lines.append(f"    not tried: {row.skipped}")
    lines += [f"    {note}" for note in row.notes]
    lines += [f"    BROKEN: {problem}" for problem in row.problems]
    return "\n".join(lines)
