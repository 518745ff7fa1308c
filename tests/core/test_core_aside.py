"""What limits set aside takes its part of the memory: it is read once, and nobody starves of it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from test_core_limits import held, limit, read_all
from world import POLICY, World, spec, success

from pullwork_master.core.limits import TASK_BYTES
from pullwork_master.core.window import weigh


def heavy_world(bytes_: int, tasks: int = 100) -> World:
    """Makes a world whose lines hold so many bytes and tasks of a flow in memory."""
    policy = replace(POLICY, window_tasks=tasks, window_bytes=bytes_, windows_bytes=20 * bytes_)
    world = World(policy)
    limit(world, concurrency_per_key=1)
    return world


def test_heavy_tasks_that_are_set_aside_keep_nobody_else_on_the_disk() -> None:
    world = heavy_world(50_000)
    worker = world.join("w1", slots=100)
    world.submit(*(spec(n, limit_key="k", flow=1, payload=b"x" * 1_000) for n in range(1, 60)))
    world.request(worker, 5)
    read_all(world)
    world.submit(*(spec(n, flow=2, payload=b"x" * 1_000) for n in range(101, 160)))
    for _ in range(30):
        world.request(worker, 5, wait_ms=60_000)
        read_all(world)
    assert held(worker) == [1, *range(101, 160)]


def test_a_page_of_small_tasks_is_no_larger_than_its_part() -> None:
    world = heavy_world(10 * TASK_BYTES)
    worker = world.join("w1", slots=100)
    world.submit(*(spec(n, limit_key=f"k{n % 2}", flow=n % 2) for n in range(1, 120)))
    world.submit(*(spec(n, flow=2) for n in range(201, 230)))
    for _ in range(35):
        world.request(worker, 5, wait_ms=60_000)
        read_all(world)
    assert held(worker) == [1, 2, *range(201, 230)]


def test_a_page_is_left_out_if_its_flow_was_cut_while_it_was_read() -> None:
    world = heavy_world(10 * TASK_BYTES, tasks=4)
    world.submit(*(spec(n) for n in range(1, 20)))
    world.request(world.join("w1"), 2)
    read_all(world)
    line = world.core.book.lines[("default", "a")]
    flow = line.flows[0]
    after = flow.horizon
    assert after is not None
    assert flow.held > 1
    page = [task for task in world.storage.tasks.values() if task.key > after][:2]
    world.core.book.spilled(line._cut(flow, 1, 1))
    line.page(0, after, page, more=True)
    world.step([])
    assert flow.horizon is not None
    assert flow.horizon < after


def test_whatever_is_set_aside_all_tasks_have_their_turn_at_last() -> None:
    for seed in range(8):
        _fill_and_empty(Random(seed))


def _fill_and_empty(dice: Random) -> None:
    world = heavy_world(dice.choice([20_000, 50_000]), dice.choice([4, 20, 100]))
    flows, size = dice.choice([2, 5, 40]), dice.choice([10, 1_000, 5_000, 15_000])
    worker = world.join("w1", slots=400)
    for first in range(1, 200, 20):
        made = []
        for number in range(first, first + 20):
            flow = dice.randrange(flows)
            payload = b"x" * dice.randrange(size)
            key = f"k{flow}" if flow % 4 else ""
            made.append(spec(number, flow=flow, limit_key=key, payload=payload))
        world.submit(*made)
        world.request(worker, 2)
        read_all(world)
        bound = 2 * world.policy.window_bytes + size + TASK_BYTES
        assert sum(map(weigh, world.core.book.lines[("default", "a")].tasks())) <= bound
    for _ in range(400):
        if not worker.held:
            break
        world.report(worker, success(next(iter(worker.held))))
        world.request(worker, 5)
        read_all(world)
        world.request(worker, 5)
    assert len(world.ledger.succeeded) == 200
