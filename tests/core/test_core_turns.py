"""Owners who share a line take turns, whatever one of them has piled up, in memory and on disk."""

from __future__ import annotations

from dataclasses import replace

from world import POLICY, Worker, World, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.flows import FLOWS, flow_of
from pullwork_master.core.window import weigh

FLOOD, GUEST = 1, 2


def one_by_one(world: World, worker: Worker, count: int) -> list[int]:
    """Runs so many tasks, each before the next is asked for; returns their numbers."""
    numbers = []
    while len(numbers) < count:
        world.request(worker, 1, wait_ms=1_000)
        while world.core.hungry():
            world.step([])
        (grant,) = worker.held.values()
        numbers.append(int(grant.spec.id[-12:]))
        world.report(worker, success(grant.token))
    return numbers


def test_a_flood_delays_nobody_by_more_than_its_turn(world: World) -> None:
    world.submit(*(spec(number, flow=FLOOD) for number in range(1, 200)))
    worker = world.join("w1")
    one_by_one(world, worker, 5)
    world.submit(*(spec(number, flow=GUEST) for number in range(501, 504)))
    order = one_by_one(world, worker, 8)
    assert [number for number in order if number > 500] == [501, 502, 503]
    assert order.index(503) <= 5


def test_turns_are_taken_of_what_is_on_disk_alone_too(world: World) -> None:
    world.submit(*(spec(number, flow=FLOOD) for number in range(1, 100)))
    world.submit(*(spec(number, flow=GUEST) for number in range(501, 600)))
    world.restart()
    order = one_by_one(world, world.join("w1"), 60)
    assert 29 <= sum(number > 500 for number in order) <= 31


def test_turns_are_shared_by_the_types_of_a_queue(world: World) -> None:
    for type_ in "abc":
        numbers = range(ord(type_) * 100, ord(type_) * 100 + 40)
        world.submit(*(spec(number, flow=FLOOD, type=type_) for number in numbers))
    world.submit(*(spec(number, flow=GUEST) for number in range(501, 530)))
    order = one_by_one(world, world.join("w1"), 40)
    assert 18 <= sum(number < 600 for number in order) <= 22


def test_a_higher_priority_goes_before_any_turn(world: World) -> None:
    world.submit(*(spec(number, flow=FLOOD) for number in range(1, 9)))
    world.submit(*(spec(number, flow=GUEST, priority=1) for number in range(11, 16)))
    assert one_by_one(world, world.join("w1"), 6) == [11, 12, 13, 14, 15, 1]


def test_within_a_flow_the_older_goes_first_whatever_its_type(world: World) -> None:
    world.submit(*(spec(number, type="ab"[number % 2]) for number in range(1, 9)))
    assert one_by_one(world, world.join("w1"), 8) == list(range(1, 9))


def test_many_flows_hold_a_bounded_number_in_memory(world: World) -> None:
    world.submit(*(spec(number, flow=number % 50) for number in range(1, 1_000)))
    line = world.core.book.lines[("default", "a")]
    assert line.held <= 2 * 50 * POLICY.window_tasks
    worker = world.join("w1", slots=1_000)
    assert len(one_by_one(world, worker, 999)) == 999


def test_heavy_payloads_are_on_disk_beyond_a_bound() -> None:
    policy = replace(POLICY, window_tasks=100, window_bytes=20_000, windows_bytes=60_000)
    world = World(policy)
    numbers = iter(range(1, 1_000))
    for queue in ("default", "mail", "other"):
        for flow in range(3):
            for _ in range(15):
                made = spec(next(numbers), queue=queue, flow=flow, payload=b"x" * 4_000)
                world.submit(made)
                book = world.core.book
                assert book.room.weight <= policy.windows_bytes + weigh(world.task(1))
                assert sum(map(weigh, book.tasks.values())) == book.room.weight
    worker = world.join("w1", queues=("default", "mail", "other"))
    assert len(set(one_by_one(world, worker, 135))) == 135


def test_what_nobody_asks_for_is_not_read(world: World) -> None:
    world.submit(*(spec(number, flow=number % 3) for number in range(1, 100)))
    world.ask(c.SetPaused("default", True))
    world.restart()
    world.join("w1")
    assert not world.core.hungry()
    assert world.core.book.tasks == {}


def test_a_flow_is_of_owner_and_limit_key_and_never_changes() -> None:
    assert flow_of("", "") == 909
    assert flow_of("a", "b") != flow_of("b", "a")
    assert len({flow_of(f"owner {number}", "") for number in range(20_000)}) == FLOWS
