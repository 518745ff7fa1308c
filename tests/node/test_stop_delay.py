"""What is to end serves on until its callers have heard of it, and no longer; and planted bugs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cluster import until
from local_node import LocalNode, local_node
from node_workers import WAITS, python, seconds
from stub_master import StubMaster, Task

from pullwork.v1 import service_pb2 as pb
from pullwork_worker.services import instance as instances
from pullwork_worker.services.instance import Instance, Phase

Law = Callable[[StubMaster, Path], Awaitable[None]]
# What a planted bug keeps from happening is not waited for any longer.
BROKEN_S = 5.0
LONG_S = 600.0
ILL = pb.HealthCheck(
    command=pb.HealthCheck.Command(command=["false"]),
    interval=seconds(0.1),
    failures=1,
    start_period=seconds(0),
    restart_after=seconds(LONG_S),
)


async def _runs(
    master: StubMaster, delay_s: float, state: str = "HEALTHY", **more: Any
) -> tuple[Task, float]:
    """Returns a task whose instance is as wanted, and the moment of that."""
    task = master.submit(python(WAITS, stop_delay=seconds(delay_s), **more))
    await until(lambda: master.state(task) == state, "it runs", master.patience_s)
    return task, time.monotonic()


async def _ends(master: StubMaster, node: LocalNode) -> float:
    """Waits until nothing runs; returns the moment."""
    await until(lambda: not node.programs(), "its program has ended", master.patience_s)
    return time.monotonic()


async def its_program_ends_only_after_the_delay(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task, began = await _runs(master, 1.0)
        master.cancel(task)
        await until(lambda: master.state(task) == "STOPPING", "it is told", master.patience_s)
        assert await _ends(master, node) - began >= 1.0


async def it_is_said_at_once_that_it_ends(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task, _ = await _runs(master, LONG_S)
        master.cancel(task)
        await until(lambda: master.state(task) == "STOPPING", "it is told", master.patience_s)
        assert node.programs()


async def a_person_who_ends_the_worker_waits_for_no_delay(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        await _runs(master, LONG_S)
        node.node.keeper.stop_all(5.0)
        await _ends(master, node)


async def a_person_also_ends_a_delay_that_has_begun(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task, _ = await _runs(master, LONG_S)
        master.cancel(task)
        await until(lambda: master.state(task) == "STOPPING", "it is told", master.patience_s)
        node.node.keeper.stop_all(5.0)
        await _ends(master, node)


async def one_that_nobody_is_led_to_is_not_waited_for(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task, _ = await _runs(master, LONG_S, "UNHEALTHY", health=ILL)
        master.cancel(task)
        await _ends(master, node)


async def one_that_says_nothing_of_it_ends_at_once(master: StubMaster, folder: Path) -> None:
    async with local_node(master.address, folder) as node:
        task = master.submit(python(WAITS))
        await until(lambda: master.state(task) == "HEALTHY", "it runs", master.patience_s)
        (kept,) = node.node.keeper.instances.values()
        assert kept.order.stop_delay_s == 0
        master.cancel(task)
        await _ends(master, node)


LAWS: list[Law] = [
    its_program_ends_only_after_the_delay,
    it_is_said_at_once_that_it_ends,
    a_person_who_ends_the_worker_waits_for_no_delay,
    a_person_also_ends_a_delay_that_has_begun,
    one_that_nobody_is_led_to_is_not_waited_for,
    one_that_says_nothing_of_it_ends_at_once,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
async def test_the_law_holds(law: Law, master: StubMaster, tmp_path: Path) -> None:
    await law(master, tmp_path / "state")


# --- planted bugs


def told_at_once(patch: pytest.MonkeyPatch) -> None:
    """Its program ends while callers are still led to it."""
    right = Instance.stop
    patch.setattr(
        Instance, "stop", lambda self, type, message, after_s=0: right(self, type, message)
    )


def said_when_it_is_over(patch: pytest.MonkeyPatch) -> None:
    """It counts as one that serves until its program hears of its end."""
    patch.setitem(instances.NEXT, (Phase.HEALTHY, instances.Event.STOP), Phase.HEALTHY)


def waits_for_everybody(patch: pytest.MonkeyPatch) -> None:
    """Every end is put off, whoever wants it and however it is."""
    right = Instance.stop

    def wrong(self: Instance, type: str, message: str, after_s: float = 0.0) -> None:
        self.phase = Phase.HEALTHY
        right(self, type, message, self.order.stop_delay_s)

    patch.setattr(Instance, "stop", wrong)


def a_delay_can_not_be_ended(patch: pytest.MonkeyPatch) -> None:
    """Once a delay has begun it takes its time."""
    right = Instance.stop

    def wrong(self: Instance, *args: Any, **more: Any) -> None:
        if self._stopped is None:
            right(self, *args, **more)

    patch.setattr(Instance, "stop", wrong)


BUGS: list[tuple[Callable[[pytest.MonkeyPatch], None], Law]] = [
    (told_at_once, its_program_ends_only_after_the_delay),
    (said_when_it_is_over, it_is_said_at_once_that_it_ends),
    (waits_for_everybody, a_person_who_ends_the_worker_waits_for_no_delay),
    (waits_for_everybody, one_that_nobody_is_led_to_is_not_waited_for),
    (a_delay_can_not_be_ended, a_person_also_ends_a_delay_that_has_begun),
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
    with pytest.raises(AssertionError):
        await law(master, tmp_path / "state")
