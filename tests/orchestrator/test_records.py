"""What is on the disk of a service is read as it was meant, by this version and each later one."""

from __future__ import annotations

import pytest
from orchestrated import DAY, Bench, a_start, spec, three_nodes

from pullwork.v1 import service_pb2
from pullwork_master.core import commands as c
from pullwork_master.core.model import NODE_PREFIX, ServiceRow, Spec
from pullwork_master.orchestrator import records
from pullwork_master.reconciler.model import Rolling, Rollout
from pullwork_master.storage.base import StorageError

# As the first version with services wrote it: one instance of `serve`, rolling since DAY.
FIRST = bytes.fromhex(
    "0a37080112001a0573657276653200420c0a0208011202083c1a02083c4a0052040a02081e5a0e0801"
    "10001a0208022202087828016202080a120a08011a060880e2cfaa06"
)


def row(record: bytes, revision: int = 7, version: int = 5) -> ServiceRow:
    return ServiceRow("web", revision, version, record, DAY, DAY)


def test_a_record_is_read_as_it_was_written() -> None:
    wanted = spec(3, env={"A": "1"}, resources=service_pb2.Resources(cpus=0.5))
    kept = records.read(row(records.first(wanted, DAY)))
    assert kept.spec == wanted
    assert kept.service.rollout == Rollout(Rolling.ROLLING, DAY, 5)
    assert (kept.service.revision, kept.service.version) == (7, 5)
    assert (kept.service.good_version, kept.service.good) == (0, None)


def test_the_first_records_are_read_for_ever() -> None:
    kept = records.read(row(FIRST))
    wanted = kept.service.wanted
    assert (wanted.instances, list(kept.spec.command)) == (1, ["serve"])
    assert (wanted.update.deadline_ms, wanted.replace_after_ms) == (120_000, 30_000)
    assert kept.service.rollout == Rollout(Rolling.ROLLING, DAY, 5)


def test_numbers_and_policies_keep_the_version_and_what_instances_are_made_of_does_not() -> None:
    kept = records.read(row(records.first(spec(3), DAY)))
    record, version = records.changed(kept, spec(4, restart={"max_backoff": {"seconds": 9}}), DAY)
    assert version == 5
    assert records.read(row(record)).service.rollout == kept.service.rollout
    record, version = records.changed(kept, spec(3, env={"A": "1"}), DAY + 1)
    assert version == 0
    assert records.read(row(record, 8, 8)).service.rollout == Rollout(Rolling.ROLLING, DAY + 1, 8)


def test_what_was_well_and_is_wanted_again_has_its_version() -> None:
    kept = records.read(row(records.first(spec(3), DAY)))
    done = Rollout(Rolling.DONE, DAY, 5)
    record, version = records.rolled(kept, done, good=True, back=False)
    kept = records.read(row(record, 8, version))
    record, version = records.changed(kept, spec(3, env={"A": "1"}), DAY)
    kept = records.read(row(record, 9, 9))
    record, version = records.changed(kept, spec(5), DAY)
    assert version == 5
    assert records.read(row(record, 10, version)).service.rollout.version == 5


def test_the_way_back_keeps_numbers_and_policies_as_they_are_wanted_now() -> None:
    kept = records.read(row(records.first(spec(3, env={"A": "1"}), DAY)))
    record, _ = records.rolled(kept, Rollout(Rolling.DONE, DAY, 5), good=True, back=False)
    kept = records.read(row(record, 8))
    bad = spec(6, command=["other"], disconnect={"wait": True})
    record, _ = records.changed(kept, bad, DAY)
    kept = records.read(row(record, 9, 9))
    back = Rollout(Rolling.RETURNING, DAY, 5, "it failed")
    record, version = records.rolled(kept, back, good=False, back=True)
    kept = records.read(row(record, 10, version))
    assert version == 5
    assert kept.spec == spec(6, env={"A": "1"}, disconnect={"wait": True})
    assert kept.service.rollout == back


def test_a_record_that_can_not_be_read_stops_a_start_in_plain_words() -> None:
    with pytest.raises(StorageError, match=r"service 'web' can't be read .* `pullwork restore`"):
        records.read(row(b"\xff\xff"))


async def test_a_stray_task_in_the_queue_of_a_node_is_stopped(bench: Bench) -> None:
    await three_nodes(bench, 1)
    stray = Spec("0190aabb-ccdd-7eef-8123-456789abcdef", NODE_PREFIX + "n1", "x", b"\xff\xff")
    await bench.engine.ask(c.Submit((c.NewTask(stray),)))
    other = await bench.place(a_start("none-1"))
    assert {stray.id, other} < bench.roster.stock.lives.keys()
    await bench.settle()
    assert list(bench.roster.stock.lives) == list(bench.tasks().values())
