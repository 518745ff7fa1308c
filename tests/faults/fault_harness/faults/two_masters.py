"""A second master on the folder, or on the port, of one that runs, or that is frozen."""

from __future__ import annotations

import time

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.work import quick


class TwoMasters(Fault):
    """Recovery: until the second master has refused to start."""

    name = "two-masters"
    law = "a folder and a port have one master; the second says who is there, and ends"

    def bound_s(self) -> float:
        return 10.0

    async def inject(self, bench: Bench) -> None:
        await self._second(bench, "folder", "127.0.0.1:0", "another master")

    async def heal(self, bench: Bench) -> None:
        bench.did("nothing: the second ended by itself")

    async def trial(self, bench: Bench) -> None:
        await bench.start_master()
        bench.start_worker()
        load = bench.load(lambda _: quick.with_args())
        load.start()
        for _ in range(self.scale.pick(2, 10)):
            await load.until_ended(load.ended + 200)
            await self.inject(bench)
            await self._second(bench, "port", bench.fleet.address, bench.fleet.address)
            bench.master.freeze()
            await self.inject(bench)
            bench.master.thaw()
            await self.heal(bench)
        await load.finish()
        await bench.judge()
        bench.require(bench.master.running, "the first master ended")

    async def _second(self, bench: Bench, what: str, listen: str, says: str) -> None:
        bench.did(f"a second master on the {what}")
        began = time.monotonic()
        data = bench.fleet.data if what == "folder" else bench.folder / "other"
        name = f"second-{bench.row.times}"
        second = bench.fleet.started_master(name=name, listen=listen, data=data)
        code = await second.ended()
        bench.recovered(began)
        said = second.said()
        bench.require(code != 0, f"a second master on the {what} went on")
        bench.require(
            says in said and "Traceback" not in said, f"it does not say why: {said[-200:]}"
        )
        bench.row.times += 1
