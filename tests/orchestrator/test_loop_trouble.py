"""Where something is refused, fails or is gone, it waits and is told; nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from orchestrated import Bench, rested, three_nodes

from pullwork_master.core import commands as c
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.orchestrator.loop import Loop
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.reconciler.model import Plan, Seen, Service
from pullwork_master.reconciler.reconcile import reconcile


async def test_what_has_no_place_says_why_and_comes_when_there_is_one(bench: Bench) -> None:
    await bench.create("web", 2)
    await bench.settle()
    assert [(each.id, each.node) for each in bench.shown()] == [("", ""), ("", "")]
    assert bench.services.get("web").pending
    assert all(each.reason for each in bench.shown())
    await bench.node("n1")
    await bench.settle()
    assert bench.services.get("web").healthy == 2
    assert list(bench.services.get("web").pending) == []


async def test_what_is_refused_is_tried_again_and_nothing_that_ended_is_forgotten(
    bench: Bench,
) -> None:
    await three_nodes(bench, 2)
    (id, task_id), _ = sorted(bench.tasks().items())
    node = next(node for node in bench.nodes.values() if task_id in node.has)
    await node.exits(task_id, '{"code": 1}')
    real = bench.engine.ask

    async def ask(command: c.Command) -> object:
        if isinstance(command, c.Submit):
            raise Rejection(Reason.QUEUE_FULL, "full")
        return await real(command)

    bench.engine.ask = ask  # type: ignore[method-assign]
    await bench.services.look()
    await bench.services.look()
    assert list(bench.tasks()) == ["web-2"]
    bench.engine.ask = real  # type: ignore[method-assign]
    await bench.settle()
    assert sorted(bench.tasks()) == [id, "web-2"]
    assert bench.shown()[0].restarts == 1


async def test_one_that_can_not_be_stopped_gets_no_follower_beside_it(bench: Bench) -> None:
    await three_nodes(bench, 3)
    await bench.nodes["n1"].vanish()
    await bench.pass_time(31_000)
    real = bench.engine.ask

    async def ask(command: c.Command) -> object:
        if isinstance(command, c.Cancel):
            raise Rejection(Reason.DISK_FULL, "full")
        return await real(command)

    bench.engine.ask = ask  # type: ignore[method-assign]
    await bench.services.look()
    assert len(bench.tasks()) == 3
    bench.engine.ask = real  # type: ignore[method-assign]
    await bench.settle()
    assert sum(len(bench.nodes[name].has) for name in ("n2", "n3")) == 3


async def test_a_bug_in_the_reconciler_leaves_services_as_they_are_and_the_master_alive(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await three_nodes(bench, 3)
    tasks, broken = bench.tasks(), True

    def decide(services: Iterable[Service], seen: Seen, now_ms: int) -> Plan:
        if broken:
            raise ZeroDivisionError
        return reconcile(services, seen, now_ms)

    loop = Loop(bench.engine, bench.roster, decide)
    await bench.services.scale("web", 1)
    await loop.look()
    assert bench.tasks() == tasks
    assert [record.levelname for record in caplog.records if "A BUG" in record.message] == [
        "CRITICAL"
    ]
    broken = False
    await loop.look()
    assert len(bench.tasks()) == 1


async def test_running_it_acts_on_changes_by_itself_and_ends_when_told(bench: Bench) -> None:
    bench.services.start()
    await bench.node("n1")
    await bench.create("web", 2)
    async with asyncio.timeout(10):
        while len(bench.tasks()) < 2:
            await bench.services.newer(bench.services.generation())
    await asyncio.wait_for(bench.services.close(), 10)


async def test_it_ends_at_once_though_it_waits_after_a_bug(bench: Bench) -> None:
    failed = asyncio.Event()

    def decide(services: Iterable[Service], seen: Seen, now_ms: int) -> Plan:
        failed.set()
        raise ZeroDivisionError

    await bench.create()
    loop = Loop(bench.engine, bench.roster, decide)
    loop._bugs = 9
    running = asyncio.create_task(loop.run())
    await asyncio.wait_for(failed.wait(), 10)
    loop.stop()
    await asyncio.wait_for(running, 10)


async def test_a_master_without_services_does_not_look_at_all(bench: Bench) -> None:
    looks = 0

    def decide(services: Iterable[Service], seen: Seen, now_ms: int) -> Plan:
        nonlocal looks
        looks += 1
        return Plan()

    await bench.node("n1")
    loop = Loop(bench.engine, bench.roster, decide)
    await loop.look()
    assert looks == 0
    assert loop._wait_s is None


async def test_the_queue_of_a_node_that_never_comes_back_is_forgotten(bench: Bench) -> None:
    await three_nodes(bench, 3)
    await bench.nodes["n3"].vanish()
    await bench.pass_time(31_000)
    await rested(bench)
    assert "pullwork.node/n3" in bench.engine.core.book.queues
    for _ in range(3):
        # The engine sees a pause of its own, and nobody is blamed for it.
        bench.ms += 4_000_000
        await bench.pass_time(5_000)
        await bench.services.look()
    queues = set(bench.engine.core.book.queues)
    assert queues == {"default", "pullwork.node/n1", "pullwork.node/n2"}


async def test_a_bug_in_the_roster_costs_no_task_and_no_instance(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await three_nodes(bench, 3)
    tasks, has = bench.tasks(), bench.running()
    real, left = Roster._put_service, 1

    def broken(self: Roster, *args: Any) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise ZeroDivisionError
        real(self, *args)

    monkeypatch.setattr(Roster, "_put_service", broken)
    before = bench.services.generation("web")
    await bench.services.scale("web", 4)
    assert [it.levelname for it in caplog.records if "A BUG" in it.message] == ["CRITICAL"]
    assert bench.services.get("web").spec.instances == 4
    assert bench.services.generation("web") > before
    assert (bench.tasks(), bench.services.get("web").healthy) == (tasks, 3)
    assert all(node.report() == [] for node in bench.nodes.values())
    await bench.settle()
    assert sum(map(len, bench.running().values())) == 4
    assert all(set(had) <= set(bench.running()[name]) for name, had in has.items())
