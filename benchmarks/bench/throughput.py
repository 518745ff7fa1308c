"""Throughput from submission to the result in the client's hand, and what CPU time it took."""

from __future__ import annotations

from typing import Any, Final

from bench.figure import Figure, Rounds
from bench.process import Process
from bench.section import Lab, Section, Sizes, alternated
from bench.system import System, running

COROUTINES: Final = 64
RATE: Final = "tasks/s"
CPU: Final = "CPU s / 1,000 tasks"

COMMANDS: Final[dict[str, dict[str, Any]]] = {
    "map, coroutine": {"do": "map", "kind": "coroutine"},
    "map, process": {"do": "map", "kind": "process"},
    "submit_many, coroutine": {"do": "bulk", "kind": "coroutine"},
    "submit_many, process": {"do": "bulk", "kind": "process"},
    f"submit from {COROUTINES} coroutines, stored": {"do": "submit", "coroutines": COROUTINES},
}


def measure(lab: Lab) -> list[Figure]:
    """Measures all ways to submit, on a fresh system in each round."""
    rounds = Rounds()
    for number in range(lab.sizes.rounds):
        with running(lab.folder) as (system, client):
            client.ask(do="map", kind="process", tasks=100)
            for variant in alternated(list(COMMANDS), number):
                lab.step(variant)
                _measure_one(system, client, variant, lab.sizes.tasks, rounds)
    return sorted(rounds.figures(), key=_place)


def _measure_one(system: System, client: Process, variant: str, tasks: int, rounds: Rounds) -> None:
    before = system.cpu_s()
    answer = client.ask(tasks=tasks, **COMMANDS[variant])
    if COMMANDS[variant]["do"] == "submit":
        # Only submissions are timed here, so the CPU time until the last result is another thing.
        rounds.add(variant, RATE, tasks / answer["seconds"])
        return
    rounds.add(variant, RATE, tasks / answer["seconds"])
    for role, after in system.cpu_s().items():
        rounds.add(variant, CPU, (after - before[role]) * 1000 / tasks, role)


def _place(figure: Figure) -> tuple[bool, int]:
    """Returns where a figure stands: rates first, then CPU time, each in the order of COMMANDS."""
    return figure.unit == CPU, list(COMMANDS).index(figure.what)


def _steps(sizes: Sizes) -> int:
    return sizes.rounds * len(COMMANDS)


THROUGHPUT = Section(
    "throughput",
    "Throughput and CPU time",
    "Two worker processes with default slots; no-op tasks of 100 B, results kept. From the first "
    "submission until the last result is in the client's hand. `submit_many` hands over all at "
    "once and then waits; `map` keeps 2,000 in flight. The last line times the submissions alone, "
    f"one task a call from {COROUTINES} coroutines, each answered after its commit, while the "
    "workers work.",
    measure,
    _steps,
)
