"""The producer: keeps a running master busy with one task a second."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from pullwork.client import Client
from pullwork.demo.tasks import Counted, count_words
from pullwork.demo.words import find_files, standard_library
from pullwork.errors import PullworkError
from pullwork.handle import Handle

PAUSE_S: Final = 1.0
OPEN_MAX: Final = 1000
RETENTION_S: Final = 600


async def produce(client: Client, folder: Path | None) -> None:
    """Submits a task a second until it is cancelled, and tells of each end.

    It goes on through a restart of the master, and holds back while many tasks are open.
    """
    console = Console(highlight=False)
    files = find_files(folder or standard_library())
    console.print(
        f"A task a second to {client.address}; Ctrl-C ends it. Workers for it: "
        "pullwork worker --tasks pullwork.demo.tasks --queue demo",
        soft_wrap=not console.is_terminal,
    )
    following: set[asyncio.Task[None]] = set()
    for path in itertools.cycle(files):
        pause = asyncio.create_task(asyncio.sleep(PAUSE_S))
        if len(following) < OPEN_MAX:
            try:
                call = count_words.with_args(str(path))
                handle = await client.submit(call, retention=RETENTION_S)
            except PullworkError as error:
                console.print(
                    f"[red]not submitted[/]: {escape(str(error))}",
                    soft_wrap=not console.is_terminal,
                )
            else:
                follow = asyncio.create_task(_follow(handle, path, console))
                following.add(follow)
                follow.add_done_callback(following.discard)
        else:
            console.print(f"{len(following)} tasks have not ended: waiting for workers")
        await pause


async def _follow(handle: Handle[Counted], path: Path, console: Console) -> None:
    try:
        counted = await handle.result()
    except PullworkError as error:
        console.print(f"[red]{escape(str(error))}[/]", soft_wrap=not console.is_terminal)
        return
    words = sum(counted.words.values())
    where = f" on {counted.worker}" if counted.worker else ""
    file = escape(f"{path.parent.name}/{path.name}")
    console.print(f"{handle.id} {file}: {words} words{where}", soft_wrap=not console.is_terminal)
