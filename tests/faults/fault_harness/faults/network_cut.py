"""The network of one worker and one client cut: both ways, and each way by itself."""

from __future__ import annotations

import json
import time

from cluster import Process, until

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.faults.frozen_worker import sessions
from fault_harness.fleet import BRISK, DEFAULTS, Settings
from fault_harness.load import Load, until_passed
from fault_harness.wire import Wire, make_wire
from fault_harness.work import mark

WAYS = {"both ways": (True, True), "to the master": (True, False), "from it": (False, True)}
CLIENT_DEADLINE_S = 5.0
# gRPC's own: a ping after 10 s without data, and 5 s for its answer.
KEEPALIVE_S = 15.0


class NetworkCut(Fault):
    """Recovery: from the mending until the worker is registered again."""

    name = "network-cut"
    law = (
        "cut off, both ends notice within their bound; the work goes on elsewhere; no client hangs "
        "past its deadline"
    )

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._wire: Wire
        self._way = "both ways"
        self._far: Process
        self._client: Process

    def settings(self) -> Settings:
        return DEFAULTS if self.scale.full else BRISK

    def bound_s(self) -> float:
        return 8.0

    async def inject(self, bench: Bench) -> None:
        bench.did(f"cut {self._way}")
        to_master, from_master = WAYS[self._way]
        await self._wire.cut(to_master=to_master, from_master=from_master)

    async def heal(self, bench: Bench) -> None:
        await self._wire.mend()
        bench.did("mend")

    async def trial(self, bench: Bench) -> None:
        self._wire = make_wire()
        try:
            await bench.start_master(listen=self._wire.listen)
            await self._wire.open(bench.fleet.address)
            bench.start_worker(slots=1)
            self._far = bench.start_worker(slots=1, way=self._wire.way())
            bench.fleet.ways["client"] = self._wire.way()
            words = ["fault_harness.cut_client", str(CLIENT_DEADLINE_S)]
            self._client = bench.fleet._start("client", words, {})
            load = bench.load(lambda _: mark.with_args(0.05), in_flight=60)
            load.start()
            for self._way in WAYS:
                await until(lambda: self._there(bench), "the far worker is connected")
                await self._one(bench, load)
                bench.row.times += 1
            await load.finish()
            await bench.judge()
            await self._judge_client(bench)
            bench.note(f"made by: {self._wire.told}")
        finally:
            await self._wire.close()

    async def _one(self, bench: Bench, load: Load) -> None:
        lasts_s = 60.0 if self.scale.full else bench.settings.eviction_s + 4
        complaints = self._far.said().count("trying again")
        before = (await sessions(bench))[self._far.name]
        cut_at = time.monotonic()
        await self.inject(bench)
        await until(lambda: self._evicted(bench, before), "the far worker is evicted", lasts_s)
        seen_s = time.monotonic() - cut_at
        told = f"cut {self._way} for {lasts_s:g} s: the master let go of the worker"
        bench.note(f"{told} after {seen_s:.1f} s")
        # What a worker says last before the cut may still count as its last sign of life.
        bound_s = max(bench.settings.eviction_s, KEEPALIVE_S + bench.settings.silence_grace)
        bench.require(seen_s <= bound_s + 2, f"{told} only after {seen_s:.1f} s")
        if lasts_s > KEEPALIVE_S + 2:
            await until(
                lambda: self._far.said().count("trying again") > complaints,
                "the far worker notices",
                lasts_s,
            )
            seen_s = time.monotonic() - cut_at
            bench.note(f"    the worker said so after {seen_s:.1f} s")
            bench.require(
                seen_s <= bound_s + 2, f"cut {self._way}: the worker noticed after {seen_s:.1f} s"
            )
        await until_passed(max(0.0, cut_at + lasts_s - time.monotonic()))
        bench.require(load.ended_at > time.monotonic() - 2, "the work did not go on elsewhere")
        mended_at = time.monotonic()
        await self.heal(bench)
        await until(lambda: self._there(bench), "the far worker is back")
        bench.recovered(mended_at)

    async def _there(self, bench: Bench) -> bool:
        return self._far.name in await sessions(bench)

    async def _evicted(self, bench: Bench, session: str) -> bool:
        return all(worker.session_id != session for worker in await bench.client.workers())

    async def _judge_client(self, bench: Bench) -> None:
        self._client.kill()
        lines = [json.loads(line) for line in self._client.said().splitlines() if line[:1] == "{"]
        longest_s = max(line["took_s"] for line in lines)
        failed = [line["error"] for line in lines if line["error"]]
        stored = [line["id"] for line in lines if not line["error"]]
        for task_id in stored:
            await bench.client.get(task_id)
        bench.note(
            f"the client that was cut off: {len(lines)} calls, {len(failed)} failed by name, "
            f"the longest took {longest_s:.1f} s (two calls with a deadline of "
            f"{CLIENT_DEADLINE_S:g} s each)"
        )
        bench.require(bool(failed), "the cut did not reach the client: nothing was tried")
        bench.require(longest_s <= 2 * CLIENT_DEADLINE_S + 1, f"a client hung for {longest_s:.1f}")
