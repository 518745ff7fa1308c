"""What ended is followed or forgotten, and what is left of it takes room while it is there."""

from __future__ import annotations

import pytest
from orchestrated import STARTING, Bench, a_start

from pullwork.v1 import service_pb2
from pullwork_master.core import commands as c
from pullwork_master.reconciler.model import Exit, Phase

PENDING = service_pb2.INSTANCE_STATE_PENDING
FAILED = service_pb2.INSTANCE_STATE_FAILED
STOPPING = service_pb2.INSTANCE_STATE_STOPPING


# --- ends ------------------------------------------------------------------------------------


async def test_an_instance_that_ended_by_itself_waits_for_its_follower(bench: Bench) -> None:
    await bench.create()
    node = await bench.node("n1")
    task_id = await bench.place(a_start())
    await node.work()
    details = '{"code": 3, "started_at_ms": 5, "ended_at_ms": 77, "log": "bye"}'
    await node.exits(task_id, details, "exit code 3")
    (ended,) = bench.roster.seen().ended
    assert ended.exit == Exit("exit code 3", 3, 77, "bye", 5)
    assert (ended.instance.id, ended.instance.node) == ("web-1", "n1")
    assert ended.instance.phase is Phase.HEALTHY
    assert [each.state for each in bench.shown()] == [FAILED]
    bench.roster.followed([task_id])
    assert bench.roster.seen().ended == ()
    assert bench.shown() == []


@pytest.mark.parametrize(
    "details", ["", "{", "[]", '"x"', '{"code": "a", "log": 5}', "[" * 9_000, '{"code": 1e999}']
)
async def test_an_end_that_is_told_in_other_words_is_an_end(bench: Bench, details: str) -> None:
    await bench.create()
    node = await bench.node("n1")
    task_id = await bench.place(a_start())
    await node.work()
    await node.exits(task_id, details, "it broke\n  badly")
    (ended,) = bench.roster.seen().ended
    assert (ended.exit.reason, ended.exit.code) == ("it broke badly", None)
    assert ended.exit.ended_ms == bench.now().wall_ms


async def test_a_success_is_an_exit_with_zero(bench: Bench) -> None:
    await bench.create()
    node = await bench.node("n1")
    task_id = await bench.place(a_start())
    await node.work()
    outcome = c.Outcome(node.grants[task_id].token, c.Success(b"null", ""), b"d")
    await bench.engine.ask(c.Report(node.session, (outcome,)))
    (ended,) = bench.roster.seen().ended
    assert (ended.exit.reason, ended.exit.code) == ("it ended with exit code 0", 0)


async def test_what_somebody_else_cancelled_is_followed_what_the_plan_stopped_is_not(
    bench: Bench,
) -> None:
    await bench.create()
    await bench.node("n1")
    theirs, ours = await bench.place(a_start("web-1")), await bench.place(a_start("web-2"))
    bench.roster.stock.stopping([ours])
    await bench.engine.ask(c.Cancel((theirs, ours)))
    (ended,) = bench.roster.seen().ended
    assert (ended.instance.task_id, ended.exit.reason) == (theirs, "its task was cancelled")


async def test_an_instance_that_waits_for_its_next_start_says_why_and_when(bench: Bench) -> None:
    await bench.create()
    await bench.node("n1")
    at = bench.now().wall_ms + 5_000
    exit = Exit("exit code 1", 1, at - 9_000, "last words")
    await bench.place(a_start(not_before_ms=at, restarts=3, quick_restarts=2, last_exit=exit))
    (shown,) = bench.shown()
    assert (shown.state, shown.restarts, shown.last_exit.log) == (FAILED, 3, "last words")
    assert shown.reason == "exit code 1; it starts again at 2023-11-14T22:13:26Z"
    (seen,) = bench.roster.seen().instances
    assert (seen.not_before_ms, seen.quick_restarts, seen.last_exit) == (at, 2, exit)
    await bench.pass_time(5_000)
    assert bench.shown()[0].state == PENDING
    assert bench.roster.seen().instances[0].phase is Phase.PENDING


# --- what takes room -------------------------------------------------------------------------


async def test_what_is_left_of_an_ended_task_takes_its_room_until_the_node_has_it_no_more(
    bench: Bench,
) -> None:
    await bench.create()
    node = await bench.node("n1")
    made = service_pb2.ServiceSpec(
        ports=[service_pb2.Port(name="http", port=80)],
        resources=service_pb2.Resources(cpus=0.5, memory_bytes=99),
    )
    task_id = await bench.place(a_start(template=made.SerializeToString()))
    await node.work()
    seen = bench.roster.seen()
    assert (seen.host_ports, seen.room) == ({task_id: (80,)}, {task_id: (0.5, 99)})
    bench.roster.stock.stopping([task_id])
    await bench.engine.ask(c.Cancel((task_id,)))
    seen = bench.roster.seen()
    assert [each.id for each in seen.remnants] == ["web-1"]
    assert (seen.host_ports, seen.room) == ({task_id: (80,)}, {task_id: (0.5, 99)})
    assert [(each.id, each.state) for each in bench.shown()] == [("web-1", STOPPING)]
    assert bench.services.nodes()[0].instances == 1
    before = bench.services.generation("web")
    assert node.report() == [task_id]
    node.report()
    seen = bench.roster.seen()
    assert (seen.remnants, seen.host_ports, bench.shown()) == ((), {}, [])
    assert bench.services.generation("web") > before
    assert bench.roster.nodes["n1"].formers == {}


async def test_after_a_start_the_ports_of_a_remnant_are_those_it_is_reached_at(
    bench: Bench,
) -> None:
    node = await bench.node("n1")
    address = service_pb2.Address(name="http", host="h", port=8080)
    old = "0190aabb-ccdd-7eef-8123-456789abcdef"
    node.put(old, "my-web-12", STARTING, addresses=[address])
    bench.services.report(node.session, node.copies(), node.facts)
    seen = bench.roster.seen()
    assert [(it.service, it.id) for it in seen.remnants] == [("my-web", "my-web-12")]
    assert seen.host_ports == {old: (8080,)}


async def test_since_when_an_instance_is_healthy_counts_without_a_break(bench: Bench) -> None:
    await bench.create()
    node = await bench.node("n1")
    task_id = await bench.place(a_start())
    await node.work()
    first = bench.now().wall_ms
    await bench.pass_time(3_000)
    node.put(task_id, "web-1", reason="still")
    node.report()
    assert bench.roster.seen().instances[0].healthy_ms == first
    node.put(task_id, "web-1", service_pb2.INSTANCE_STATE_UNHEALTHY)
    node.report()
    assert bench.roster.seen().instances[0].healthy_ms == 0
    node.put(task_id, "web-1")
    node.report()
    assert bench.roster.seen().instances[0].healthy_ms == bench.now().wall_ms
