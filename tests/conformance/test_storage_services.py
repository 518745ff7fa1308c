"""Laws of what is kept of services, and of what is found of their instances."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
from storage_bench import Bench, a_task, ended, plain_all, seqs

from pullwork_master.core.effects import Writes
from pullwork_master.core.model import NO_LIMITS, Limits, ServiceRow, State
from pullwork_master.storage.base import store
from pullwork_master.storage.sqlite import SqliteStorage
from pullwork_master.storage.sqlite_folder import DATABASE
from pullwork_master.storage.sqlite_migrations import migrate, shipped

WEB = ServiceRow("web", 3, 2, b"\0\xff record", 5, 6)
DB = ServiceRow("db", 4, 4, b"", 7, 7)


def put(bench: Bench, *rows: ServiceRow) -> None:
    writes = Writes(services={row.name: row for row in rows})
    writes.service_revision = max(row.revision for row in rows)
    store(bench.storage, writes)


def test_a_first_start_finds_no_service_and_counts_from_one(bench: Bench) -> None:
    assert (bench.opened.services, bench.opened.next_service_revision) == ([], 1)


def test_a_start_finds_every_service_as_it_was_left(bench: Bench) -> None:
    put(bench, WEB, DB)
    bench.restart()
    assert bench.opened.services == [DB, WEB]
    changed = WEB._replace(revision=9, record=b"new", updated_ms=99)
    put(bench, changed)
    bench.restart()
    assert (bench.opened.services, bench.opened.next_service_revision) == ([DB, changed], 10)


def test_a_store_of_before_services_is_its_own_cluster(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    with closing(apsw.Connection(str(folder / DATABASE))) as old:
        migrate(old, shipped()[:2])
        old.execute("INSERT INTO meta VALUES (1, 'old', 7, 0, 0, 0, 0, 0)")
    storage = SqliteStorage(folder)
    opened = storage.open()
    storage.close()
    assert (opened.store_id, opened.cluster_id, opened.term) == ("old", "old", 8)
    assert (opened.services, opened.next_service_revision) == ([], 1)


def test_a_queue_held_up_before_it_was_a_nodes_goes_on_and_no_other_does(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    names = ("pullwork.node/n1", "pullwork.node", "pullwork.nodes", "pullwork.node0", "default")
    with closing(apsw.Connection(str(folder / DATABASE))) as old:
        migrate(old, shipped()[:2])
        old.execute("INSERT INTO meta VALUES (1, 'old', 7, 0, 0, 0, 0, 0)")
        old.executemany(
            "INSERT INTO queues VALUES (?, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2)", [(it,) for it in names]
        )
    storage = SqliteStorage(folder)
    queues = {each.name: each for each in storage.open().queues}
    storage.close()
    node = queues.pop("pullwork.node/n1")
    assert (node.paused, node.limits) == (False, NO_LIMITS)
    held = Limits(1, 1, 1, 1, 1, 1, 1, 2)
    assert {it: (each.paused, each.limits) for it, each in queues.items()} == dict.fromkeys(
        names[1:], (True, held)
    )


def test_a_deleted_service_is_gone_and_its_revision_with_it(bench: Bench) -> None:
    put(bench, WEB, DB)
    store(bench.storage, Writes(services={"db": None}, service_revision=4))
    bench.restart()
    assert (bench.opened.services, bench.opened.next_service_revision) == ([WEB], 5)


def test_a_service_that_came_and_went_within_a_commit_used_up_its_revision(bench: Bench) -> None:
    put(bench, WEB)
    store(bench.storage, Writes(services={"x": None}, service_revision=8))
    bench.restart()
    assert (bench.opened.services, bench.opened.next_service_revision) == ([WEB], 9)


def test_what_is_live_in_the_queues_of_a_prefix_is_found_whole(bench: Bench) -> None:
    mine = [
        a_task(3, State.RUNNING, queue="n/b", attempt=1, payload=b"p", started_ms=4, session="s"),
        a_task(5, State.SCHEDULED, queue="n/a", ready_ms=9, headers=(("a", "b"),)),
        a_task(6, State.QUEUED, queue="n/b", checkpoint=b"c"),
    ]
    others = [a_task(seq, State(1 + seq % 3), queue="n", ready_ms=1) for seq in range(10, 20)]
    others += [a_task(seq, queue="n0") for seq in range(20, 25)]
    bench.insert(*mine, *others, ended(7, 1, queue="n/a"), a_task(8, queue="m"))
    found = bench.reader().live("n/")
    assert plain_all(found) == plain_all(mine)
    assert seqs(bench.reader().live("n/a")) == [5]
    assert bench.reader().live("nothing/") == []
    assert found[0].spec.payload == b"p"
