"""The story of the demo: submit everything, lose a worker, gain two, perhaps lose the master."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pullwork import payload
from pullwork.client import Client
from pullwork.demo.board import Board
from pullwork.demo.cluster import Cluster
from pullwork.demo.tasks import Counted, count_words
from pullwork.demo.watchers import copy_workers, keep_current, until_joined, until_noticed
from pullwork.handle import Handle
from pullwork.task_info import TaskState

FIRST_GROUP: Final = ("first-1", "first-2", "first-3")
SECOND_GROUP: Final = ("second-1", "second-2")
KILL_AT: Final = 0.30
SCALE_AT: Final = 0.45
KILL_MASTER_AT: Final = 0.60


@dataclass(frozen=True)
class Step:
    """Something that happens to the cluster once a share of the job is done."""

    name: str
    share: float
    do: Callable[[], Awaitable[None]]


class Job:
    """One run over a list of files."""

    def __init__(self, cluster: Cluster, board: Board, files: list[Path]) -> None:
        self._cluster = cluster
        self._board = board
        self._files = files
        self._open_client: Client | None = None
        self._ended = asyncio.Condition()

    async def run(self, *, kill_master: bool) -> None:
        """Runs the job to its end. Raises DemoError and what a client raises."""
        board, cluster = self._board, self._cluster
        board.total = len(self._files)
        board.stage = "starting"
        await cluster.start_master()
        board.event(f"master {cluster.master.pid} serves at {cluster.address}")
        async with Client(cluster.address) as client:
            self._open_client = client
            await self._start_group(FIRST_GROUP)
            handles = await self._submit()
            steps = [
                Step("killing a worker", KILL_AT, self._kill_worker),
                Step("scaling out", SCALE_AT, self._scale_out),
            ]
            if kill_master:
                steps.append(Step("killing the master", KILL_MASTER_AT, self._kill_master))
            watching = asyncio.create_task(keep_current(client, cluster, board))
            try:
                async with asyncio.TaskGroup() as group:
                    story = [group.create_task(self._at(step)) for step in steps]
                    follow = group.create_task(self._follow(handles))
                    watching.add_done_callback(lambda _: follow.cancel())
                    await follow
                    await self._end_of(story)
            finally:
                watching.cancel()
                await asyncio.wait([watching])
                if not watching.cancelled() and (error := watching.exception()) is not None:
                    raise error
        board.job_ended = time.monotonic()

    @property
    def _client(self) -> Client:
        assert self._open_client is not None, "the job runs"
        return self._open_client

    async def _start_group(self, names: tuple[str, ...]) -> None:
        began = time.monotonic()
        members = [await self._cluster.start_worker(name) for name in names]
        await until_joined(self._client, self._cluster, members)
        copy_workers(await self._client.workers(), self._cluster, self._board)
        pids = ", ".join(f"{member.name} {member.pid}" for member in members)
        self._board.event(
            f"{len(names)} workers joined in {time.monotonic() - began:.1f} s: {pids}"
        )

    async def _submit(self) -> list[Handle[Counted]]:
        board = self._board
        board.stage = "counting"
        board.job_started = time.monotonic()
        calls = [count_words.with_args(str(path)) for path in self._files]
        handles = await self._client.submit_many(calls)
        board.event(
            f"{len(handles)} tasks submitted in {board.job_s:.2f} s, all on the master's disk"
        )
        return handles

    async def _follow(self, handles: list[Handle[Counted]]) -> None:
        async with asyncio.TaskGroup() as group:
            for handle in handles:
                group.create_task(self._take(handle))

    async def _take(self, handle: Handle[Counted]) -> None:
        board = self._board
        task = await handle.wait()
        if task.state is TaskState.SUCCEEDED and task.result is not None:
            counted: Counted = payload.decode_result(count_words, *task.result)
            board.words.update(counted.words)
            if counted.worker in board.workers:
                board.workers[counted.worker].done += 1
        else:
            why = task.failure.message if task.failure is not None else task.state
            board.failed.append(f"task {task.id} ended as {task.state}: {why}")
        board.repeated += task.attempt > 1
        board.done += 1
        async with self._ended:
            self._ended.notify_all()

    async def _at(self, step: Step) -> None:
        async with self._ended:
            await self._ended.wait_for(lambda: self._board.share >= step.share)
        if self._board.done < self._board.total:
            await step.do()
        else:
            self._board.event(f"all was done before {step.name} had its turn: give it more files")

    async def _end_of(self, story: list[asyncio.Task[None]]) -> None:
        """Lets steps that began end; the last task may end while a new worker still starts."""
        await asyncio.wait(story)

    async def _kill_worker(self) -> None:
        workers = {info.name: info for info in await self._client.workers(queue="demo")}
        victim = max(
            (member for member in self._cluster.workers if not member.killed),
            key=lambda member: workers[member.name].held if member.name in workers else -1,
        )
        victim.kill()
        info = workers.get(victim.name)
        held = info.held if info is not None else 0
        self._board.event(
            f"KILLED worker {victim.name}, pid {victim.pid}, with SIGKILL; it held {held} tasks"
        )
        doubted, given_up = await until_noticed(self._client, victim.name)
        self._board.event(
            f"the master noticed after {doubted * 1000:.0f} ms and gave its tasks to others "
            f"after {given_up:.1f} s"
        )

    async def _scale_out(self) -> None:
        self._board.event("SCALING OUT: a second group of two workers starts")
        await self._start_group(SECOND_GROUP)

    async def _kill_master(self) -> None:
        master, began = self._cluster.master, time.monotonic()
        master.kill()
        await master.process.wait()
        self._board.event(f"KILLED the master, pid {master.pid}, with SIGKILL")
        await self._cluster.start_master()
        self._board.event(
            f"a new master, pid {self._cluster.master.pid}, serves from the same folder "
            f"{time.monotonic() - began:.1f} s later"
        )
