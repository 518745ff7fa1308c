"""The machine's wall clock jumps an hour ahead, and back, and an hour behind."""

from __future__ import annotations

import time
from pathlib import Path

from cluster import until

from fault_harness.bench import Bench
from fault_harness.fault import Fault, Missing
from fault_harness.faults.frozen_worker import sessions
from fault_harness.fleet import Settings, Way
from fault_harness.load import until_passed
from fault_harness.work import mark
from pullwork.ids import new_task_id
from pullwork.task_info import TaskState

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)
HOUR_S = 3600
# A process looks at the file again when more than so many whole seconds are over: after two at
# the latest, so all have seen it a little later.
CACHED_S = 1
SEEN_AFTER_S = 2.5
# The library that fakes the clock slows processes down by much: no heartbeat is to be late by it.
UNHURRIED = Settings(heartbeat=2.0, grace=2.0, silence_grace=6.0)


class ClockJumps(Fault):
    """Recovery: from a jump until tasks are taken, and end."""

    name = "clock-jumps"
    law = "no lease looks at the wall clock; a delayed task waits for the master's wall clock"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._clock: Path
        self._library = ""
        self._offset_s = 0

    def settings(self) -> Settings:
        return UNHURRIED

    def bound_s(self) -> float:
        return 10.0

    def check_machine(self) -> None:
        found = [library for library in LIBRARIES if Path(library).exists()]
        if not found:
            raise Missing("libfaketime is not installed: apt-get install faketime")
        self._library = found[0]

    async def inject(self, bench: Bench) -> None:
        bench.did(f"set the clock to {self._offset_s:+d} s")
        self._set(self._offset_s)
        await until_passed(SEEN_AFTER_S)

    async def heal(self, bench: Bench) -> None:
        bench.did("set the clock right")
        self._set(0)
        await until_passed(SEEN_AFTER_S)

    def _set(self, offset_s: int) -> None:
        draft = self._clock.with_suffix(".new")
        draft.write_text(f"{offset_s:+d}s\n")
        draft.replace(self._clock)

    async def trial(self, bench: Bench) -> None:
        self._clock = bench.folder / "clock"
        self._set(0)
        way = Way(
            env={
                "LD_PRELOAD": self._library,
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                # Without this it would read the file at every look at the clock.
                "FAKETIME_CACHE_DURATION": str(CACHED_S),
                # A jump of the wall clock leaves the monotonic clock alone.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
        )
        bench.fleet.ways["master"] = way
        await bench.start_master()
        for _ in range(2):
            bench.start_worker(way=way)
        load = bench.load(lambda _: mark.with_args(0.05), in_flight=50)
        load.start()
        await load.until_ended(20)
        before = await sessions(bench)
        for offset_s in (HOUR_S, 0, -HOUR_S, 0) * self.scale.pick(1, 5):
            self._offset_s = offset_s
            jumped_at = time.monotonic()
            await self.inject(bench)
            bench.recovered(jumped_at, await load.until_flows(jumped_at))
            # Whatever expires early does so within this time.
            await until_passed(bench.settings.eviction_s + 0.5)
            bench.row.times += 1
        await self._delays(bench)
        await load.finish()
        await bench.judge()
        bench.require(await sessions(bench) == before, "a session ended")
        tasks = [task async for task in bench.client.list(owner=bench.client.owner)]
        again = [task.id for task in tasks if task.attempt != 1]
        bench.require(not again, f"{len(again)} leases expired")

    async def _delays(self, bench: Bench) -> None:
        """Ahead: a delayed task is due at once. Behind: it waits until the clock is there."""
        early, late = new_task_id(), new_task_id()
        await self._submit_delayed(bench, early)
        self._offset_s = HOUR_S
        await self.inject(bench)
        await bench.hear(early)
        await self.heal(bench)
        await self._submit_delayed(bench, late)
        self._offset_s = -2 * HOUR_S
        await self.inject(bench)
        await until_passed(2.0)
        task = await bench.client.get(late)
        bench.require(task.state is TaskState.SCHEDULED, "it ran before the clock was there")
        self._offset_s = HOUR_S
        await self.inject(bench)
        await until(lambda: _ended(bench, late), "it runs once the clock is there")
        await bench.hear(late)
        await self.heal(bench)
        bench.row.times += 5

    async def _submit_delayed(self, bench: Bench, task_id: str) -> None:
        bench.history.attempted([task_id])
        await bench.client.submit(mark.with_args(0.0), task_id=task_id, delay=1800.0)
        bench.history.acknowledged([task_id])


async def _ended(bench: Bench, task_id: str) -> bool:
    return (await bench.client.get(task_id)).state.ended
