"""`watch` and `wait`: follow tasks as they change and end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from pullwork.cli.connect import with_client
from pullwork.cli.exits import ExitCode
from pullwork.cli.options import Address, AsJson, Config, Owner, Queue

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from pullwork.client import Client
    from pullwork.task_info import TaskInfo

TaskIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="These tasks.")]
IDS_MAX = 1000


def watch(
    task_ids: TaskIds = None,
    *,
    owner: Owner = None,
    queue: Queue = None,
    every_change: Annotated[
        bool, typer.Option("--every-change", help="Every change of state, not only ends.")
    ] = False,
    cursor: Annotated[
        str | None, typer.Option(help="Go on where an earlier --json watch was.")
    ] = None,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Print tasks as they end, by ids, owner or queue; with ids until all have ended.

    With --json a line is {"task": ..., "cursor": ...}.
    """

    _require_one(task_ids, owner, queue)

    async def follow(client: Client) -> int:
        from pullwork.cli.documents import print_line
        from pullwork.cli.words import now_utc

        stream = client.watch(
            task_ids=task_ids or [],
            owner=owner or "",
            queue=queue or "",
            every_change=every_change,
            cursor=cursor or "",
        )
        out = _line_console()
        told_lapse = False
        async for task in stream:
            if stream.lapsed and not told_lapse:
                told_lapse = True
                _say_lapse()
            if as_json:
                print_line({"task": task, "cursor": stream.cursor})
            else:
                out.print(_line(task, f"{now_utc().astimezone():%H:%M:%S}"), soft_wrap=True)
        return _say_unknown(stream.unknown_task_ids)

    unknown = with_client(address, config, follow)
    if unknown:
        raise typer.Exit(ExitCode.NOT_FOUND)


def wait(
    task_ids: TaskIds = None,
    *,
    owner: Owner = None,
    queue: Queue = None,
    timeout: Annotated[
        str | None, typer.Option(help="Give up after this, e.g. 5m; the tasks go on.")
    ] = None,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Wait until tasks have ended: these, or all of an owner or queue that are there now.

    Ends with 1 if one of them failed or was cancelled. With --json prints each end on a line.
    """
    from pullwork.cli.arguments import read_span
    from pullwork.cli.group import say

    _require_one(task_ids, owner, queue)
    patience = read_span(timeout, "--timeout")
    tally = Tally(as_json)

    async def follow(client: Client) -> int:
        ids = list(dict.fromkeys(task_ids or []))
        with tally.bar:
            try:
                async with asyncio.timeout(patience):
                    if ids:
                        return await _wait_for_ids(client, ids, tally)
                    await _wait_for_line(client, owner or "", queue or "", tally)
                    return 0
            except TimeoutError:
                tally.timed_out = True
                return 0

    unknown = with_client(address, config, follow)
    if not as_json:
        say(tally.words())
    if tally.timed_out:
        raise typer.Exit(ExitCode.TIMED_OUT)
    if unknown:
        raise typer.Exit(ExitCode.NOT_FOUND)
    if tally.bad:
        raise typer.Exit(ExitCode.FAILED)


def _require_one(task_ids: list[str] | None, owner: str | None, queue: str | None) -> None:
    from pullwork.errors import InvalidFieldError

    if (bool(task_ids), bool(owner), bool(queue)).count(True) != 1:
        raise InvalidFieldError("say which tasks, by one of: ids, --owner, --queue")


class Tally:
    """Counts ends, moves the bar, and prints lines for programs."""

    def __init__(self, as_json: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        self.as_json = as_json
        self.timed_out = False
        self.total = self.good = self.bad = 0
        console = Console(stderr=True)
        self.bar: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            Elapsed(),
            console=console,
            disable=as_json or not console.is_terminal,
            transient=True,
        )
        self._line = self.bar.add_task("waiting", total=None)

    def expect(self, total: int) -> None:
        """Says how many ends there will be."""
        self.total = total
        self.bar.update(self._line, total=total)

    def add(self, task: TaskInfo) -> None:
        """Counts an end."""
        from pullwork.cli.documents import print_line

        if task.state == "SUCCEEDED":
            self.good += 1
        else:
            self.bad += 1
        self.bar.update(self._line, completed=self.good + self.bad)
        if self.as_json:
            print_line(task)

    def words(self) -> str:
        """Returns the count in words."""
        left = self.total - self.good - self.bad
        parts = [f"{self.good} of {self.total} succeeded"]
        if self.bad:
            parts.append(f"{self.bad} failed or were cancelled")
        if self.timed_out:
            parts.append(f"{left} have not ended: the time is over, they go on")
        return ", ".join(parts) if self.total else "nothing to wait for"


async def _wait_for_ids(client: Client, ids: list[str], tally: Tally) -> int:
    tally.expect(len(ids))
    unknown = 0
    for start in range(0, len(ids), IDS_MAX):
        stream = client.watch(task_ids=ids[start : start + IDS_MAX])
        async for task in _ends(stream):
            tally.add(task)
        unknown += _say_unknown(stream.unknown_task_ids)
    return unknown


async def _wait_for_line(client: Client, owner: str, queue: str, tally: Tally) -> None:
    """Follows the ends of an owner or queue until all are told that had not ended at the start."""
    from pullwork.task_info import TaskState

    # The watch stands before the list is read, so an end in between is not missed.
    stream = await client.watch(owner=owner, queue=queue).open()
    open_states = [state for state in TaskState if not state.ended and state != "UNKNOWN"]
    waiting = {task.id async for task in client.list(owner=owner, queue=queue, states=open_states)}
    tally.expect(len(waiting))
    if not waiting:
        return
    async for task in _ends(stream):
        if task.id in waiting:
            waiting.discard(task.id)
            tally.add(task)
        if not waiting:
            return


async def _ends(stream: AsyncIterator[TaskInfo]) -> AsyncIterator[TaskInfo]:
    async for task in stream:
        if task.state.ended:
            yield task


def _line(task: TaskInfo, moment: str) -> str:
    from rich.markup import escape

    from pullwork.cli.printable import printable
    from pullwork.cli.words import news_of, styled

    news = escape(printable(news_of(task)))
    return f"{moment} {task.id} {styled(task.state):<9} {escape(task.type)}  {news}".rstrip()


def _line_console() -> Console:
    from pullwork.cli.sheet import console

    return console()


def _say_unknown(task_ids: tuple[str, ...]) -> int:
    from pullwork.cli.group import say

    for task_id in task_ids:
        say(f"no task {task_id}; perhaps it ended and its retention is over")
    return len(task_ids)


def _say_lapse() -> None:
    print("pullwork: retention deleted ends since this cursor; they can't be told", file=sys.stderr)
