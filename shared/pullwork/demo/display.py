"""Shows the board: a live picture on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pullwork.demo.board import Board

FRAME_S: Final = 0.1
LINE_S: Final = 1.0
_STYLES: Final = {"works": "green", "starts": "cyan", "killed": "red", "suspect": "yellow"}


@contextlib.asynccontextmanager
async def shown(board: Board, console: Console) -> AsyncIterator[None]:
    """Shows the board while the block runs."""
    board.on_event = lambda message: console.print(
        f"[dim]{board.elapsed_s:5.1f} s[/]  {escape(message)}",
        soft_wrap=not console.is_terminal,
    )
    showing = asyncio.create_task(
        _pictures(board, console) if console.is_terminal else _lines(board)
    )
    try:
        yield
    finally:
        showing.cancel()
        await asyncio.wait([showing])


async def _pictures(board: Board, console: Console) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(picture(board), refresh=True)
            await asyncio.sleep(FRAME_S)


async def _lines(board: Board) -> None:
    told = -1
    while True:
        if board.job_started and board.done != told:
            told = board.done
            board.event(line(board))
        await asyncio.sleep(LINE_S)


def line(board: Board) -> str:
    """Returns the state of the job in one line."""
    shares = " ".join(f"{worker.name}:{worker.done}" for worker in board.workers.values())
    return (
        f"{board.waiting} wait, {board.running} run, {board.done} of {board.total} done, "
        f"{board.rate:.0f}/s; {shares}"
    )


def picture(board: Board) -> Group:
    """Returns the live picture."""
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_row(
        Text(board.stage, style="bold"),
        ProgressBar(total=max(board.total, 1), completed=board.done, width=30),
        f"{board.done} of {board.total}",
        f"{board.elapsed_s:.1f} s",
    )
    if not board.workers:
        return Group(head)
    counts = Text.from_markup(
        f"waiting [blue]{board.waiting}[/]  running [yellow]{board.running}[/]  "
        f"done [green]{board.done}[/]  {board.rate:.0f} tasks/s"
    )
    rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("WORKER", "PID", "STATE"):
        rows.add_column(name, no_wrap=True)
    for name in ("HOLDS", "DONE"):
        rows.add_column(name, justify="right")
    rows.add_column("SHARE")
    most = max((worker.done for worker in board.workers.values()), default=0)
    for worker in board.workers.values():
        rows.add_row(
            worker.name,
            str(worker.pid),
            Text(worker.state, style=_STYLES.get(worker.state, "")),
            str(worker.held),
            str(worker.done),
            ProgressBar(total=max(most, 1), completed=worker.done, width=20),
        )
    return Group(head, counts, rows)
