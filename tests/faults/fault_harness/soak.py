"""Faults at random, over one system that is never started afresh, for as long as is wanted."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from cluster import until

from fault_harness.bench import Bench, Row
from fault_harness.faults.frozen_worker import sessions
from fault_harness.fleet import BRISK
from fault_harness.load import until_passed
from fault_harness.wire import Wire, make_wire
from fault_harness.work import mark, quick

Act = Callable[[Bench, Wire], Awaitable[None]]
HOME_WORKERS = 2
FAR_WORKERS = 1


async def soak(minutes: float, folder: Path) -> Row:
    """Hurts one system at random, one fault after another, and judges its whole history."""
    row = Row("soak", "whatever happens in whatever order: nothing lost, nothing accepted twice")
    row.bound_s = 15.0
    began = time.monotonic()
    folder = folder / "soak"
    await asyncio.to_thread(folder.mkdir)
    wire = make_wire()
    done: Counter[str] = Counter()
    async with Bench(folder, BRISK, row) as bench:
        try:
            await bench.start_master(listen=wire.listen)
            await wire.open(bench.fleet.address)
            for _ in range(HOME_WORKERS):
                bench.start_worker()
            for _ in range(FAR_WORKERS):
                bench.start_worker(way=wire.way())
            load = bench.load(lambda n: quick.with_args() if n % 2 else mark.with_args(0.02))
            load.start()
            while time.monotonic() < began + 60 * minutes:
                name = random.choice(sorted(ACTS))
                bench.did(name)
                await ACTS[name](bench, wire)
                healed_at = time.monotonic()
                await until(lambda: _all_in(bench), f"all workers are back after {name}")
                bench.recovered(healed_at, await load.until_flows(healed_at))
                done[name] += 1
                row.times += 1
                print(f"{time.monotonic() - began:6.0f} s  {name}: well again", flush=True)
            await load.finish()
            await bench.judge()
        finally:
            await wire.close()
    row.notes += [f"{name}: {count} times" for name, count in sorted(done.items())]
    row.took_s = time.monotonic() - began
    return row


async def _kill_master(bench: Bench, _: Wire) -> None:
    bench.master.kill()
    await bench.restart_master()


async def _freeze_master(bench: Bench, _: Wire) -> None:
    bench.master.freeze()
    await until_passed(random.uniform(0.2, 6.0))
    bench.master.thaw()


async def _kill_worker(bench: Bench, _: Wire) -> None:
    name = random.choice(sorted(bench.workers)[:HOME_WORKERS])
    bench.workers[name].kill()
    await until_passed(random.uniform(0.0, 1.0))
    # The same name again: the new process ends the old one's session.
    bench.workers[name].start()


async def _freeze_worker(bench: Bench, _: Wire) -> None:
    worker = bench.workers[random.choice(sorted(bench.workers))]
    worker.freeze()
    await until_passed(random.uniform(0.2, 6.0))
    worker.thaw()


async def _cut(bench: Bench, wire: Wire) -> None:
    to_master = random.random() < 0.7
    await wire.cut(to_master=to_master, from_master=not to_master or random.random() < 0.5)
    await until_passed(random.uniform(0.5, 8.0))
    await wire.mend()


async def _flap(bench: Bench, wire: Wire) -> None:
    await wire.down()
    await until_passed(random.uniform(0.2, 1.5))
    await wire.mend()


async def _kill_both(bench: Bench, wire: Wire) -> None:
    bench.master.kill()
    await _kill_worker(bench, wire)
    await bench.restart_master()


ACTS: dict[str, Act] = {
    "kill the master": _kill_master,
    "freeze the master": _freeze_master,
    "kill a worker": _kill_worker,
    "freeze a worker": _freeze_worker,
    "cut the network": _cut,
    "flap the link": _flap,
    "kill master and worker": _kill_both,
}


async def _all_in(bench: Bench) -> bool:
    return (await sessions(bench)).keys() >= bench.workers.keys()
