"""How long one task takes from its submission to its result in the client's hand."""

from __future__ import annotations

from typing import Final

from bench.figure import Figure, Rounds, share
from bench.process import Process
from bench.section import Lab, Section, Sizes, alternated
from bench.system import System, running

PERCENTS: Final = (50, 99)
# Between two probes under load, so that they meet it at all moments.
PAUSE_S: Final = 0.005
LOADED: Final = "coroutine, under half the maximum"


def measure(lab: Lab) -> list[Figure]:
    """Measures the idle system, then the loaded one; a fresh one in each round."""
    rounds = Rounds()
    for number in range(lab.sizes.rounds):
        with running(lab.folder) as (system, client):
            for kind in alternated(("coroutine", "process"), number):
                lab.step(f"idle, {kind}")
                client.ask(do="latency", kind=kind, tasks=20)
                answer = client.ask(do="latency", kind=kind, tasks=lab.sizes.single)
                _add(rounds, f"{kind}, idle", answer["took_ms"])
            lab.step("under load")
            _measure_under_load(lab, system, client, rounds)
    return sorted(rounds.figures(), key=lambda it: it.unit == "tasks/s")


def _measure_under_load(lab: Lab, system: System, client: Process, rounds: Rounds) -> None:
    most = lab.sizes.tasks / client.ask(do="map", tasks=lab.sizes.tasks)["seconds"]
    # Two seconds more than the probes take at five milliseconds each, beside their pauses.
    seconds = lab.sizes.single * (PAUSE_S + 0.005) + 2
    background = system.add_client()
    background.tell(do="paced", rate=most / 2, seconds=seconds)
    client.ask(do="latency", tasks=20, pause_s=PAUSE_S)
    answer = client.ask(do="latency", tasks=lab.sizes.single, pause_s=PAUSE_S)
    _add(rounds, LOADED, answer["took_ms"])
    rounds.add("the load, as it came to be", "tasks/s", background.answer()["rate"])


def _add(rounds: Rounds, what: str, took_ms: list[float]) -> None:
    for percent in PERCENTS:
        rounds.add(f"{what}, p{percent}", "ms", share(took_ms, percent))


def _steps(sizes: Sizes) -> int:
    return sizes.rounds * 3


LATENCY = Section(
    "latency",
    "Latency of one task at a time",
    "From `client.run` to its result, one after another. The load comes from a client of its own, "
    "which submits every 10 ms what is due at half the throughput that `map` reached just before.",
    measure,
    _steps,
)
