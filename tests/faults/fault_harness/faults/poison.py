"""Tasks that kill whoever runs them; a supervisor starts their workers again and again."""

from __future__ import annotations

import asyncio
import time

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.load import until_passed
from fault_harness.work import kill_executor, kill_worker, mark
from pullwork.ids import new_task_id
from pullwork.task_info import AttemptEnd, FailureKind, TaskInfo, TaskState

DEATHS_MAX = 3


class Poison(Fault):
    """Recovery: from the submission of a poisoned task until it is set aside."""

    name = "poison"
    law = "a task that kills its workers is FAILED after max_worker_deaths; the queue flows on"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._deaths = 0

    async def inject(self, bench: Bench) -> None:
        deadly = kill_worker if bench.row.times % 2 == 0 else kill_executor
        task_id = new_task_id()
        began = time.monotonic()
        deaths = self._deaths
        await bench.submit(deadly.with_args(), task_id, max_worker_deaths=DEATHS_MAX)
        await bench.hear(task_id)
        bench.recovered(began)
        ended = await bench.client.get(task_id)
        bench.require(
            ended.state is TaskState.FAILED
            and ended.failure is not None
            and ended.failure.kind is FailureKind.WORKER_LOST
            and bool(ended.failure.message)
            and ended.worker_deaths == DEATHS_MAX == _deaths(ended),
            f"{deadly.type} ended as {ended.state} after {ended.worker_deaths}: {ended.failure}",
        )
        bench.require(
            self._deaths - deaths <= DEATHS_MAX, f"{self._deaths - deaths} workers died of it"
        )

    async def heal(self, bench: Bench) -> None:
        """Starts again every worker that died, as a supervisor does."""
        for name, worker in list(bench.workers.items()):
            if not worker.running:
                self._deaths += 1
                del bench.workers[name]
                bench.start_worker(slots=2)

    async def trial(self, bench: Bench) -> None:
        await bench.start_master()
        for _ in range(2):
            bench.start_worker(slots=2)
        supervisor = asyncio.create_task(self._supervise(bench))
        try:
            load = bench.load(lambda _: mark.with_args(0.01), in_flight=100)
            load.start()
            await load.until_ended(20)
            for _ in range(self.scale.pick(2, 20)):
                ended = load.ended
                await self.inject(bench)
                await load.until_ended(ended + 20)
                bench.row.times += 1
            await load.finish()
        finally:
            supervisor.cancel()
        await bench.judge()
        bench.note(f"{self._deaths} workers died, and were started again")

    async def _supervise(self, bench: Bench) -> None:
        while True:
            await self.heal(bench)
            await until_passed(0.1)


def _deaths(task: TaskInfo) -> int:
    """Returns how many deaths its story has; an attempt that was given back unstarted is none."""
    return sum(attempt.end is AttemptEnd.WORKER_LOST for attempt in task.attempts)
