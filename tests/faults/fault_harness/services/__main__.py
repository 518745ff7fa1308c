"""The command line: runs the faults of services, and prints the table as it goes."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

from fault_harness.fault import Missing
from fault_harness.services.busy import measure
from fault_harness.services.catalogue import FAULTS
from fault_harness.services.engine import OwnEngine, check_own_engine, why_no_engine
from fault_harness.services.plant import plant
from fault_harness.services.run import Ground, run
from fault_harness.services.site import SETTINGS
from fault_harness.services.table import as_it_goes, head, markdown
from fault_harness.services.trial import Fault, Row

# Trials with clusters of their own, after the others.
OnItsOwn = Callable[[Path], Awaitable[Row]]
ON_THEIR_OWN: Final[dict[str, OnItsOwn]] = {"busy-node": measure, "planted-builds": plant}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults-services", description=__doc__)
    parser.add_argument("--only", default="", help="names of faults, with commas between")
    parser.add_argument("--runner", default="", choices=("", "container", "process"))
    parser.add_argument("--seed", type=int, default=0, help="shuffles the faults; 0: as listed")
    parser.add_argument("--json", default="", help="a file for the rows")
    parser.add_argument("--list", action="store_true", help="name the faults")
    return parser.parse_args()


def _chosen(names: str) -> tuple[list[Fault], list[OnItsOwn]]:
    known = [*(fault.name for fault in FAULTS), *ON_THEIR_OWN]
    wanted = [name for name in names.split(",") if name] or known
    if unknown := [name for name in wanted if name not in known]:
        sys.exit(f"no fault is called {', '.join(unknown)}; there are: {', '.join(known)}")
    by_name = {fault.name: fault for fault in FAULTS}
    faults = [by_name[name] for name in wanted if name in by_name]
    return faults, [ON_THEIR_OWN[name] for name in wanted if name in ON_THEIR_OWN]


def _runner(asked: str) -> str:
    """Chooses containers where they can be; says plainly where they can't."""
    if asked == "process":
        return asked
    try:
        check_own_engine()
        lack = why_no_engine()
    except Missing as missing:
        lack = str(missing)
    if not lack:
        return "container"
    remedy = "remedy: as root, `.ci/engine`"
    if asked:
        sys.exit(f"containers can't be tried here: {lack}; {remedy}")
    print(f"Instances are processes, since containers can't be tried here: {lack}; {remedy}\n")
    return "process"


async def _run(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    (faults, on_their_own), rows = _chosen(arguments.only), []
    if arguments.seed:
        random.Random(arguments.seed).shuffle(faults)
    print(head(), flush=True)
    async for row in _rows(arguments, faults, folder):
        print(as_it_goes(row), flush=True)
        rows.append(row)
    for trial in on_their_own:
        rows.append(await trial(folder))
        print(as_it_goes(rows[-1]), flush=True)
    return rows


async def _rows(
    arguments: argparse.Namespace, faults: list[Fault], folder: Path
) -> AsyncIterator[Row]:
    async with AsyncExitStack() as stack:
        engine = None
        if faults and _runner(arguments.runner) == "container":
            engine = await stack.enter_async_context(OwnEngine(folder))
        async for row in run(faults, Ground(folder, arguments.seed or 1, engine)):
            yield row


def main() -> None:
    """Runs what was asked for; exit code 1 if a law was broken."""
    arguments = _arguments()
    if arguments.list:
        for fault in FAULTS:
            print(f"{fault.name:25} {fault.told}")
        print(*ON_THEIR_OWN, sep="\n")
        return
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="pullwork-faults-"))
    rows = asyncio.run(_run(arguments, folder))
    print(f"\n{markdown(rows)}\n")
    tried = [row for row in rows if not row.skipped]
    held = all(row.held for row in tried)
    print(f"{len(tried)} rows in {time.monotonic() - began:.0f} s")
    print(f"settings: heartbeat/grace/silence grace of the master {SETTINGS}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([asdict(row) for row in rows], indent=1))
    if held:
        shutil.rmtree(folder)
    else:
        print(f"\nA law was broken. What everybody said is in {folder}")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
