"""What is seen of services is what was committed and what nodes said last, and no more."""

from __future__ import annotations

import asyncio

import pytest
from orchestrated import HEALTHY, Bench, a_start

from pullwork.v1 import service_pb2
from pullwork_master.core import commands as c
from pullwork_master.core.model import Load
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.orchestrator.nodes import Facts
from pullwork_master.reconciler.model import Runner
from pullwork_master.storage.memory import MemoryStorage

PENDING = service_pb2.INSTANCE_STATE_PENDING
FAILED = service_pb2.INSTANCE_STATE_FAILED
STOPPING = service_pb2.INSTANCE_STATE_STOPPING


async def test_an_instance_is_shown_as_its_node_reports_it(bench: Bench) -> None:
    await bench.create()
    node = await bench.node("n1")
    task_id = await bench.place(a_start())
    (shown,) = bench.shown()
    assert (shown.id, shown.state, shown.node) == ("web-1", PENDING, "n1")
    assert shown.reason == "node 'n1' has not begun with it"
    await node.work()
    address = service_pb2.Address(name="main", host="h", port=4)
    node.put(task_id, "web-1", addresses=[address], reason="so")
    node.report()
    (shown,) = bench.shown()
    assert (shown.state, shown.reason, list(shown.addresses)) == (HEALTHY, "so", [address])
    service = bench.services.get("web")
    assert (service.healthy, service.running) == (1, 1)


async def test_the_generation_grows_with_each_visible_change_and_with_nothing_else(
    bench: Bench,
) -> None:
    await bench.create()
    node = await bench.node("n1")
    await bench.place(a_start())
    before = bench.services.generation("web")
    await node.work()
    after = bench.services.generation("web")
    assert after > before
    for _ in range(3):
        node.report()
        await node.beat()
        bench.roster.look()
    assert bench.services.generation("web") == after
    assert bench.services.generation() >= after


async def test_a_change_of_one_service_is_none_of_another(bench: Bench) -> None:
    await bench.create("web")
    await bench.create("db")
    before, of_all = bench.services.generation("db"), bench.services.generation()
    await bench.services.scale("web", 3)
    assert bench.services.generation("db") == before
    assert bench.services.generation() > of_all


async def test_the_generation_never_goes_back_over_a_restart(bench: Bench) -> None:
    await bench.create()
    for number in range(2, 30):
        await bench.services.scale("web", number)
    last = bench.services.generation("web")
    await bench.restart()
    assert bench.services.generation("web") > last
    assert bench.services.generation() > last


async def test_whoever_waits_for_a_change_hears_of_it_and_of_the_end(bench: Bench) -> None:
    await bench.create()
    of_web, of_all = bench.services.generation("web"), bench.services.generation()
    waits = [
        asyncio.create_task(bench.services.newer(of_web, "web")),
        asyncio.create_task(bench.services.newer(of_all)),
    ]
    await asyncio.sleep(0)
    await bench.services.scale("web", 2)
    told = await asyncio.wait_for(asyncio.gather(*waits), 10)
    assert told == [bench.services.generation("web"), bench.services.generation()]
    last = asyncio.create_task(bench.services.newer(told[0], "web"))
    await asyncio.sleep(0)
    await bench.services.delete("web")
    with pytest.raises(Rejection) as gone:
        await asyncio.wait_for(last, 10)
    assert gone.value.reason is Reason.SERVICE_NOT_FOUND


async def test_the_end_of_a_service_that_nothing_has_changed_since_the_start_is_heard(
    bench: Bench,
) -> None:
    await bench.create(instances=0)
    await bench.restart()
    waiting = asyncio.create_task(bench.services.newer(bench.services.generation("web"), "web"))
    await asyncio.sleep(0)
    await bench.services.delete("web")
    with pytest.raises(Rejection) as gone:
        await asyncio.wait_for(waiting, 10)
    assert gone.value.reason is Reason.SERVICE_NOT_FOUND


async def test_who_stops_waiting_leaves_nothing_behind(bench: Bench) -> None:
    generations = bench.roster.generations
    waits = [asyncio.create_task(generations.newer(generations.of())) for _ in range(3)]
    await asyncio.sleep(0)
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)
    assert generations._bells == {}


# --- what nodes are told ---------------------------------------------------------------------


async def test_unwanted_is_what_no_live_task_of_that_node_stands_for(bench: Bench) -> None:
    await bench.create()
    n1, n2 = await bench.node("n1"), await bench.node("n2")
    mine = await bench.place(a_start("web-1", "n1"))
    others = await bench.place(a_start("web-2", "n2"))
    await n1.work()
    assert await n2.work() == []
    n1.put(others, "web-2")
    n1.put("0190aabb-ccdd-7eef-8123-456789abcdef", "old-7")
    assert sorted(n1.report()) == sorted([others, "0190aabb-ccdd-7eef-8123-456789abcdef"])
    assert list(n1.has) == [mine]
    await bench.engine.ask(c.Cancel((mine,)))
    assert n1.report() == [mine]


async def test_what_waits_runs_or_is_requeued_is_never_unwanted(bench: Bench) -> None:
    await bench.create()
    node = await bench.node("n1")
    task_id = await bench.place(a_start())
    node.put(task_id, "web-1")
    assert node.report() == [], "it waits"
    await node.work()
    assert node.report() == [], "it runs"
    await node.vanish()
    await node.join()
    assert node.report() == [], "it was requeued"
    await bench.restart()
    await node.join()
    assert node.report() == [], "a new master knows it, too"
    later = await bench.place(a_start("web-2", not_before_ms=bench.now().wall_ms + 60_000))
    await bench.restart()
    await node.join()
    node.put(later, "web-2")
    assert node.report() == [], "it waits for its moment"


async def test_a_report_of_a_session_that_is_over_is_refused_by_name(bench: Bench) -> None:
    node = await bench.node("n1")
    with pytest.raises(Rejection) as unknown:
        bench.services.report("1-99-x", [], Facts())
    assert unknown.value.reason is Reason.SESSION_LOST
    await node.vanish()
    await node.join()
    register = c.Register("w1", "boot", ("default",), ("a",), 1)
    worker = await bench.engine.ask(register)
    with pytest.raises(Rejection) as no_node:
        bench.services.report(worker.session.id, [], Facts())
    assert (no_node.value.reason, no_node.value.field) == (Reason.INVALID_FIELD, "session_id")


# --- nodes that come and go ------------------------------------------------------------------


async def test_instances_of_a_node_that_is_gone_are_disconnected_until_it_is_back(
    bench: Bench,
) -> None:
    await bench.create()
    node = await bench.node("n1")
    await bench.place(a_start())
    await node.work()
    before = bench.services.generation("web")
    await node.vanish()
    (shown,) = bench.shown()
    assert (shown.disconnected, shown.state) == (True, HEALTHY)
    assert bench.services.get("web").healthy == 0
    assert bench.services.generation("web") > before
    assert bench.roster.seen().nodes[0].gone_since_ms == bench.now().wall_ms
    assert bench.services.nodes()[0].session_id == ""
    await node.join()
    await node.work()
    (shown,) = bench.shown()
    assert (shown.disconnected, shown.state) == (False, HEALTHY)
    assert bench.roster.seen().nodes[0].gone_since_ms == 0


async def test_a_node_whose_name_another_takes_can_be_reached(bench: Bench) -> None:
    node = await bench.node("n1")
    await node.join()
    assert bench.services.nodes()[0].session_id == node.session
    assert node.report() == []


async def test_a_disk_that_was_full_costs_nodes_their_sessions_and_nothing_else(
    bench: Bench,
) -> None:
    await bench.create()
    node = await bench.node("n1")
    task_id = await bench.place(a_start())
    await node.work()
    if not isinstance(bench.storage, MemoryStorage):
        return  # that one fills up at will
    bench.storage.tasks_max = 1
    with pytest.raises(Rejection):
        await bench.place(a_start("web-2"))
    await bench.engine.look()
    with pytest.raises(Rejection) as lost:
        node.report()
    assert lost.value.reason is Reason.SESSION_LOST
    assert bench.shown()[0].disconnected
    await node.join()
    assert node.report() == []
    assert [each.task_id for each in bench.shown()] == [task_id]


async def test_the_load_of_a_node_is_smoothed_over_its_heartbeats(bench: Bench) -> None:
    node = await bench.node("n1")
    node.load = Load(0.5, 0.2)
    await node.beat()
    node.report()
    (seen,) = bench.roster.seen().nodes
    assert (seen.cpu, seen.memory) == (0.5, 0.2), "the first is taken as it is"
    node.load = Load(1.0, 0.2)
    for _ in range(2):
        await node.beat()
        for _ in range(5):
            node.report()
    (seen,) = bench.roster.seen().nodes
    assert seen.cpu == pytest.approx(0.5 + 0.15 + 0.105), "once for each heartbeat, not report"


async def test_a_node_is_as_it_says_and_offers_no_more_than_it_registered_for(
    bench: Bench,
) -> None:
    node = await bench.node("n1", slots=7, labels=(("zone", "a"),))
    node.facts = Facts(frozenset(Runner), "no engine", 4.0, 2**30)
    node.report()
    (seen,) = bench.roster.seen().nodes
    assert (seen.runners, seen.instances_max) == (frozenset({Runner.PROCESS}), 7)
    assert (seen.labels, seen.cpus, seen.memory_bytes) == ((("zone", "a"),), 4.0, 2**30)
    (shown,) = bench.services.nodes()
    assert (shown.problem, list(shown.runners), shown.instances) == ("no engine", ["process"], 0)
    assert not bench.roster.seen().nodes[0].draining
    await bench.engine.ask(c.Drain("pullwork.node/n1"))
    bench.roster.look()
    assert bench.roster.seen().nodes[0].draining


async def test_a_node_that_is_gone_and_has_nothing_is_forgotten_in_the_end(bench: Bench) -> None:
    await bench.create()
    n1, n2 = await bench.node("n1"), await bench.node("n2")
    await bench.place(a_start())
    await n1.vanish()
    await n2.vanish()
    bench.ms += 4_000_000
    bench.roster.look()
    assert [node.name for node in bench.services.nodes()] == ["n1"]


# --- a start ---------------------------------------------------------------------------------


async def test_after_a_start_it_is_settled_once_all_nodes_with_instances_reported(
    bench: Bench,
) -> None:
    assert bench.roster.settled
    await bench.create()
    nodes = [await bench.node("n1"), await bench.node("n2")]
    ids = [await bench.place(a_start(f"web-{number}", f"n{number}")) for number in (1, 2)]
    for node in nodes:
        await node.work()
    await bench.restart()
    assert not bench.roster.settled
    assert sorted(each.task_id for each in bench.shown()) == sorted(ids)
    assert {each.disconnected for each in bench.shown()} == {True}
    for node in nodes:
        await node.join()
    nodes[0].report()
    before = bench.services.generation("web")
    assert not bench.roster.settled
    nodes[1].report()
    assert bench.roster.settled
    assert bench.services.generation("web") > before
    assert [each.state for each in bench.shown()] == [HEALTHY, HEALTHY]


async def test_a_node_that_stays_away_after_a_start_is_waited_for_so_long_and_no_longer(
    bench: Bench,
) -> None:
    await bench.create()
    node = await bench.node("n1")
    await bench.place(a_start())
    await node.work()
    await bench.restart()
    node.session = ""
    assert bench.roster.look() == 10_000
    await bench.pass_time(9_999)
    assert bench.roster.look() == 1
    assert not bench.roster.settled
    await bench.pass_time(1)
    assert bench.roster.look() == 0
    assert bench.roster.settled
