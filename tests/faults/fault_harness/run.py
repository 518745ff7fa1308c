"""Runs one fault on a bench of its own."""

from __future__ import annotations

import asyncio
import time
import traceback
from contextlib import suppress
from pathlib import Path

from fault_harness.bench import Bench, Row
from fault_harness.fault import Fault, Missing, Scale

PLANTED_S = 45.0


async def run_fault(kind: type[Fault], scale: Scale, folder: Path, planted: str = "") -> Row:
    """Makes the trial and returns its row; whatever goes wrong in it is a problem of the row."""
    fault = kind(scale)
    row = Row(fault.name, fault.law, bound_s=fault.bound_s())
    began = time.monotonic()
    try:
        fault.check_machine()
    except Missing as missing:
        row.skipped = str(missing)
        return row
    await asyncio.to_thread(folder.mkdir, parents=True)
    async with Bench(folder, fault.settings(), row, planted) as bench:
        try:
            # A build with a bug may hang for ever; what it did until then is enough.
            async with asyncio.timeout(PLANTED_S if planted else None):
                await fault.trial(bench)
        except Exception as error:
            row.problems.append(f"the trial broke off: {error!r}")
            (folder / "trial.txt").write_text(traceback.format_exc())
            # What it saw until then is judged all the same, if there is somebody to ask.
            with suppress(Exception):
                async with asyncio.timeout(10):
                    await bench.judge(over=False)
    row.took_s = time.monotonic() - began
    return row
