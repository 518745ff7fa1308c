"""What the demo asks the running cluster: who is there, what waits, and when a death is noticed."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from pullwork.client import Client
from pullwork.demo.board import Board, WorkerLine
from pullwork.demo.cluster import Cluster, DemoError, Member
from pullwork.errors import NotFoundError, UnavailableError
from pullwork.node_info import WorkerInfo, WorkerState

LOOK_S: Final = 0.25
CLOSE_LOOK_S: Final = 0.02
JOIN_S: Final = 30.0
NOTICE_S: Final = 20.0


async def keep_current(client: Client, cluster: Cluster, board: Board) -> None:
    """Copies what the master says of queue and workers to the board, until cancelled.

    Raises DemoError when a process ends that nobody killed.
    """
    while True:
        cluster.check(cluster.master)
        for member in cluster.workers:
            cluster.check(member)
        try:
            copy_workers(await client.workers(queue="demo"), cluster, board)
            queue = await client.queues.get("demo")
            board.waiting, board.running = queue.waiting + queue.scheduled, queue.running
        except (NotFoundError, UnavailableError):
            pass  # before the first task there is no queue; a killed master comes back
        await asyncio.sleep(LOOK_S)


def copy_workers(found: list[WorkerInfo], cluster: Cluster, board: Board) -> None:
    """Copies the workers' states to the board."""
    infos = {info.name: info for info in found}
    for member in cluster.workers:
        worker = board.workers.setdefault(member.name, WorkerLine(member.name, member.pid))
        info = infos.get(member.name)
        worker.held = info.held if info is not None else 0
        if member.killed:
            worker.state = "killed"
        elif info is not None:
            worker.state = "works" if info.state is WorkerState.CONNECTED else "suspect"


async def until_joined(client: Client, cluster: Cluster, members: list[Member]) -> None:
    """Returns once the master knows these workers; raises DemoError if one ends or is late."""
    names = {member.name for member in members}
    ends = time.monotonic() + JOIN_S
    while True:
        for member in members:
            cluster.check(member)
        there = {
            info.name
            for info in await client.workers(queue="demo")
            if info.state is WorkerState.CONNECTED
        }
        if names <= there:
            return
        if time.monotonic() > ends:
            late = ", ".join(sorted(names - there))
            raise DemoError(f"no word of {late} within {JOIN_S:g} s")
        await asyncio.sleep(CLOSE_LOOK_S)


async def until_noticed(client: Client, name: str) -> tuple[float, float]:
    """Returns after how many seconds the master doubted a killed worker, and gave it up."""
    killed = time.monotonic()
    doubted = 0.0
    while time.monotonic() < killed + NOTICE_S:
        states = {info.name: info.state for info in await client.workers()}
        state = states.get(name, WorkerState.EXPIRED)
        passed = time.monotonic() - killed
        if state is not WorkerState.CONNECTED and not doubted:
            doubted = passed
        if state is WorkerState.EXPIRED:
            return doubted, passed
        await asyncio.sleep(CLOSE_LOOK_S)
    raise DemoError(f"the master did not notice the death of {name} within {NOTICE_S:g} s")
