"""SIGKILL of the master, again and again, while tasks stream in and out."""

from __future__ import annotations

import time

from cluster import until

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.fleet import BRISK, DEFAULTS, Settings
from fault_harness.late import late_report
from fault_harness.load import PATIENCE_S
from fault_harness.work import mark, quick


class MasterKilled(Fault):
    """Recovery: from the kill until a task submitted after it is stored, and another ends."""

    name = "master-killed"
    law = "acknowledged is on disk: SIGKILL of the master loses nothing and doubles nothing"

    def settings(self) -> Settings:
        return DEFAULTS if self.scale.full else BRISK

    def bound_s(self) -> float:
        return 5.0

    async def inject(self, bench: Bench) -> None:
        bench.did("kill")
        bench.master.kill()

    async def heal(self, bench: Bench) -> None:
        await bench.restart_master()
        bench.did("restarted")

    async def trial(self, bench: Bench) -> None:
        times = self.scale.pick(5, 50)
        tasks = 1_000 * (times + 2) if self.scale.times else self.scale.pick(6_000, 100_000)
        await bench.start_master()
        for _ in range(2):
            bench.start_worker(slots=2)
        load = bench.load(lambda n: quick.with_args() if n % 4 else mark.with_args(0.0))
        load.start(tasks)
        for kill in range(times):
            await load.until_ended(tasks * (kill + 1) // (times + 2))
            # Just after an acknowledgement: whoever answers before the commit is caught here.
            await load.until_acknowledged(load.acknowledged + 1)
            killed_at = time.monotonic()
            await self.inject(bench)
            await self.heal(bench)
            ready_at = time.monotonic()
            bench.recovered(killed_at, await load.until_flows(ready_at))
            bench.row.times += 1
        await until(lambda: load.submitted >= tasks, "all are submitted", PATIENCE_S)
        await load.finish()
        await late_report(bench, lambda: self._again(bench))
        await bench.judge()
        mean_s = sum(bench.row.recoveries) / len(bench.row.recoveries)
        bench.note(f"mean time to recover {mean_s:.2f} s, the start of the process included")

    async def _again(self, bench: Bench) -> None:
        """One kill more: the worker that held a ticket does not come back in time."""
        await self.inject(bench)
        await self.heal(bench)
        bench.row.times += 1
