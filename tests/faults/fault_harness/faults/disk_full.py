"""The disk of the data folder full in the middle of commits, then with room again."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

from cluster import until

from fault_harness.bench import Bench
from fault_harness.fault import Fault, Missing
from fault_harness.work import mark
from pullwork.errors import DiskFullError
from pullwork.ids import new_task_id

DISK = "160m"
RESERVE_BYTES = 48 * 1024 * 1024


class DiskFull(Fault):
    """Recovery: from the moment there is room until tasks are taken, and end, again."""

    name = "disk-full"
    law = "a full disk is refused as DISK_FULL, reads go on, and there is no need of a restart"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._disk: Path
        self._left = 0
        self._refused = 0

    def bound_s(self) -> float:
        return 8.0

    def check_machine(self) -> None:
        if os.geteuid() != 0:
            raise Missing("mounting a small file system needs root")

    async def inject(self, bench: Bench) -> None:
        bench.did(f"fill the disk up to {self._left} bytes")
        chunk = bytes(64 * 1024)
        with (self._disk / "ballast").open("wb", buffering=0) as ballast:
            while shutil.disk_usage(self._disk).free > self._left + len(chunk):
                ballast.write(chunk)
            if not self._left:
                self._to_the_brim(ballast.fileno())

    def _to_the_brim(self, ballast: int) -> None:
        try:
            while True:
                os.write(ballast, bytes(512))
        except OSError:
            return

    async def heal(self, bench: Bench) -> None:
        (self._disk / "ballast").unlink()
        bench.did("make room")

    async def trial(self, bench: Bench) -> None:
        self._disk = bench.folder / "disk"
        self._disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(self._disk)]
        await asyncio.to_thread(subprocess.run, mount, check=True, capture_output=True)
        try:
            bench.fleet.data = self._disk / "data"
            await bench.start_master(PULLWORK_MASTER_DISK_RESERVE=str(RESERVE_BYTES))
            bench.start_worker()
            await self._times(bench)
        finally:
            bench.fleet.close()
            umount = ["umount", "--lazy", str(self._disk)]
            await asyncio.to_thread(subprocess.run, umount, check=True)

    async def _times(self, bench: Bench) -> None:
        load = bench.load(lambda _: mark.with_args(0.002), in_flight=2_000)
        load.start()
        pid = bench.master.pid
        # To where nothing new is taken but all may end; and to where not a byte is left.
        for left in (RESERVE_BYTES * 3 // 4, 0) * self.scale.pick(2, 10):
            self._left = left
            await load.until_ended(load.ended + 100)
            await self.inject(bench)
            await until(lambda: self._is_refused(bench), "it is refused as DISK_FULL")
            if left:
                await load.until_ended(load.ended + 50)
            found = [task async for task in bench.client.list(owner=bench.client.owner)]
            bench.require(len(found) >= load.acknowledged, "reads do not go on")
            room_at = time.monotonic()
            await self.heal(bench)
            bench.recovered(room_at, await load.until_flows(room_at))
            bench.row.times += 1
        await load.finish()
        await bench.judge()
        bench.require(bench.master.running and bench.master.pid == pid, "it was restarted")
        refused = len(load.refused) + self._refused
        bench.note(f"{refused} submissions refused as DISK_FULL; what ran could end in the reserve")
        other = [error for error in load.refused if not isinstance(error, DiskFullError)]
        bench.require(not other, f"refused as {other[:1]!r} and not as DISK_FULL")

    async def _is_refused(self, bench: Bench) -> bool:
        try:
            await bench.submit(mark.with_args(0.0), new_task_id())
        except DiskFullError:
            self._refused += 1
            return True
        return False
