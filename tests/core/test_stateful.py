"""The same world, walked by rules that shrink: a broken law comes with the shortest way to it."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from walk import finish
from world import POLICY, QUEUES, SILENCE_MS, TYPES, Worker, World, failure, released, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.model import FailureKind, Retry

NUMBERS = st.integers(1, 12)
WORKERS = st.integers(0, 2)
TIMES_MS = st.sampled_from((1, 300, POLICY.grace_ms, 1_000, SILENCE_MS, 6_000))
OUTCOMES = st.sampled_from(("success", "failure", "released", "death"))
SPECS = st.builds(
    spec,
    NUMBERS,
    queue=st.sampled_from(QUEUES),
    type=st.sampled_from(TYPES[:2]),
    priority=st.sampled_from((0, 0, 5)),
    retry=st.just(Retry(2, 500, 2_000, 2.0)),
    execution_timeout_ms=st.sampled_from((0, 0, 2_000)),
    progress_timeout_ms=st.sampled_from((0, 0, 3_000)),
    max_worker_deaths=st.sampled_from((1, 3)),
    unique_key=st.sampled_from(("", "", "u")),
    retention_ms=st.sampled_from((1, 60_000)),
    digest=st.sampled_from((b"d", b"d", b"other")),
)


class Master(RuleBasedStateMachine):
    """A master and three workers; the world checks every law after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.boots = 0
        for name in ("w1", "w2", "w3"):
            self.world.workers.append(Worker(name, self.boot()))

    def boot(self) -> str:
        self.boots += 1
        return f"boot-{self.boots}"

    def here(self, at: int) -> Worker:
        """Returns a worker, registered and listening if it never was."""
        worker = self.world.workers[at]
        if not worker.session:
            self.world.register(worker)
            self.world.open_stream(worker)
        return worker

    # --- clients and operators ----------------------------------------------------------

    @rule(specs=st.lists(SPECS, min_size=1, max_size=6), delay_ms=st.sampled_from((0, 0, 1_500)))
    def submit(self, specs: list[Any], delay_ms: int) -> None:
        self.world.submit(*specs, delay_ms=delay_ms)

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=3))
    def cancel(self, numbers: list[int]) -> None:
        self.world.cancel(*(spec(number).id for number in numbers))

    @rule(number=NUMBERS)
    def retry(self, number: int) -> None:
        self.world.retry(spec(number).id)

    @rule(queue=st.sampled_from(QUEUES), paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        self.world.ask(c.SetPaused(queue, paused))

    @rule(queue=st.sampled_from(QUEUES))
    def purge(self, queue: str) -> None:
        self.world.purge(queue)

    @rule(number=NUMBERS)
    def explain(self, number: int) -> None:
        self.world.ask(c.Explain(spec(number).id))

    @rule(at=WORKERS, how=st.sampled_from((c.Evict, c.Drain, c.Deregister)))
    def dismiss(self, at: int, how: type) -> None:
        self.world.ask(how(self.here(at).session))

    # --- workers ------------------------------------------------------------------------

    @rule(at=WORKERS, started=st.booleans())
    def register_anew(self, at: int, started: bool) -> None:
        self.world.register(self.here(at), started=started)

    @rule(at=WORKERS)
    def die_and_come_back(self, at: int) -> None:
        worker = self.here(at)
        worker.boot, worker.held, worker.reported = self.boot(), {}, {}
        self.world.register(worker)
        self.world.open_stream(worker)

    @rule(at=WORKERS)
    def turn_stream(self, at: int) -> None:
        worker = self.here(at)
        if worker.stream:
            self.world.break_stream(worker)
        else:
            self.world.open_stream(worker)

    @rule(
        at=WORKERS,
        tasks=st.integers(1, 3),
        wait_ms=st.sampled_from((0, 1_500, 60_000)),
        request_id=st.sampled_from(("", "r1", "r2")),
    )
    def request(self, at: int, tasks: int, wait_ms: int, request_id: str) -> None:
        self.world.request(self.here(at), tasks, wait_ms, request_id)

    @rule(at=WORKERS)
    def lose_an_answer(self, at: int) -> None:
        self.world.ask(c.Request(self.here(at).session, 1))

    @rule(at=WORKERS, outcomes=st.lists(OUTCOMES, max_size=3), tasks=st.integers(0, 3))
    def report(self, at: int, outcomes: list[str], tasks: int) -> None:
        worker = self.here(at)
        made = {
            "success": success,
            "failure": failure,
            "released": released,
            "death": lambda token: failure(token, FailureKind.WORKER_LOST),
        }
        told = [made[kind](token) for kind, token in zip(outcomes, worker.held, strict=False)]
        self.world.report(worker, *told, tasks=tasks)

    @precondition(lambda self: any(worker.reported for worker in self.world.workers))
    @rule(at=WORKERS, other=st.booleans())
    def report_again(self, at: int, other: bool) -> None:
        worker = self.here(at)
        for token, told in list(worker.reported.items())[-3:]:
            self.world.report(worker, success(token, b"other") if other else told)

    @rule(at=WORKERS, skip=st.sampled_from((0, 0, 1)), started=st.booleans())
    def heartbeat(self, at: int, skip: int, started: bool) -> None:
        worker = self.here(at)
        self.world.heartbeat(worker, tuple(worker.held)[skip:], started=started)

    # --- time and death -----------------------------------------------------------------

    @rule(ms=TIMES_MS)
    def pass_time(self, ms: int) -> None:
        self.world.pass_time(ms)

    @rule()
    def freeze(self) -> None:
        self.world.freeze(10_000)

    @rule(ms=st.sampled_from((3_600_000, -3_600_000)))
    def jump_wall(self, ms: int) -> None:
        self.world.jump_wall(ms)

    @rule(full=st.booleans())
    def fill_disk(self, full: bool) -> None:
        self.world.storage.tasks_max = len(self.world.storage.tasks) if full else None

    @rule()
    def restart(self) -> None:
        self.world.restart()

    def teardown(self) -> None:
        for at in range(3):
            self.here(at)
        finish(self.world)


class TestMaster(Master.TestCase):  # type: ignore[misc]
    """Bounded, so that it costs a few seconds; raise the bounds to hunt."""

    settings = settings(
        max_examples=40,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
