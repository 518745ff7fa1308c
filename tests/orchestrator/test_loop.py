"""What is wanted comes to be and stays so, whoever dies when; and never twice."""

from __future__ import annotations

import pytest
from orchestrated import HEALTHY, STARTING, Bench, rested, spec, three_nodes

from pullwork.v1 import service_pb2
from pullwork_master.core import commands as c
from pullwork_master.core.model import State
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.orchestrator.loop import Loop
from pullwork_master.reconciler.model import Rolling

UPDATED = {"env": {"V": "2"}}


async def test_instances_are_spread_over_the_nodes(bench: Bench) -> None:
    await three_nodes(bench)
    assert [len(has) for has in bench.running().values()] == [2, 2, 2]
    service = bench.services.get("web")
    assert (service.healthy, service.running, list(service.pending)) == (6, 6, [])
    assert [each.id for each in bench.shown()] == [f"web-{number}" for number in range(1, 7)]


async def test_an_instance_is_a_task_of_its_nodes_queue(bench: Bench) -> None:
    await three_nodes(bench, 1)
    (task_id,) = bench.tasks().values()
    reader = bench.storage.reader()
    task = reader.get(task_id)
    reader.close()
    assert task is not None
    assert task.spec.queue.startswith("pullwork.node/n")
    assert (task.spec.type, task.spec.owner) == ("pullwork.process", "service/web")
    assert (task.spec.retry.max_attempts, task.spec.execution_timeout_ms) == (1, 0)
    made = service_pb2.InstanceSpec.FromString(task.spec.payload)
    assert (made.instance_id, made.service, made.version) == ("web-1", "web", 1)
    assert list(made.spec.command) == ["serve"]


async def test_scaled_up_down_and_to_none_the_nodes_have_just_so_many(bench: Bench) -> None:
    await three_nodes(bench, 3)
    first = bench.tasks()
    for wanted in (9, 2, 0, 4):
        await bench.services.scale("web", wanted)
        await bench.settle()
        await bench.settle()
        assert sum(map(len, bench.running().values())) == wanted
    assert bench.services.get("web").version == 1
    assert not set(first.values()) & set(bench.tasks().values())


async def test_what_is_deleted_is_stopped_and_its_name_is_free(bench: Bench) -> None:
    await three_nodes(bench)
    before = bench.services.get("web")
    assert await bench.services.delete("web") == before
    await bench.settle()
    await bench.settle()
    assert bench.running() == {"n1": [], "n2": [], "n3": []}
    await bench.create("web", 2)
    await bench.settle()
    assert bench.services.get("web").version > before.version
    assert sum(map(len, bench.running().values())) == 2


# --- masters that die ------------------------------------------------------------------------


async def test_a_new_master_finds_the_same_instances_and_makes_no_others(bench: Bench) -> None:
    await three_nodes(bench)
    tasks, has = bench.tasks(), bench.running()
    await bench.restart()
    await bench.settle()
    assert bench.tasks() == tasks, "before any node is back"
    for node in bench.nodes.values():
        await node.join()
    await bench.pass_time(4_000)
    await bench.settle()
    assert (bench.tasks(), bench.running()) == (tasks, has)
    assert bench.services.get("web").healthy == 6


async def test_what_was_acknowledged_survives_whatever_had_been_done_of_it(bench: Bench) -> None:
    for name in ("n1", "n2"):
        await bench.node(name)
    await bench.create("web", 2)
    await bench.restart()
    for node in bench.nodes.values():
        await node.join()
        node.report()
    await bench.settle()
    assert sum(map(len, bench.running().values())) == 2
    await bench.services.delete("web")
    await bench.restart()
    with pytest.raises(Rejection) as gone:
        bench.services.get("web")
    assert gone.value.reason is Reason.SERVICE_NOT_FOUND
    for node in bench.nodes.values():
        await node.join()
        node.report()
    await bench.settle()
    await bench.settle()
    assert bench.running() == {"n1": [], "n2": []}


class Dying(Exception):
    """The master dies here."""


@pytest.mark.parametrize("commands", range(1, 9))
async def test_a_master_that_dies_between_any_two_commands_neither_doubles_nor_loses(
    bench: Bench, commands: int
) -> None:
    """An update of two instances and the loss of a node, cut off after so many commands."""
    await three_nodes(bench, 4)
    await bench.services.update("web", lambda _: spec(4, **UPDATED))
    await bench.nodes["n3"].vanish()
    real, left = bench.engine.ask, commands

    async def ask(command: c.Command) -> object:
        nonlocal left
        if isinstance(command, c.Cancel | c.Submit | c.PutService):
            left -= 1
            if left < 0:
                raise Dying
        return await real(command)

    bench.engine.ask = ask  # type: ignore[method-assign]
    loop = Loop(bench.engine, bench.roster)
    for _ in range(12):
        await loop.look()
        for node in bench.nodes.values():
            if node.session:
                await node.work()
        await bench.pass_time(5_000)
        if left < 0:
            break
    await bench.restart()
    for name in ("n1", "n2"):
        await bench.nodes[name].join()
    await rested(bench)
    assert sum(len(bench.nodes[name].has) for name in ("n1", "n2")) == 4
    await bench.nodes["n3"].join()
    await rested(bench)
    shown = bench.shown()
    assert len(shown) == len({each.id for each in shown}) == 4
    assert sum(map(len, bench.running().values())) == 4
    assert {each.state for each in shown} == {HEALTHY}


# --- nodes that die --------------------------------------------------------------------------


async def test_a_node_that_returns_in_time_keeps_what_it_has(bench: Bench) -> None:
    await three_nodes(bench)
    tasks, has = bench.tasks(), bench.running()
    node = bench.nodes["n2"]
    await node.vanish()
    await bench.settle()
    await bench.pass_time(20_000)
    await bench.settle()
    assert bench.tasks() == tasks, "requeued in place"
    reader = bench.storage.reader()
    states = {reader.get(task_id).state for task_id in tasks.values()}  # type: ignore[union-attr]
    reader.close()
    assert states == {State.RUNNING, State.QUEUED}
    await node.join()
    await bench.settle()
    assert (bench.tasks(), bench.running()) == (tasks, has)
    assert bench.services.get("web").healthy == 6


async def test_a_node_that_stays_away_is_replaced_and_gives_up_what_was_when_it_returns(
    bench: Bench,
) -> None:
    await three_nodes(bench)
    node = bench.nodes["n2"]
    had = bench.running()["n2"]
    await node.vanish()
    await bench.pass_time(29_000)
    await bench.settle()
    assert len(bench.running()["n1"] + bench.running()["n3"]) == 4
    await bench.pass_time(1_500)
    await bench.settle()
    await bench.settle()
    others = bench.running()["n1"] + bench.running()["n3"]
    assert len(others) == 6
    assert bench.running()["n2"] == had, "nobody can reach it"
    await node.join()
    assert len(node.report()) == 2, "unwanted"
    assert bench.running()["n2"] == []


async def test_an_instance_that_ends_starts_again_on_its_node_and_backs_off(
    bench: Bench,
) -> None:
    await three_nodes(bench, 1)
    waits = []
    for _ in range(4):
        ((id, task_id),) = bench.tasks().items()
        assert id == "web-1"
        node = next(node for node in bench.nodes.values() if task_id in node.has)
        await node.exits(task_id, '{"code": 1, "started_at_ms": 1, "ended_at_ms": 2}')
        await bench.services.look()
        (live,) = bench.roster.stock.of("web")
        waits.append(bool(live.not_before_ms))
        assert live.spec.last_exit.code == 1
        await bench.pass_time(max(0, live.not_before_ms - bench.now().wall_ms) + 1)
        await bench.settle()
    assert bench.shown()[0].restarts == 4
    assert waits[0] is False


# --- updates ---------------------------------------------------------------------------------


async def test_an_update_rolls_until_all_are_of_the_new_version(bench: Bench) -> None:
    await three_nodes(bench, 3)
    await bench.pass_time(3_000)
    await bench.settle()
    assert bench.services.get("web").rollout.state == Rolling.DONE
    updated = await bench.services.update("web", lambda _: spec(3, **UPDATED))
    assert updated.replaces_instances
    for _ in range(10):
        await bench.settle()
        await bench.pass_time(2_500)
    service = bench.services.get("web")
    assert service.rollout.state == Rolling.DONE
    assert {each.version for each in bench.shown()} == {service.version}
    assert service.version == updated.service.version
    assert sum(map(len, bench.running().values())) == 3


async def test_an_update_that_fails_returns_to_what_was_well(bench: Bench) -> None:
    await three_nodes(bench, 3)
    await bench.pass_time(3_000)
    await bench.settle()
    good = bench.services.get("web")
    for node in bench.nodes.values():
        node.begins_as = STARTING
    await bench.services.update("web", lambda _: spec(3, **UPDATED))
    for _ in range(5):
        await bench.settle()
        await bench.pass_time(30_000)
    for node in bench.nodes.values():
        node.begins_as = HEALTHY
    await bench.settle()
    await bench.pass_time(3_000)
    await bench.settle()
    service = bench.services.get("web")
    assert service.rollout.state == Rolling.RETURNED
    assert (service.version, service.spec) == (good.version, good.spec)
    assert service.revision > good.revision
    assert {each.version for each in bench.shown()} == {good.version}
    assert service.rollout.reason
