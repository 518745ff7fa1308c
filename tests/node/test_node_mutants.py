"""Laws of a node, and planted bugs that they have to find."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster import until
from local_node import LocalNode, local_node
from node_workers import WAITS, python
from stub_master import StubMaster, Task

from pullwork_worker.services import folder as folders
from pullwork_worker.services import process as processes
from pullwork_worker.services.folder import InstanceFolder
from pullwork_worker.services.inventory import Inventory
from pullwork_worker.services.keeper import Keeper
from pullwork_worker.services.runner import EXITED, Scope

Law = Callable[[StubMaster, Path], Awaitable[None]]
# What a planted bug keeps from happening is not waited for any longer.
BROKEN_S = 5.0


async def runs(master: StubMaster, code: str = WAITS) -> Task:
    task = master.submit(python(code))
    await until(lambda: master.state(task) == "HEALTHY", "it runs", master.patience_s)
    return task


async def told_again(master: StubMaster, times: int = 2) -> None:
    """Waits for reports from now on."""
    seen = len(master.reports)
    await until(lambda: len(master.reports) >= seen + times, "reports", master.patience_s)


async def a_lost_lease_leaves_its_program_running(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task = await runs(master)
        before = node.programs()
        master.lose_leases()
        await until(lambda: task.attempt == 2 and task.token, "leased again", master.patience_s)
        await told_again(master)
        assert node.programs() == before
        assert task.failure is None


async def silence_removes_nothing(master: StubMaster, folder: Path) -> None:
    master.lease_s = 0.5
    async with local_node(master.address, folder) as node:
        await runs(master)
        before = node.programs()
        master.silent = True
        link = node.node.runner.machine.link
        await until(lambda: link.stopped_for_silence, "the lease is over", master.patience_s)
        await until(lambda: master.unheard >= 2, "reports were in vain", master.patience_s)
        master.silent = False
        await told_again(master)
        assert node.programs() == before


async def an_end_is_kept_until_it_is_taken(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task = await runs(master)
        master.takes_results = False
        node.programs()[0].kill()
        await until(lambda: task.attempt >= 3, "the end was told in vain", master.patience_s)
        await told_again(master, 3)
        master.takes_results = True
        await until(lambda: task.failure, "the end is told", master.patience_s)
        assert task.failure is not None
        assert task.failure.message == "exited with 137 (SIGKILL)"


async def other_clusters_are_left_alone(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task = await runs(master)
        before = node.programs()
        await node.vanish()
        del master.tasks[task.id]
        master.cluster_id = "another"
        second = LocalNode(master.address, folder)
        await told_again(master, 3)
        assert node.programs() == before
        assert not master.seen.lines
        await second.vanish()


async def what_is_unwanted_is_removed_after_a_restart(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task = await runs(master)
        await node.vanish()
        task.cancelled = True
        second = LocalNode(master.address, folder)
        await until(lambda: not node.programs(), "it is removed", master.patience_s)
        await second.vanish()


async def a_number_of_another_process_is_not_adopted(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task = await runs(master)
        await node.vanish()
        path = next(node.folder.glob("*/*/*/started.json"))
        started = json.loads(path.read_text())
        shim = psutil.Process(started["shim_pid"])
        shim.kill()
        node.programs()[0].kill()
        await until(lambda: not shim.is_running(), "the shim is gone", master.patience_s)
        path.write_text(json.dumps(started | {"shim_pid": os.getpid(), "pid": os.getpid()}))
        master.lose_leases()
        second = LocalNode(master.address, folder)
        await until(lambda: task.failure, "its end is told", master.patience_s)
        await second.vanish()


LAWS: list[Law] = [
    a_lost_lease_leaves_its_program_running,
    silence_removes_nothing,
    an_end_is_kept_until_it_is_taken,
    other_clusters_are_left_alone,
    what_is_unwanted_is_removed_after_a_restart,
    a_number_of_another_process_is_not_adopted,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
async def test_the_law_holds(law: Law, master: StubMaster, tmp_path: Path) -> None:
    await law(master, tmp_path / "state")


# --- planted bugs


def stops_what_it_lets_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Keeper.stop

    def wrong(self: Keeper, slot: int, ticket: Any) -> None:
        right(self, slot, ticket)
        self.instances[ticket.work.task_id].stop(EXITED, "its lease is gone")

    monkeypatch.setattr(Keeper, "stop", wrong)


def takes_no_answer_for_an_order(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Inventory.report

    async def wrong(self: Inventory, session_id: str) -> None:
        keeper = self._keeper
        before, heard = keeper.unwanted, []

        def hear(task_ids: Collection[str]) -> None:
            heard.append(task_ids)
            before(task_ids)

        monkeypatch.setattr(keeper, "unwanted", hear)
        await right(self, session_id)
        if not heard:
            before(list(keeper.instances))

    monkeypatch.setattr(Inventory, "report", wrong)


def takes_any_verdict_for_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Keeper.settled

    def wrong(self: Keeper, verdicts: dict[str, bool]) -> None:
        right(self, dict.fromkeys(verdicts, True))

    monkeypatch.setattr(Keeper, "settled", wrong)


def knows_no_clusters(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(state: Path, scope: Scope) -> Path:
        return folders.scope_folder(state, scope._replace(cluster="any"))

    monkeypatch.setattr(processes, "scope_folder", wrong)


def finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "instances_in", lambda folder: iter(()))


def believes_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: InstanceFolder) -> bool:
        started = self.read("started.json")
        return bool(started) and psutil.pid_exists(started["shim_pid"])

    monkeypatch.setattr(InstanceFolder, "lives", wrong)


BUGS: list[tuple[Callable[[pytest.MonkeyPatch], None], Law]] = [
    (stops_what_it_lets_go_of, a_lost_lease_leaves_its_program_running),
    (takes_no_answer_for_an_order, silence_removes_nothing),
    (takes_any_verdict_for_accepted, an_end_is_kept_until_it_is_taken),
    (knows_no_clusters, other_clusters_are_left_alone),
    (finds_nothing, what_is_unwanted_is_removed_after_a_restart),
    (believes_in_numbers, a_number_of_another_process_is_not_adopted),
]


@pytest.mark.parametrize(("plant", "law"), BUGS, ids=lambda it: it.__name__)
async def test_a_planted_bug_breaks_its_law(
    plant: Callable[[pytest.MonkeyPatch], None],
    law: Law,
    master: StubMaster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch)
    master.patience_s = BROKEN_S
    with pytest.raises((AssertionError, IndexError, ValueError, KeyError)):
        await law(master, tmp_path / "state")
