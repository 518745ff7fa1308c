"""A full disk refuses clearly, stores nothing by halves, and is no harm once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

import pytest
from storage_bench import Bench, a_queue, a_task, id_of, plain_all, seqs
from storage_engines import sqlite

from pullwork_master.core.effects import Writes
from pullwork_master.storage.base import StorageFullError, store
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.storage.sqlite import SqliteStorage

BIG = os.urandom(50_000)


def fill(bench: Bench, first: int = 1) -> int:
    """Commits tasks one by one until no more fit; returns the seq that was refused."""
    for seq in range(first, first + 1_000):
        try:
            bench.insert(a_task(seq, payload=BIG))
        except StorageFullError:
            return seq
    raise AssertionError("it never was full")


def check_refusal(bench: Bench, refused: int) -> None:
    """The refused task is nowhere, all before it are there, and reads go on."""
    assert seqs(bench.by_seq(*range(1, refused + 1))) == list(range(1, refused))
    assert bench.reader().get(id_of(refused)) is None
    assert bench.reader().get(id_of(1)) is not None
    assert bench.storage.reload().next_seq == refused


@pytest.fixture
def bounded(tmp_path: Path) -> Iterator[Bench]:
    """A SQLite store whose file may grow to 2 MiB."""
    made = Bench(sqlite(tmp_path))
    set_pages_max(made, 512)
    yield made
    made.close()


def set_pages_max(bench: Bench, pages: int) -> None:
    """Bounds the file."""
    assert isinstance(bench.storage, SqliteStorage)
    bench.storage._open_connection.execute(f"PRAGMA max_page_count = {pages}")


def test_a_transaction_that_finds_no_room_stores_nothing_of_it(bounded: Bench) -> None:
    refused = fill(bounded)
    assert refused > 10
    first = bounded.by_seq(1)[0]
    first.attempt = 9
    writes = Writes(
        inserted={seq: a_task(seq, payload=BIG) for seq in range(refused, refused + 50)},
        updated={1: first},
        queues={"q": a_queue("q")},
    )
    for _ in range(3):
        with pytest.raises(StorageFullError, match=r"no room is left for .*free some space"):
            store(bounded.storage, writes)
    check_refusal(bounded, refused)
    assert bounded.by_seq(1)[0].attempt == 0
    assert bounded.storage.reload().queues == []


def test_work_resumes_by_itself_when_there_is_room(bounded: Bench) -> None:
    refused = fill(bounded)
    set_pages_max(bounded, 100_000)
    bounded.insert(a_task(refused, payload=BIG))
    bounded.restart()
    assert seqs(bounded.by_seq(*range(1, refused + 2))) == list(range(1, refused + 1))


def test_what_runs_can_still_end_and_be_swept_where_nothing_new_fits(bounded: Bench) -> None:
    refused = fill(bounded)
    tasks = bounded.by_seq(*range(1, refused))
    store(
        bounded.storage,
        Writes(sweep_before_ms=1, sweep_tasks=5, updated={1: tasks[0], 2: tasks[1]}),
    )
    assert plain_all(bounded.by_seq(1, 2)) == plain_all(tasks[:2])


def test_memory_can_be_full_too() -> None:
    storage = MemoryStorage(tasks_max=10)
    bench = Bench(lambda: storage)
    assert fill(bench) == 11
    check_refusal(bench, 11)
    storage.tasks_max = 11
    bench.insert(a_task(11))
    assert seqs(bench.by_seq(11)) == [11]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    options = f"size=8m,uid={os.geteuid()}"
    mount = [*as_root, "mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a file system takes a privilege that this user lacks")
    yield place
    subprocess.run([*as_root, "umount", "--lazy", str(place)], check=True)


def test_a_disk_that_is_really_full_is_no_harm(small_disk: Path) -> None:
    bench = Bench(sqlite(small_disk))
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(5_500_000))
    refused = fill(bench)
    check_refusal(bench, refused)
    free = bench.storage.free_bytes()
    assert free is not None
    assert free < 200_000
    ballast.unlink()
    bench.insert(a_task(refused, payload=BIG))
    bench.restart()
    assert seqs(bench.by_seq(*range(1, refused + 2))) == list(range(1, refused + 1))
    bench.close()


def test_a_first_start_on_a_full_disk_is_refused_as_such_and_works_once_there_is_room(
    small_disk: Path,
) -> None:
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        fill_up(file)
    storage = SqliteStorage(small_disk / "data")
    with pytest.raises(StorageFullError, match=r"no room is left for .*free some space"):
        storage.open()
    ballast.unlink()
    assert storage.open().term == 1
    storage.close()


def fill_up(file: FileIO) -> None:
    """Writes until the file system is full."""
    with suppress(OSError):
        while True:
            file.write(bytes(512))
