"""What a dying disk does to a stopped master's files: a torn tail, a flipped bit."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import struct
import time
from contextlib import closing
from pathlib import Path

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.load import Load
from fault_harness.work import quick

HEADER, FRAME = 32, 24


class DamagedFiles(Fault):
    """Recovery: the start of a master that drops a torn tail."""

    name = "damaged-files"
    law = "a torn tail of the journal is dropped; a flipped bit in it is refused, with the remedy"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._log: Path
        self._whole = b""

    def bound_s(self) -> float:
        return 5.0

    async def inject(self, bench: Bench) -> None:
        bench.did("flip a bit of the log")
        at = random.randrange(self._before_last_commits())
        damaged = bytearray(self._whole)
        damaged[at] ^= 1 << random.randrange(8)
        self._log.write_bytes(damaged)

    async def heal(self, bench: Bench) -> None:
        bench.did("put the log back, as from a backup")
        self._log.write_bytes(self._whole)

    async def trial(self, bench: Bench) -> None:
        await bench.start_master()
        self._log = bench.fleet.data / "pullwork.sqlite3-wal"
        bench.start_worker()
        load = bench.load(lambda _: quick.with_args(), in_flight=1_000)
        load.start()
        for _ in range(self.scale.pick(3, 20)):
            await load.until_ended(load.ended + 500)
            bench.master.kill()
            await self._torn(bench, load)
            await load.until_ended(load.ended + 500)
            bench.master.kill()
            await self._flipped(bench)
            await bench.restart_master()
            bench.row.times += 2
        await load.finish()
        bench.master.kill()
        await self._database(bench)
        await bench.restart_master()
        await bench.judge()

    def _before_last_commits(self) -> int:
        """Returns where the last three transactions begin: a flip in them is like a torn write.

        Behind the sound frames stand those of an earlier generation, which nobody reads.
        """
        frame_bytes = FRAME + struct.unpack_from(">I", self._whole, 8)[0]
        ends = [HEADER]
        for number in range(_sound_frames(self._log)):
            at = HEADER + number * frame_bytes
            if struct.unpack_from(">I", self._whole, at + 4)[0]:
                ends.append(at + frame_bytes)
        return ends[-4] if len(ends) > 4 else HEADER

    async def _torn(self, bench: Bench, load: Load) -> None:
        """Leaves behind the last commit what a power cut leaves of the next: a part of a frame."""
        log = self._log.read_bytes()
        page_bytes = struct.unpack_from(">I", log, 8)[0]
        end = HEADER + _sound_frames(self._log) * (FRAME + page_bytes)
        head = struct.pack(">II8s8s", 2, 0, log[16:24], os.urandom(8))
        torn = head + os.urandom(random.randrange(page_bytes))
        self._log.write_bytes(log[:end] + torn + log[end + len(torn) :])
        began = time.monotonic()
        await bench.restart_master()
        bench.recovered(began)

    async def _flipped(self, bench: Bench) -> None:
        self._whole = self._log.read_bytes()
        await self.inject(bench)
        said = await self._refusal(bench)
        bench.require(said is not None, "a flipped bit in the log was passed over in silence")
        if said is not None:
            bench.require(
                "is damaged" in said and "backup" in said and "Traceback" not in said,
                f"the refusal does not say what to do: {said[-300:]}",
            )
        await self.heal(bench)

    async def _refusal(self, bench: Bench) -> str | None:
        """Starts the master; returns what it said if it refused to go on."""
        before = len(bench.master.said())
        ready = bench.folder / "master.ready"
        ready.unlink(missing_ok=True)
        bench.master.start()
        try:
            await bench.fleet.ready(bench.master)
        except AssertionError:
            ready.touch()
            return bench.master.said()[before:]
        bench.master.kill()
        return None

    async def _database(self, bench: Bench) -> None:
        """Flips bits in the heads of pages of the database itself, one at a time; only counts."""
        database = self._log.with_name("pullwork.sqlite3")
        _checkpoint(database)
        whole = database.read_bytes()
        kept = bench.folder / "whole.sqlite3"
        shutil.copy(database, kept)
        tries, refused = self.scale.pick(6, 40), 0
        for _ in range(tries):
            page = random.randrange(len(whole) // 4096)
            damaged = bytearray(whole)
            damaged[page * 4096 + random.randrange(16 if page == 0 else 8)] ^= 0x55
            database.write_bytes(damaged)
            said = await self._refusal(bench)
            refused += said is not None
            bench.require(said is None or "backup" in said, f"no remedy: {(said or '')[-300:]}")
            for name in ("-wal", "-shm"):
                database.with_name(database.name + name).unlink(missing_ok=True)
        shutil.copy(kept, database)
        bench.note(
            f"the database itself: damage to the head of a random page was refused at the start "
            f"{refused} times of {tries}; SQLite finds the rest when it reads that page"
        )


def _sound_frames(log: Path) -> int:
    """Asks SQLite, on copies, how much of the log is sound."""
    folder = log.parent / "looked-at"
    folder.mkdir()
    for path in (log, log.with_name("pullwork.sqlite3")):
        shutil.copy(path, folder)
    with closing(sqlite3.connect(folder / "pullwork.sqlite3")) as connection:
        frames = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    shutil.rmtree(folder)
    return int(frames)


def _checkpoint(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
