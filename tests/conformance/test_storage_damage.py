"""Damage of the write-ahead log: a torn tail is dropped, anything worse is refused."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from storage_bench import a_task

from pullwork_master.core.effects import Writes
from pullwork_master.storage.base import StorageError, store
from pullwork_master.storage.sqlite import SqliteStorage

COMMITS = 30
HEADER, FRAME = 32, 24
KILLED = f"""
import os, sys
from storage_bench import a_task
from pullwork_master.core.effects import Writes
from pullwork_master.storage.base import store
from pullwork_master.storage.sqlite import SqliteStorage
storage = SqliteStorage(sys.argv[1])
storage.open()
for seq in range(1, {COMMITS} + 1):
    store(storage, Writes(inserted={{seq: a_task(seq)}}))
os._exit(0)
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log of a store whose process died after its commits."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=True, env=env)
    return tmp_path / "pullwork.sqlite3-wal"


def frame_bytes(log: Path) -> int:
    """Returns how long one frame is."""
    (page_bytes,) = struct.unpack_from(">I", log.read_bytes(), 8)
    return FRAME + int(page_bytes)


def flip(log: Path, at: int) -> None:
    """Turns one bit round."""
    data = bytearray(log.read_bytes())
    data[at] ^= 0x10
    log.write_bytes(data)


def opened(log: Path) -> int:
    """Opens the store and returns how many tasks it has."""
    storage = SqliteStorage(log.parent)
    try:
        return storage.open().next_seq - 1
    finally:
        storage.close()


def test_an_undamaged_log_is_taken_whole(log: Path) -> None:
    assert opened(log) == COMMITS


@pytest.mark.parametrize("left", [0.0, 0.3, 0.99], ids=lambda left: f"{left:.0%}")
def test_a_torn_tail_is_dropped_and_nothing_else(log: Path, left: float) -> None:
    whole = log.read_bytes()
    size = frame_bytes(log)
    torn = bytearray(whole[-size:])
    torn[4:8] = bytes(4)  # not a commit yet
    torn[16:24] = os.urandom(8)
    log.write_bytes(whole + torn[: int(size * left)])
    assert opened(log) == COMMITS


@pytest.mark.parametrize("where", ["page", "salt", "checksum"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_flipped_bit_before_acknowledged_commits_is_refused_and_nothing_changed(
    log: Path, where: str, share: float
) -> None:
    frames = (log.stat().st_size - HEADER) // frame_bytes(log)
    offset = {"page": FRAME + 100, "salt": 9, "checksum": 17}[where]
    at = HEADER + int(frames * share) * frame_bytes(log) + offset
    flip(log, at)
    damaged = log.read_bytes()
    for _ in range(2):
        with pytest.raises(StorageError, match=r"-wal is damaged .* restore the folder from a"):
            opened(log)
    assert log.read_bytes() == damaged
    flip(log, at)
    assert opened(log) == COMMITS


@pytest.mark.parametrize("at", [0, 9, 13, 17, 25])
def test_a_flipped_bit_in_the_head_of_the_log_is_refused(log: Path, at: int) -> None:
    flip(log, at)
    with pytest.raises(StorageError, match="is damaged"):
        opened(log)


def test_what_an_earlier_generation_left_in_the_log_is_no_damage(log: Path) -> None:
    storage = SqliteStorage(log.parent)
    storage.open()
    storage._open_connection.execute("PRAGMA wal_checkpoint(RESTART)")
    store(storage, Writes(inserted={COMMITS + 1: a_task(COMMITS + 1)}))
    as_it_was = {path: path.read_bytes() for path in log.parent.iterdir()}
    storage.close()
    for path, data in as_it_was.items():
        path.write_bytes(data)
    assert (log.stat().st_size - HEADER) // frame_bytes(log) > 20
    assert opened(log) == COMMITS + 1


def test_a_flipped_bit_in_the_structure_of_the_database_is_refused(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path)
    storage.open()
    store(storage, Writes(inserted={seq: a_task(seq) for seq in range(1, 301)}))
    storage.close()
    database = tmp_path / "pullwork.sqlite3"
    pages = len(database.read_bytes()) // 4096
    for page in range(1, pages):
        flip(database, page * 4096)
        with pytest.raises(StorageError, match=r"sqlite3 is damaged .*from a backup"):
            opened(tmp_path / "pullwork.sqlite3-wal")
        for left in tmp_path.glob("*-wal"):
            left.unlink()
        flip(database, page * 4096)
    assert opened(tmp_path / "pullwork.sqlite3-wal") == 300
