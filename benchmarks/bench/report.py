"""Tables of figures: on the terminal, and as a page."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import apsw
import psutil
from rich.console import Console
from rich.table import Table

from bench.figure import Figure
from bench.section import Section

Results = list[tuple[Section, list[Figure]]]


def show(console: Console, section: Section, figures: list[Figure]) -> None:
    """Prints the table of a section."""
    table = Table(title=section.title, title_justify="left", caption_justify="left")
    table.add_column("what")
    table.add_column("median", justify="right", style="bold")
    table.add_column("unit")
    table.add_column("least .. largest", justify="right")
    for it in figures:
        table.add_row(it.name, it.middle, it.unit, it.spread)
    console.print(table)


def page(results: Results, folder: Path, picture: str, command: str) -> str:
    """Returns results.md."""
    rounds = max((len(it.values) for _, figures in results for it in figures), default=0)
    parts = [
        "# Results\n",
        f"<!-- Made by `{command}`. Run it again rather than change this page. -->\n",
        f"{machine(folder)}\nMedians of {rounds} rounds, with the least and the largest beside "
        "them. What bounds each figure stands in [Performance](../docs/performance.md).\n",
        f"![The figures as bars]({picture})\n",
    ]
    for section, figures in results:
        parts += [f"## {section.title}\n", f"{section.about}\n", markdown(figures)]
    return "\n".join(parts)


def markdown(figures: list[Figure]) -> str:
    """Returns figures as a table of a page."""
    head = ("what", "median", "unit", "least .. largest")
    rows = [(it.name, it.middle, it.unit, it.spread) for it in figures]
    return columns([head, *rows], right=(1, 3))


def columns(rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """Returns a table of a page, its columns as wide as their cells; the first row is the head."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]

    def line(row: tuple[str, ...]) -> str:
        cells = [
            it.rjust(width) if at in right else it.ljust(width)
            for at, (it, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |\n"

    rule = ["-" * (width - 1) + (":" if at in right else "-") for at, width in enumerate(widths)]
    return line(rows[0]) + f"| {' | '.join(rule)} |\n" + "".join(line(row) for row in rows[1:])


def machine(folder: Path) -> str:
    """Says on what was measured, in lines of a page."""
    memory = psutil.virtual_memory().total / 2**30
    lines = [
        f"- **machine**: {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}; data on {file_system(folder)}",
        f"- **software**: Python {platform.python_version()}, grpcio {version('grpcio')}, "
        f"protobuf {version('protobuf')}, SQLite {apsw.sqlite_lib_version()}",
        f"- **version**: Pullwork {version('pullwork')}, commit {commit()}",
    ]
    return "\n".join(lines) + "\n"


def processor() -> str:
    """Returns the model of the processor, as far as the system tells it."""
    known = Path("/proc/cpuinfo")
    if known.exists():
        for line in known.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def file_system(folder: Path) -> str:
    """Returns the kind of file system that a folder is on."""
    there = folder.resolve()
    mounts = [it for it in psutil.disk_partitions(all=True) if there.is_relative_to(it.mountpoint)]
    kind = max(mounts, key=lambda it: len(it.mountpoint)).fstype if mounts else "unknown"
    return f"{kind} (in memory: commits cost nothing here)" if kind == "tmpfs" else kind


def commit() -> str:
    """Returns the commit that is checked out, with a mark if files differ from it."""
    try:
        told = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()
