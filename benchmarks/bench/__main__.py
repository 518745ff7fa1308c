"""Measures Pullwork on this machine and prints tables."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.chart import panels, picture
from bench.floors import FLOORS
from bench.growth import GROWTH
from bench.latency import LATENCY
from bench.process import BenchError, end_politely
from bench.report import Results, page, show
from bench.section import Lab, Section, Sizes
from bench.storage import STORAGE
from bench.throughput import THROUGHPUT

SECTIONS = (THROUGHPUT, LATENCY, GROWTH, STORAGE, FLOORS)
BENCHMARKS = Path(__file__).parents[1]


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only", default="", metavar="NAMES", help="sections, with commas between; see --list"
    )
    parser.add_argument("--list", action="store_true", help="name the sections")
    parser.add_argument(
        "--quick", action="store_true", help="few tasks, one round: shows only that it works"
    )
    parser.add_argument("--rounds", type=int, help="how often each figure is measured; else 3")
    parser.add_argument("--tasks", type=int, help="how many tasks a measurement has; else 20,000")
    parser.add_argument(
        "--folder", type=Path, help="where data folders are made: on the disk to measure"
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="write results.md and results.svg into this folder; a whole run writes them beside "
        "the benchmark",
    )
    return parser.parse_args()


def chosen(names: str) -> list[Section]:
    """Returns the sections of that name; all if none is named."""
    wanted = [name for name in names.split(",") if name]
    known = {section.name: section for section in SECTIONS}
    if unknown := sorted(set(wanted) - known.keys()):
        sys.exit(f"no section is called {', '.join(unknown)}; there are: {', '.join(known)}")
    return [known[name] for name in wanted] or list(SECTIONS)


def sizes(options: argparse.Namespace) -> Sizes:
    """Returns how much is to be measured."""
    usual = Sizes.quick() if options.quick else Sizes.full()
    changed = {key: value for key in ("rounds", "tasks") if (value := getattr(options, key))}
    return dataclasses.replace(usual, **changed)


def run(sections: list[Section], much: Sizes, folder: Path, console: Console) -> Results:
    """Measures sections one after another, showing how far it is."""
    results: Results = []
    looks = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*looks, console=console, transient=True) as progress:
        total = sum(section.steps(much) for section in sections)
        bar = progress.add_task("starting", total=total)

        for section in sections:

            def step(what: str, section: Section = section) -> None:
                progress.update(bar, advance=1, description=f"{section.name}: {what}")

            figures = section.measure(Lab(folder, much, step))
            show(progress.console, section, figures)
            results.append((section, figures))
    return results


def write(results: Results, folder: Path, out: Path) -> None:
    """Writes the page and its picture."""
    out.mkdir(parents=True, exist_ok=True)
    shown = [panel for section, them in results for panel in panels(section.title, them)]
    (out / "results.svg").write_text(picture("Pullwork, measured", shown), encoding="utf-8")
    text = page(results, folder, "results.svg", "make bench")
    (out / "results.md").write_text(text, encoding="utf-8")
    print(f"written: {out / 'results.md'}, {out / 'results.svg'}")


def main() -> None:
    """Measures what was asked for; exit code 1 if a process broke or a result was wrong."""
    options = arguments()
    end_politely()
    if options.list:
        for section in SECTIONS:
            print(f"{section.name:12} {section.title}")
        return
    parent = options.folder or BENCHMARKS.parent / "build"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    whole = not (options.only or options.quick or options.rounds or options.tasks)
    out = options.out or (BENCHMARKS if whole else None)
    try:
        results = run(chosen(options.only), sizes(options), folder, Console())
        if out is not None:
            write(results, folder, out)
    except BenchError as error:
        sys.exit(f"the benchmark can't go on: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
