"""What throughput becomes as payloads, queues, types and the backlog grow."""

from __future__ import annotations

from typing import Any, Final

from bench.figure import Figure, Rounds
from bench.section import Lab, Section, Sizes, alternated
from bench.system import System, running

RATE: Final = "tasks/s"
# As many as a worker may serve.
QUEUES_MAX: Final = 64
QUEUES: Final = [f"queue-{number}" for number in range(QUEUES_MAX)]
QUEUE_COUNTS: Final = (1, 10, QUEUES_MAX)
TYPE_COUNTS: Final = (1, 10, 100)
MANY_TYPES: Final = "bench.work_of_many_types"


def measure(lab: Lab) -> list[Figure]:
    """Measures each growth from the least to the most, and back in every second round."""
    rounds = Rounds()
    for number in range(lab.sizes.rounds):
        _measure_payloads(lab, rounds, number)
        _measure_spread(lab, rounds, number)
        for backlog in alternated(lab.sizes.backlogs, number):
            lab.step(f"{backlog:,} waiting")
            rounds.add(f"backlog: {backlog:,} tasks wait", RATE, _drain_rate(lab, backlog))
    return rounds.figures()


def _measure_payloads(lab: Lab, rounds: Rounds, number: int) -> None:
    with running(lab.folder) as (_, client):
        for size, part in alternated(lab.sizes.payloads, number):
            lab.step(f"payloads of {size:,} B")
            tasks = int(lab.sizes.tasks * part)
            answer = client.ask(do="map", tasks=tasks, size=size)
            rounds.add(f"payload: {size:,} B", RATE, tasks / answer["seconds"])


def _measure_spread(lab: Lab, rounds: Rounds, number: int) -> None:
    def measure_one(client: Any, what: str, **command: Any) -> None:
        lab.step(what)
        answer = client.ask(do="spread", tasks=lab.sizes.tasks, **command)
        rounds.add(what, RATE, lab.sizes.tasks / answer["seconds"])

    with running(lab.folder, queues=["default", *QUEUES[1:]]) as (_, client):
        for count in alternated(QUEUE_COUNTS, number):
            measure_one(client, f"queues: {count}", queues=["default", *QUEUES[1:count]])
    with running(lab.folder, tasks=MANY_TYPES) as (_, client):
        for count in alternated(TYPE_COUNTS, number):
            measure_one(client, f"types: {count}", types=count)


def _drain_rate(lab: Lab, backlog: int) -> float:
    awaited = min(lab.sizes.tasks, backlog)
    skipped = awaited // 10
    system = System(lab.folder)
    try:
        client = system.add_client()
        client.ask(do="fill", tasks=backlog, awaited=awaited)
        system.add_workers()
        answer = client.ask(do="drain", skipped=skipped)
        system.check()
    finally:
        system.close()
    seconds: float = answer["seconds"]
    return (awaited - skipped) / seconds


def _steps(sizes: Sizes) -> int:
    spread = len(QUEUE_COUNTS) + len(TYPE_COUNTS)
    return sizes.rounds * (len(sizes.payloads) + spread + len(sizes.backlogs))


GROWTH = Section(
    "growth",
    "Throughput as things grow",
    "`map` of coroutine tasks, everything else as in the first table. Queues and types are taken "
    "in turn, task by task; both workers serve all of them. A backlog is submitted before the "
    "workers start; what is timed are the first tasks of it, but for a tenth while they start.",
    measure,
    _steps,
)
