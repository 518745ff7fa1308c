"""SIGSTOP of a worker: the kernel keeps its connections open, and nobody answers."""

from __future__ import annotations

import random
import time

from cluster import Process, until

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.fleet import BRISK, DEFAULTS, Settings
from fault_harness.late import late_report
from fault_harness.load import until_passed
from fault_harness.work import mark
from pullwork.node_info import WorkerState


class WorkerFrozen(Fault):
    """Recovery: from SIGSTOP until its session is over and its tasks are back."""

    name = "worker-frozen"
    law = (
        "a frozen worker is evicted within keepalive, ping timeout and grace; its late reports are "
        "STALE_LEASE; thawed, it works on by itself"
    )

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._frozen: Process

    def settings(self) -> Settings:
        return DEFAULTS if self.scale.full else BRISK

    def bound_s(self) -> float:
        # Silence is three heartbeats: with the defaults 15 s, as long as keepalive and ping.
        return self.settings().eviction_s + 1.0

    async def inject(self, bench: Bench) -> None:
        self._frozen = bench.workers[random.choice(sorted(bench.workers))]
        bench.did(f"freeze {self._frozen.name}")
        self._frozen.freeze()

    async def heal(self, bench: Bench) -> None:
        self._frozen.thaw()
        bench.did(f"thaw {self._frozen.name}")

    async def trial(self, bench: Bench) -> None:
        await bench.start_master()
        for _ in range(2):
            bench.start_worker()
        load = bench.load(lambda _: mark.with_args(0.05), in_flight=100)
        load.start()
        await load.until_ended(20)
        slowest_s = 0.0
        for _ in range(self.scale.pick(3, 5)):
            await until(lambda: self._all_in(bench), "all workers are connected")
            before = await sessions(bench)
            frozen_at = time.monotonic()
            await self.inject(bench)
            name = self._frozen.name
            await until(
                lambda name=name, old=before: self._gone(bench, name, old), "it is evicted", 60
            )
            bench.recovered(frozen_at)
            await until_passed(0.5)
            thawed_at = time.monotonic()
            await self.heal(bench)
            await until(lambda: self._all_in(bench), "the thawed worker is back")
            slowest_s = max(slowest_s, time.monotonic() - thawed_at)
            bench.row.times += 1
        await load.finish()
        await late_report(bench, _only_silence)
        await bench.judge()
        bench.require(
            all(worker.running for worker in bench.workers.values()), "a worker process ended"
        )
        bench.note(f"thawed, a worker was registered again after {slowest_s:.2f} s at most")

    async def _all_in(self, bench: Bench) -> bool:
        return (await sessions(bench)).keys() >= bench.workers.keys()

    async def _gone(self, bench: Bench, name: str, before: dict[str, str]) -> bool:
        workers = await bench.client.workers()
        return all(worker.session_id != before[name] for worker in workers)


async def sessions(bench: Bench) -> dict[str, str]:
    """Returns the sessions of connected workers by name."""
    workers = await bench.client.workers(state=WorkerState.CONNECTED)
    return {worker.name: worker.session_id for worker in workers}


async def _only_silence() -> None:
    return None
