"""Code that blocks what it runs in: the worker's event loop, its interpreter, a child process."""

from __future__ import annotations

import time

from cluster import Process, until

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.faults.frozen_worker import sessions
from fault_harness.work import block_loop, hold_gil, mark, stuck
from pullwork.ids import new_task_id
from pullwork.task_info import FailureKind, TaskState
from pullwork.tasks import Call

# The pattern of hold_gil takes so many letters to be busy for some seconds on a slow machine.
LETTERS = 28


class Blocked(Fault):
    """Recovery: from the start of what blocks until the master lets go of the worker."""

    name = "blocked"
    law = (
        "what keepalive cannot see, heartbeats and progress timeouts do: a blocked loop, a held "
        "interpreter, a stuck child"
    )

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._victim: Process
        self._call: Call[str]
        self._task_id = ""

    def bound_s(self) -> float:
        return self.settings().eviction_s + 1.5

    async def inject(self, bench: Bench) -> None:
        bench.did(f"block by {self._call.task.type}")
        self._task_id = new_task_id()
        await bench.submit(self._call, self._task_id, max_worker_deaths=1)

    async def heal(self, bench: Bench) -> None:
        bench.did("end the worker that was blocked")
        self._victim.kill()
        del bench.workers[self._victim.name]

    async def trial(self, bench: Bench) -> None:
        await bench.start_master()
        lasts_s = self.bound_s() + 6
        for _ in range(self.scale.pick(1, 5)):
            for self._call in (block_loop.with_args(lasts_s), hold_gil.with_args(LETTERS)):
                await self._one(bench)
            await self._stuck(bench)
        await bench.judge()

    async def _one(self, bench: Bench) -> None:
        self._victim = bench.start_worker(slots=2)
        name = self._victim.name
        await until(lambda: _in(bench, name), "the worker is there")
        began = time.monotonic()
        await self.inject(bench)
        await until(lambda: _out(bench, name), "the master lets go of it", self.bound_s() + 5)
        bench.recovered(began)
        # One death was all that this task may cause: it is set aside, with evidence.
        ended = await bench.client.handle(self._task_id).wait(30)
        bench.require(
            ended.failure is not None and ended.failure.kind is FailureKind.WORKER_LOST,
            f"{self._call.task.type} ended as {ended.state} {ended.failure}",
        )
        await bench.hear(self._task_id)
        beside = new_task_id()
        await bench.submit(mark.with_args(0.0), beside)
        if self._call.task.type == block_loop.type:
            # Its loop runs again after a while: it comes back by itself, and works.
            await until(lambda: _in(bench, name), "it is back by itself", 30)
            await bench.hear(beside)
            await self.heal(bench)
        else:
            await self.heal(bench)
            heir = bench.start_worker(slots=1)
            await bench.hear(beside)
            heir.kill()
            del bench.workers[heir.name]
        bench.row.times += 1

    async def _stuck(self, bench: Bench) -> None:
        """A child that says nothing: its worker is well, and the progress timeout finds it."""
        worker = bench.start_worker(slots=1)
        task_id = new_task_id()
        await until(lambda: _in(bench, worker.name), "the worker is there")
        session = (await sessions(bench))[worker.name]
        await bench.submit(stuck.with_args(), task_id)
        await until(lambda: _runs(bench, task_id), "the child, which takes a while to start, runs")
        began = time.monotonic()
        await bench.hear(task_id)
        bench.recovered(began)
        ended = await bench.client.get(task_id)
        bench.require(
            ended.failure is not None and ended.failure.kind is FailureKind.TIMEOUT,
            f"a stuck child ended as {ended.state} {ended.failure}",
        )
        bench.require(
            (await sessions(bench)).get(worker.name) == session, "the worker of it was expired"
        )
        beside = new_task_id()
        await bench.submit(mark.with_args(0.0), beside)
        await bench.hear(beside)
        worker.kill()
        del bench.workers[worker.name]
        bench.row.times += 1


async def _runs(bench: Bench, task_id: str) -> bool:
    return (await bench.client.get(task_id)).state is TaskState.RUNNING


async def _in(bench: Bench, name: str) -> bool:
    return name in await sessions(bench)


async def _out(bench: Bench, name: str) -> bool:
    return all(worker.name != name for worker in await bench.client.workers())
