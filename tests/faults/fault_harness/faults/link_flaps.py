"""The link of a worker down for a second, again and again: shorter than any grace."""

from __future__ import annotations

import time

from cluster import until

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.faults.frozen_worker import sessions
from fault_harness.fleet import DEFAULTS, Settings
from fault_harness.load import until_passed
from fault_harness.wire import Wire, make_wire
from fault_harness.work import mark

DOWN_S = 1.0


class LinkFlaps(Fault):
    """Recovery: from the link's return until a task ends again."""

    name = "link-flaps"
    law = "a link that is away for less than the grace costs nothing: no task is requeued"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._wire: Wire

    def settings(self) -> Settings:
        return DEFAULTS

    def bound_s(self) -> float:
        # A connection may be given up, after 5 s without an answer, and has to be made anew.
        return 8.0

    async def inject(self, bench: Bench) -> None:
        bench.did("link down")
        await self._wire.down()

    async def heal(self, bench: Bench) -> None:
        await self._wire.mend()
        bench.did("link up")

    async def trial(self, bench: Bench) -> None:
        self._wire = make_wire()
        try:
            await bench.start_master(listen=self._wire.listen)
            await self._wire.open(bench.fleet.address)
            for _ in range(2):
                bench.start_worker(slots=1, way=self._wire.way())
            load = bench.load(lambda _: mark.with_args(0.02), in_flight=100)
            load.start()
            await load.until_ended(20)
            await until(lambda: _both(bench), "both workers are connected")
            before = await sessions(bench)
            for _ in range(self.scale.pick(5, 100)):
                await self.inject(bench)
                await until_passed(DOWN_S)
                up_at = time.monotonic()
                await self.heal(bench)
                bench.recovered(up_at, await load.until_flows(up_at))
                bench.row.times += 1
            await load.finish()
            account = await bench.judge()
            bench.require(account.over_one == 0, f"{account.over_one} executions over one")
            bench.require(await sessions(bench) == before, "a session did not live through it")
            tasks = [task async for task in bench.client.list(owner=bench.client.owner)]
            again = [task for task in tasks if task.attempt != 1]
            bench.require(not again, f"{len(again)} tasks were requeued")
            bench.note(f"made by: {self._wire.told}")
        finally:
            await self._wire.close()


async def _both(bench: Bench) -> bool:
    return (await sessions(bench)).keys() >= bench.workers.keys()
