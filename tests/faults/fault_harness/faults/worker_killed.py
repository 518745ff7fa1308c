"""SIGKILL of a random worker every two seconds; another is started in its place."""

from __future__ import annotations

import math
import random
import time

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.fleet import DEFAULTS, Settings
from fault_harness.load import until_passed
from fault_harness.work import mark
from pullwork.task_info import AttemptEnd

EVERY_S = 2.0
WORKERS = 3


class WorkerKilled(Fault):
    """Recovery: from the kill until a task that the worker held is back in its queue."""

    name = "worker-killed"
    law = "the tasks of a killed worker are back in their queue within the grace and a second"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._killed_at: dict[str, float] = {}

    def settings(self) -> Settings:
        return DEFAULTS

    async def inject(self, bench: Bench) -> None:
        name = random.choice(sorted(bench.workers))
        worker = bench.workers.pop(name)
        # The story of a task is told in the master's wall clock, which is this machine's.
        self._killed_at[name] = time.time()
        bench.did(f"kill {name}")
        worker.kill()

    async def heal(self, bench: Bench) -> None:
        bench.start_worker(slots=2)

    async def trial(self, bench: Bench) -> None:
        times = self.scale.pick(6, 100)
        await bench.start_master()
        for _ in range(WORKERS):
            await self.heal(bench)
        load = bench.load(lambda _: mark.with_args(0.05), in_flight=200)
        load.start()
        await load.until_ended(20)
        began = time.monotonic()
        for kill in range(times):
            due = began + EVERY_S * (kill + 1)
            await until_passed(max(0.0, due - time.monotonic()))
            await self.inject(bench)
            await self.heal(bench)
            bench.row.times += 1
        await load.finish()
        await bench.judge()
        await self._requeues(bench)

    async def _requeues(self, bench: Bench) -> None:
        delays = []
        async for task in bench.client.list(owner=bench.client.owner):
            for attempt in task.attempts:
                killed_at = self._killed_at.get(attempt.worker)
                if killed_at is not None and attempt.end is not AttemptEnd.SUCCEEDED:
                    assert attempt.ended_at is not None
                    delays.append(attempt.ended_at.timestamp() - killed_at)
        bench.require(bool(delays), "no killed worker held a task: nothing was tried")
        if not delays:
            return
        delays.sort()
        bench.row.recoveries += delays
        p99_s = delays[math.ceil(0.99 * len(delays)) - 1]
        bound_s = bench.settings.grace + 1.0
        bench.row.bound_s = bound_s
        bench.note(f"{len(delays)} tasks requeued; 99th percentile {p99_s:.2f} s after the kill")
        bench.require(p99_s <= bound_s, f"p99 of the requeue is {p99_s:.2f} s, over {bound_s:g} s")
