"""A node under load beside idle ones: how many instances each of them gets.

All nodes of a run are on one machine, so each is put into a control group with a share of the
processor: a node measures the load of that. In one of them a program burns all that it gets.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final
from uuid import uuid4

from cluster import until

from fault_harness.fault import Missing
from fault_harness.fleet import Way
from fault_harness.services.bounded import Bounded
from fault_harness.services.lists import Processes
from fault_harness.services.site import NODES, WEB, Site
from fault_harness.services.trial import Row, Trial

CORES: Final = 0.5
BURN: Final = "while True: pass"
INSTANCES: Final = 12
BUSY: Final = 0.8
IDLE: Final = 0.4
# So often in a row, at looks that are a few heartbeats apart in all.
LOOKS: Final = 40
MEASURED_S: Final = 60.0


async def measure(folder: Path) -> Row:
    """Makes 12 instances on a busy node and two idle ones, and counts."""
    row = Row("busy-node", f"{INSTANCES} instances made on two idle nodes and a busy one")
    folder = folder / row.fault
    await asyncio.to_thread(folder.mkdir, parents=True)
    try:
        await _measure(folder, row)
    except Missing as missing:
        row.skipped = str(missing)
    except Exception as error:
        row.problems.append(f"it broke off: {error}")
    return row


async def _measure(folder: Path, row: Row) -> None:
    async with AsyncExitStack() as stack:
        groups = {node: Bounded(f"pullwork-{node}-{os.getpid()}", CORES) for node in NODES}
        for group in groups.values():
            stack.push_async_callback(group.close)
        token = uuid4().hex
        site = Site(folder, Processes(token), token)
        site.fleet.ways |= {node: Way(prefix=group.prefix()) for node, group in groups.items()}
        await stack.enter_async_context(site)
        busy = NODES[0]
        words = [*groups[busy].prefix(), sys.executable, "-c", BURN]
        burner = await asyncio.create_subprocess_exec(*words)
        stack.push_async_callback(_end, burner)
        await _place(site, busy, row)


async def _end(burner: asyncio.subprocess.Process) -> None:
    burner.kill()
    await burner.wait()


async def _place(site: Site, busy: str, row: Row) -> None:
    trial = Trial(site, row, 1)

    async def loads() -> dict[str, float]:
        return {it["name"]: it.get("cpu", 0.0) for it in await site.rest.nodes()}

    looks = 0

    async def measured() -> bool:
        nonlocal looks
        seen = await loads()
        clear = seen[busy] > BUSY and all(seen[it] < IDLE for it in seen if it != busy)
        looks = looks + 1 if clear else 0
        return looks >= LOOKS

    try:
        await until(measured, "the load of one node is seen, and none of the others", MEASURED_S)
    except AssertionError as error:
        # A node on a busy machine is busy, whatever its group has left.
        raise Missing("the machine is busy itself, so no node on it is idle") from error
    told = ", ".join(f"{node} {share:.0%}" for node, share in sorted((await loads()).items()))
    await site.create(INSTANCES)
    sight = await trial.recovers(30.0)
    on = Counter(it.node for it in sight.told if it.service == WEB)
    trial.note(f"processors in use: {told}; {busy} is the busy one")
    trial.note(f"instances: {', '.join(f'{node} {on[node]}' for node in NODES)}")
    fewest = min(on[node] for node in NODES if node != busy)
    trial.require(on[busy] < fewest, "the busy node got no fewer than an idle one")
