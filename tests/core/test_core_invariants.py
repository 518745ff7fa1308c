"""Every invariant is broken once on purpose, and says so."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from dataclasses import replace

import pytest
from world import World, spec

from pullwork_master.core import invariants
from pullwork_master.core.invariants import BrokenInvariantError, check
from pullwork_master.core.lanes import Flow, Lane
from pullwork_master.core.model import Contact, Lease, Limits, ServiceRow, Session, State, Task
from pullwork_master.core.ready import Line


def lived_in() -> World:
    """A world where a session holds a task, another is parked, and tasks wait."""
    world = World()
    holder, parked = world.join("w1"), world.join("w2", types=("b",))
    world.submit(*(spec(number) for number in range(1, 9)))
    world.submit(spec(20), delay_ms=60_000)
    world.request(holder, 1)
    world.request(parked, 1, wait_ms=60_000)
    check(world.core.book)
    return world


def running(world: World) -> Task:
    return next(t for t in world.core.book.tasks.values() if t.state is State.RUNNING)


def lease(world: World) -> Lease:
    held = running(world).lease
    assert held is not None
    return held


def holder(world: World) -> Session:
    return world.session(world.workers[0])


def line(world: World) -> Line:
    return world.core.book.lines[("default", "a")]


def waiting(world: World) -> Task:
    first = line(world).first(world.mono_ms)
    assert first is not None
    return first


def flow(world: World) -> Flow:
    return line(world).flows[0]


def lane(world: World) -> Lane:
    return flow(world).lanes[""]


def wrong_key(world: World) -> None:
    world.core.book.tasks[999] = running(world)


def lost_id(world: World) -> None:
    del world.core.book.ids[running(world).spec.id]


def lost_lease(world: World) -> None:
    running(world).lease = None


def kept_end(world: World) -> None:
    task = waiting(world)
    task.state = State.FAILED


def dead_holder(world: World) -> None:
    lease(world).session = "nobody"


def unaware_holder(world: World) -> None:
    holder(world).held.clear()


def old_token(world: World) -> None:
    lease(world).token = "1.0.x"


def free_cost(world: World) -> None:
    waiting(world).failures = 1


def miscounted_running(world: World) -> None:
    line(world).running += 1


def lost_gate(world: World) -> None:
    line(world).gate.lines["a"] = Line("a", line(world).gate, world.core.book.room)


def flow_forgets_a_task(world: World) -> None:
    flow(world).held -= 1


def flow_below_memory(world: World) -> None:
    flow(world).queued = 0


def flow_too_long(world: World) -> None:
    flow(world).queued += 1


def forgotten_horizon(world: World) -> None:
    flow(world).horizon = None


def horizon_without_a_place(world: World) -> None:
    flow(world).place = None


def running_in_line(world: World) -> None:
    waiting(world).state = State.SCHEDULED


def stranger_in_line(world: World) -> None:
    task = waiting(world)
    lane(world).tasks[task.seq] = replace(task)


def other_flow(world: World) -> None:
    task = waiting(world)
    task.spec = task.spec._replace(flow=7)


def beyond_horizon(world: World) -> None:
    flow(world).horizon = (-9, 1)


def lane_without_a_place(world: World) -> None:
    lane(world).place = None


def barred_unknown(world: World) -> None:
    lane(world).barred = True
    line(world).aside += lane(world).weight


def barred_uncounted(world: World) -> None:
    barred_without_reason(world)
    line(world).aside = 0


def lane_forgets_a_task(world: World) -> None:
    lane(world).weight -= 1


def barred_without_reason(world: World) -> None:
    barred_unknown(world)
    line(world).gate.aside[""] = {lane(world): line(world)}


def barred_for_ever(world: World) -> None:
    gate = line(world).gate
    gate.set_limits(Limits(rate_per_key=1.0), world.now.mono_ms)
    world.submit(*(spec(each, limit_key="k", flow=1, priority=5) for each in (30, 31)))
    world.request(world.join("w9"), 2)
    assert list(gate.aside) == ["k"]
    gate._looks.clear()


def unheld_line(world: World) -> None:
    line(world).held += 1


def heavy_room(world: World) -> None:
    world.core.book.room.weight += 1


def miscounted_starts(world: World) -> None:
    line(world).gate.running += 1


def miscounted_key(world: World) -> None:
    line(world).gate.running_by_key["k"] = 1


def dead_in_line(world: World) -> None:
    line(world).idle["nobody"] = None


def parked_beside_a_task(world: World) -> None:
    line(world).parked[holder(world).id] = None


def miscounted_schedule(world: World) -> None:
    world.core.book.scheduled += 1


def miscounted_queue(world: World) -> None:
    line(world).gate.waiting += 1


def kept_expired(world: World) -> None:
    holder(world).contact = Contact.EXPIRED


def holds_what_waits(world: World) -> None:
    task = waiting(world)
    holder(world).held[task.seq] = task


def two_holders(world: World) -> None:
    task = running(world)
    world.session(world.workers[1]).held[task.seq] = task


def left_out_of_line(world: World) -> None:
    for each in world.core.book.lines.values():
        each.parked.clear()


def service(world: World, name: str, revision: int, version: int = 1) -> None:
    row = ServiceRow(name, revision, version, b"", 1, 1)
    world.core.book.services[name] = row
    world.core.book.next_service_revision = 3


def two_of_one_revision(world: World) -> None:
    service(world, "a", 1)
    service(world, "b", 1)


def misnamed_service(world: World) -> None:
    service(world, "a", 1)
    world.core.book.services["b"] = world.core.book.services.pop("a")


def version_of_tomorrow(world: World) -> None:
    service(world, "a", 1, version=2)


BREACHES: dict[str, Callable[[World], None]] = {
    "a task is kept under its own key": wrong_key,
    "a task is found by its id": lost_id,
    "a lease stands while RUNNING, and only then": lost_lease,
    "an ended task is not kept in memory": kept_end,
    "a lease is held by a living session": dead_holder,
    "the holder knows what it holds": unaware_holder,
    "the lease is that of the last attempt": old_token,
    "no cost without an attempt": free_cost,
    "a line counts what runs": miscounted_running,
    "a line has a gate": lost_gate,
    "a flow counts what it holds": flow_forgets_a_task,
    "what is in memory is part of its flow": flow_below_memory,
    "without a horizon all is in memory": forgotten_horizon,
    "what is on disk has its place in the order": horizon_without_a_place,
    "only QUEUED tasks are in a line": running_in_line,
    "what is in a line is in memory": stranger_in_line,
    "a task waits in its own flow": other_flow,
    "a flow ends at its horizon": beyond_horizon,
    "every lane has its place in the order": lane_without_a_place,
    "what is set aside is known to its gate": barred_unknown,
    "a line counts what it set aside": barred_uncounted,
    "a lane counts what it holds": lane_forgets_a_task,
    "nothing is set aside without a reason": barred_without_reason,
    "who waits for a token is woken": barred_for_ever,
    "a line counts what it holds": unheld_line,
    "a line counts what its flows count": flow_too_long,
    "the room counts what its lines hold": heavy_room,
    "a queue counts what runs": miscounted_starts,
    "a key counts what runs": miscounted_key,
    "who waits is alive": dead_in_line,
    "nobody waits for a task that is there": parked_beside_a_task,
    "the schedule counts what its lines count": miscounted_schedule,
    "a queue counts what its lines count": miscounted_queue,
    "an expired session is forgotten": kept_expired,
    "what a session holds is RUNNING": holds_what_waits,
    "one lease has one holder": two_holders,
    "a session waits in its lines while it is free, and only then": left_out_of_line,
    "no two services have one revision": two_of_one_revision,
    "a service is kept under its own name": misnamed_service,
    "a version is a revision, and both were given out": version_of_tomorrow,
}


@pytest.mark.parametrize("law", BREACHES)
def test_a_breach_is_detected_by_name(law: str) -> None:
    world = lived_in()
    BREACHES[law](world)
    with pytest.raises(BrokenInvariantError) as broken:
        check(world.core.book)
    assert str(broken.value).startswith(law)


def test_every_law_has_a_breach() -> None:
    tree = ast.parse(inspect.getsource(invariants))
    laws = {
        call.args[1].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") == "_require"
        and isinstance(call.args[1], ast.Constant)
    }
    assert laws == set(BREACHES)
