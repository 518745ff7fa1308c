"""Measures Pullwork and its peers in turn, in one run, and prints ratios.

Peers come from a virtual environment of their own and from the servers that are installed; a
peer of which something is absent is passed over, with the reason and the remedy.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.chart import panels, picture
from bench.figure import Figure, Rounds
from bench.peers.bars import ranking, rows
from bench.peers.catalogue import PEERS, Peer
from bench.peers.contest import OURS, Contest
from bench.process import BenchError, end_politely
from bench.report import columns, machine
from bench.section import Sizes, alternated
from bench.system import BENCHMARKS

# Of the tasks one by one; peers take long enough.
SINGLE = 200


def arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description=__doc__)
    parser.add_argument("--venv", type=Path, required=True, help="where the peers are installed")
    names = ", ".join(peer.name.partition(",")[0].lower() for peer in PEERS)
    parser.add_argument("--only", default="", metavar="NAMES", help=f"of {names}")
    parser.add_argument("--quick", action="store_true", help="shows only that it works")
    parser.add_argument("--rounds", type=int, help="how often each system is measured; else 3")
    parser.add_argument("--tasks", type=int, help="tasks of a measurement; fewer for the slow")
    parser.add_argument("--folder", type=Path, help="where data lies: on the disk to measure")
    parser.add_argument("--out", type=Path, help="write peers.md and peers.svg into this folder")
    return parser.parse_args()


def chosen(names: str, venv: Path, console: Console) -> list[Peer]:
    """Returns the peers that are wanted and can be measured."""
    wanted = [name.strip().lower() for name in names.split(",") if name.strip()]
    found = []
    for peer in PEERS:
        if wanted and not any(peer.name.lower().startswith(name) for name in wanted):
            continue
        if reason := _missing(peer, venv):
            console.print(f"[yellow]{peer.name} is passed over:[/] {reason}")
        else:
            found.append(peer)
    return found


def _missing(peer: Peer, venv: Path) -> str:
    if not (venv / "bin" / "python").exists():
        return f"no virtual environment {venv}; remedy: make bench-peers"
    if peer.distribution and not version(peer, venv):
        return f"{peer.distribution} is not in {venv}; remedy: rm -r {venv} && make bench-peers"
    return peer.server().missing


def version(peer: Peer, venv: Path) -> str:
    """Returns the version of a peer's distribution; empty if it is not there."""
    asks = f"from importlib.metadata import version; print(version({peer.distribution!r}))"
    told = subprocess.run(
        [str(venv / "bin" / "python"), "-c", asks], capture_output=True, text=True, check=False
    )
    return told.stdout.strip()


def run(peers: list[Peer], contest: Contest, console: Console) -> list[str]:
    """Measures all in turn, the other way round in every second round; returns who broke."""
    broken: dict[str, str] = {}
    looks = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*looks, console=console, transient=True) as progress:
        bar = progress.add_task("starting", total=contest.sizes.rounds * (len(peers) + 1))
        for number in range(contest.sizes.rounds):
            for peer in alternated([None, *peers], number):
                name = peer.name if peer else OURS
                progress.update(bar, description=f"round {number + 1}: {name}")
                try:
                    if peer is None:
                        contest.measure_ours()
                    elif name not in broken:
                        contest.measure_peer(peer)
                except BenchError as error:
                    if peer is None:
                        raise
                    broken[name] = str(error)
                    contest.rounds.drop(name)
                progress.advance(bar)
    return [f"{name} broke off: {reason}" for name, reason in broken.items()]


def show(console: Console, title: str, table: list[tuple[str, ...]]) -> None:
    """Prints a table."""
    shown = Table(title=title, title_justify="left")
    for at, name in enumerate(table[0]):
        shown.add_column(name, justify="right" if at else "left")
    for row in table[1:]:
        shown.add_row(*row)
    console.print(shown)


def page(figures: list[Figure], peers: list[Peer], contest: Contest) -> str:
    """Returns peers.md."""
    about = [("system", "version", "survives kill -9 of its server", "how it is run")]
    for peer in peers:
        told = [peer.server().version()]
        if peer.distribution:
            told.insert(0, f"{peer.distribution} {version(peer, contest.venv)}")
        about.append(
            (peer.name, ", ".join(told), "yes" if peer.survives_kill else "no", peer.about)
        )
    return "\n".join(
        [
            "# Beside the peers\n",
            "<!-- Made by `make bench-peers`. Run it again rather than change this page. -->\n",
            f"{machine(contest.folder)}\nMedians of {contest.sizes.rounds} rounds. The same work "
            "for all: no-op tasks of 100 B, two worker processes, results kept, on this one "
            "machine in turn. Ratios are of figures of the same round. What bounds ours stands "
            "in [Performance](../docs/performance.md).\n",
            "![The figures as bars](peers.svg)\n",
            "## Ratios\n",
            columns(rows(figures), right=(1, 2, 3, 4)),
            "## Figures\n",
            columns(ranking(figures), right=(1, 2, 3, 4, 5)),
            "## How the peers are run\n",
            columns(about),
        ]
    )


def main() -> None:
    """Measures and prints; exit code 1 if our own system broke or nobody could be measured."""
    options = arguments()
    end_politely()
    console = Console()
    usual = Sizes.quick() if options.quick else replace(Sizes.full(), single=SINGLE)
    sizes = replace(usual, **{it: to for it in ("rounds", "tasks") if (to := vars(options)[it])})
    venv = options.venv.absolute()
    peers = chosen(options.only, venv, console)
    parent = options.folder or BENCHMARKS.parent / "build"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-peers-", dir=parent))
    contest = Contest(folder, sizes, venv, Rounds())
    try:
        broken = run(peers, contest, console)
        figures = contest.rounds.figures()
        show(console, "Figures", ranking(figures))
        show(console, "Ratios", rows(figures))
        for line in broken:
            console.print(line, style="yellow", markup=False)
        out = options.out or (None if options.quick or options.only else BENCHMARKS)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            shown = sorted(figures, key=lambda it: it.unit, reverse=True)
            drawn = picture("Beside the peers", list(panels("Beside the peers", shown)))
            (out / "peers.svg").write_text(drawn, encoding="utf-8")
            (out / "peers.md").write_text(page(figures, peers, contest), encoding="utf-8")
            console.print(f"written: {out / 'peers.md'}, {out / 'peers.svg'}")
    except BenchError as error:
        sys.exit(f"the benchmark can't go on: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
