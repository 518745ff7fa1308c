"""Many services on many nodes: what is shown of one takes no time for all the others."""

from __future__ import annotations

import time

from orchestrated import DAY, HEALTHY, PROCESS, spec

from pullwork.v1 import node_service_pb2
from pullwork_master.core.effects import Effects, MemberChange
from pullwork_master.core.model import Now, ServiceRow, Session, State, Task
from pullwork_master.core.rejections import shutting_down
from pullwork_master.gateway.discovery.listing import Listing
from pullwork_master.orchestrator import records
from pullwork_master.orchestrator.instances import new_task
from pullwork_master.orchestrator.nodes import Facts
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.reconciler.model import NODE_PREFIX, Runner, Start

SERVICES, EACH, NODES = 600, 10, 100
# Some ten times what it takes; what grows by the square takes longer by far.
ENOUGH_S = 1.0


def now() -> Now:
    return Now(1_000, DAY)


def tasks_of(name: str, first: int, template: bytes) -> list[Task]:
    made = []
    for seq in range(first, first + EACH):
        id, node = f"{name}-{seq}", f"n{seq % NODES}"
        new = new_task(Start(id, name, 1, node, template, Runner.PROCESS))
        made.append(Task(seq, new.spec, State.QUEUED, DAY))
    return made


def full() -> Roster:
    """Returns what is seen once every node has reported all that it has."""
    roster = Roster(1, now, lambda _: shutting_down(), 10_000, lambda _: 2_000)
    record, template = records.first(spec(EACH), DAY), spec().SerializeToString()
    names = [f"s{at}" for at in range(SERVICES)]
    tasks = [task for at, name in enumerate(names) for task in tasks_of(name, at * EACH, template)]
    rows = [ServiceRow(name, at, at, record, DAY, DAY) for at, name in enumerate(names, 1)]
    roster.load(rows, tasks)
    for node in list(roster.nodes):
        name = NODE_PREFIX + node
        session = Session(node, name, "b", (name,), ("t",), 100, 0, (), "", 1, 1)
        roster.heard(Effects(members=[MemberChange(session, joined=True)]))
        lives = roster.stock.on(node).values()
        reports = [
            node_service_pb2.InstanceReport(
                task_id=live.task_id, instance_id=live.spec.instance_id, state=HEALTHY
            )
            for live in lives
        ]
        assert roster.report(node, reports, Facts(PROCESS)) == []
    return roster


def test_all_services_are_listed_and_looked_at_in_no_time() -> None:
    roster = full()
    listing = Listing(roster)
    began = time.process_time()
    assert len(roster.seen().instances) == SERVICES * EACH
    listing.endpoints()
    for name in roster.services:
        assert len(roster.shown_instances(name)) == EACH
    assert time.process_time() - began < ENOUGH_S
