"""The command line: runs faults one after another, and prints the table."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from fault_harness.catalogue import FAULTS
from fault_harness.fault import Fault, Scale
from fault_harness.run import run_fault
from fault_harness.table import markdown, remarks


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--full", action="store_true", help="the full numbers; takes long")
    parser.add_argument("--only", default="", help="names of faults, with commas between")
    parser.add_argument("--minutes", type=float, default=0.0, help="faults at random for so long")
    parser.add_argument("--list", action="store_true", help="name the faults")
    return parser.parse_args()


def _chosen(names: str) -> list[type[Fault]]:
    wanted = [name for name in names.split(",") if name]
    unknown = set(wanted) - {fault.name for fault in FAULTS}
    if unknown:
        known = ", ".join(fault.name for fault in FAULTS)
        sys.exit(f"no fault is called {', '.join(sorted(unknown))}; there are: {known}")
    return [fault for fault in FAULTS if not wanted or fault.name in wanted]


async def _run(arguments: argparse.Namespace, folder: Path) -> bool:
    rows = []
    if arguments.minutes:
        from fault_harness.soak import soak

        rows.append(await soak(arguments.minutes, folder))
    else:
        for fault in _chosen(arguments.only):
            print(f"{fault.name} ...", flush=True)
            row = await run_fault(fault, Scale(arguments.full), folder / fault.name)
            print(f"{remarks(row)}\n    {row.took_s:.0f} s", flush=True)
            rows.append(row)
    print()
    print(markdown(rows))
    print("\nsettings: heartbeat/grace/silence grace of the master")
    return all(row.held for row in rows)


def main() -> None:
    """Runs what was asked for; exit code 1 if a law was broken."""
    arguments = _arguments()
    if arguments.list:
        for fault in FAULTS:
            print(f"{fault.name:20} {fault.law}")
        return
    folder = Path(tempfile.mkdtemp(prefix="pullwork-faults-"))
    held = asyncio.run(_run(arguments, folder))
    if held:
        shutil.rmtree(folder)
    else:
        print(f"\nA law was broken. What everybody said and saw is in {folder}")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
