"""Masters with a bug on purpose: the harness must find each of them, or it proves nothing."""

from __future__ import annotations

from fault_harness.bench import Bench, Row
from fault_harness.fault import Fault, Scale
from fault_harness.faults.lost_replies import LostReplies
from fault_harness.faults.master_killed import MasterKilled
from fault_harness.planted import BUGS
from fault_harness.run import run_fault


class PlantedBuilds(Fault):
    """No time to recover: these builds must not pass."""

    name = "planted-builds"
    law = "a master without fence, and one that answers before its commit, are found out"

    async def inject(self, bench: Bench) -> None:
        bench.did("use builds with bugs")

    async def heal(self, bench: Bench) -> None:
        bench.did("use the right build")

    async def trial(self, bench: Bench) -> None:
        await self.inject(bench)
        for bug in BUGS:
            for kind in (MasterKilled, LostReplies):
                scale = Scale(times=min(self.scale.times or 4, 4))
                folder = bench.folder / f"{bug}-{kind.name}"
                row = await run_fault(kind, scale, folder, planted=bug)
                self._judge(bench, bug, row)
        await self.heal(bench)

    def _judge(self, bench: Bench, bug: str, row: Row) -> None:
        bench.row.times += 1
        broken = [it for it in row.problems if "broke off" not in it and "took" not in it]
        bench.require(bool(broken), f"{bug}: {row.fault} did not find it ({row.problems})")
        if broken:
            bench.note(f"{bug}: found by {row.fault}: {len(broken)} times, e.g. {broken[0]}")
