"""A harness that finds nothing proves nothing: bugs are planted, and each must be found out."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path
from typing import Final

from fault_harness.services.catalogue import FAULTS
from fault_harness.services.run import Ground, run
from fault_harness.services.trial import Row

# By which fault each is found out.
FOUND_BY: Final = {
    "nothing-is-gone": "worker-lost",
    "new-master-gives-up": "master-killed",
    "live-is-unwanted": "worker-killed",
    "adoption-makes-anew": "worker-killed",
    "unwanted-stays": "scaled-fast",
    "lease-takes-program": "link-cut-for-long",
}
AT_ONCE: Final = 2


async def find(bug: str, folder: Path) -> list[str]:
    """Runs a build with a bug; returns what was found to be wrong first."""
    faults = [fault for fault in FAULTS if fault.name == FOUND_BY[bug]]
    async with aclosing(run(faults, Ground(folder / bug, planted=bug))) as rows:
        async for row in rows:
            if row.problems:
                return row.problems
    return []


async def plant(folder: Path) -> Row:
    """Plants all of them, one after the other."""
    row = Row("planted-builds", "masters and workers with a bug on purpose")
    turn = asyncio.Semaphore(AT_ONCE)

    async def find_in_turn(bug: str) -> list[str]:
        async with turn:
            return await find(bug, folder / row.fault)

    for bug, found in zip(
        FOUND_BY, await asyncio.gather(*map(find_in_turn, FOUND_BY)), strict=True
    ):
        if found:
            row.notes.append(f"{bug}: found by {FOUND_BY[bug]}: {found[0]}")
        else:
            row.problems.append(f"{bug} was not found")
    return row
