"""Runs the demo from start to verdict."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.progress import track

from pullwork.demo.board import Board
from pullwork.demo.cluster import Cluster
from pullwork.demo.display import shown
from pullwork.demo.job import Job
from pullwork.demo.words import count_plainly, differences, find_files, standard_library
from pullwork.errors import InvalidFieldError

SLOTS: Final = 2
TOP: Final = 20
SHOWN_MAX: Final = 10
_STOPPING: Final = (signal.SIGTERM, signal.SIGHUP)


def run_demo(folder: Path | None, *, kill_master: bool) -> bool:
    """Runs the whole demo and returns whether the totals were right."""
    console = Console(highlight=False)
    if folder is not None and not folder.is_dir():
        raise InvalidFieldError(f"--dir {folder} is no folder", field="dir")
    where = standard_library() if folder is None else folder.resolve()
    files = find_files(where)
    if not files:
        raise InvalidFieldError(f"no .py file below {where}: choose another --dir", field="dir")
    size = sum(path.stat().st_size for path in files)
    console.print(
        f"Counting the words of {len(files)} Python files ({size / 1e6:.1f} MB) in {where}",
        soft_wrap=not console.is_terminal,
    )
    board = Board()
    try:
        asyncio.run(_run(board, console, files, kill_master))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    console.print("\nCounting the same files plainly, in one process without Pullwork ...")
    began = time.monotonic()
    plain = count_plainly(track(files, "plain count", console=console, transient=True))
    return tell_verdict(board, console, plain, time.monotonic() - began)


async def _run(board: Board, console: Console, files: list[Path], kill_master: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="pullwork-demo-") as folder, stopped_by_signals():
        async with shown(board, console), Cluster(Path(folder), SLOTS) as cluster:
            await Job(cluster, board, files).run(kill_master=kill_master)


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Makes SIGTERM, and SIGHUP of a terminal that closes, end the demo as Ctrl-C does: nothing
    that it started is left behind."""
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    for number in _STOPPING:
        loop.add_signal_handler(number, me.cancel)
    try:
        yield
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)


def tell_verdict(board: Board, console: Console, plain: Counter[str], plain_s: float) -> bool:
    """Compares the totals with a plain count, and tells and returns whether they are right."""
    _print_shares(board, console)
    _print_top(board, console)
    wrong = differences(board.words, plain)
    for failure in board.failed[:SHOWN_MAX]:
        console.print(f"[red]{escape(failure)}[/]", soft_wrap=not console.is_terminal)
    for difference in wrong[:SHOWN_MAX]:
        console.print(f"[red]{escape(difference)}[/]", soft_wrap=not console.is_terminal)
    if wrong or board.failed:
        console.print(
            f"[bold red]WRONG[/]: {len(board.failed)} tasks failed, {len(wrong)} words differ "
            "from the plain count"
        )
        return False
    console.print(
        f"[bold green]RIGHT[/]: {board.words.total()} words, {len(board.words)} different ones, "
        f"equal to the plain count"
    )
    console.print(
        f"cluster {board.job_s:.1f} s, plain count {plain_s:.1f} s, "
        f"all together {board.elapsed_s:.1f} s"
    )
    return True


def _print_shares(board: Board, console: Console) -> None:
    shares = ", ".join(
        f"{worker.name} {worker.done}{' (killed)' * (worker.state == 'killed')}"
        for worker in board.workers.values()
    )
    console.print(f"Tasks by worker: {shares}", soft_wrap=not console.is_terminal)
    console.print(f"Tasks that took more than one attempt: {board.repeated}")


def _print_top(board: Board, console: Console) -> None:
    console.print(f"The {TOP} most frequent words:")
    top = board.words.most_common(TOP)
    widest = max((len(word) for word, _ in top), default=0)
    for word, count in top:
        console.print(f"  {escape(word):<{widest}}  {count:>8}")
