"""SIGSTOP of the master for longer than any lease; then it goes on."""

from __future__ import annotations

import time

from cluster import Process, until

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.faults.frozen_worker import sessions
from fault_harness.fleet import BRISK, DEFAULTS, Settings, Way
from fault_harness.load import until_passed
from fault_harness.work import mark


class MasterFrozen(Fault):
    """Recovery: from SIGCONT until every worker is connected and tasks end again."""

    name = "master-frozen"
    law = "a master that was itself away expires nobody: the same sessions go on"

    def settings(self) -> Settings:
        return DEFAULTS if self.scale.full else BRISK

    def bound_s(self) -> float:
        return 5.0

    async def inject(self, bench: Bench) -> None:
        bench.did("freeze the master")
        bench.master.freeze()

    async def heal(self, bench: Bench) -> None:
        bench.master.thaw()
        bench.did("thaw the master")

    async def trial(self, bench: Bench) -> None:
        count = self.scale.pick(20, 50)
        away_s = bench.settings.eviction_s + (5 if self.scale.full else 3)
        await bench.start_master()
        for _ in range(2):
            bench.start_worker()
        self._start_crowd(bench, count)
        names = {f"crowd-{number}" for number in range(count)} | bench.workers.keys()
        load = bench.load(lambda _: mark.with_args(0.01), in_flight=100)
        load.start()
        await until(lambda: _connected(bench, names), "everybody is connected")
        await load.until_ended(20)
        before = await sessions(bench)
        for _ in range(self.scale.pick(1, 2)):
            await self.inject(bench)
            await until_passed(away_s)
            thawed_at = time.monotonic()
            await self.heal(bench)
            await until(lambda: _connected(bench, names), "everybody is connected again")
            bench.recovered(thawed_at, max(time.monotonic(), await load.until_flows(thawed_at)))
            # Whoever was wrongly doubted would be expired by now.
            await until_passed(bench.settings.eviction_s + 1)
            after = await sessions(bench)
            expired = sorted(name for name in names if after.get(name) != before.get(name))
            bench.require(not expired, f"expired though healthy: {', '.join(expired)}")
            before = after
            bench.row.times += 1
        await load.finish()
        await bench.judge()
        bench.note(f"frozen for {away_s:g} s with {len(names)} sessions")

    def _start_crowd(self, bench: Bench, count: int) -> Process:
        bench.fleet.ways["crowd"] = Way(env={"PULLWORK_ADDRESS": bench.fleet.address})
        return bench.fleet._start("crowd", ["fault_harness.crowd", str(count)], {})


async def _connected(bench: Bench, names: set[str]) -> bool:
    return (await sessions(bench)).keys() >= names
