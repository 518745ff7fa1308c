"""A drunkard's walk through a world: anything that may happen, in any order."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from ledger import require
from world import POLICY, QUEUES, TYPES, Worker, World, failure, released, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import FailureKind, Retry, Spec, State

FINISH_ROUNDS = 150
FINISH_ROUND_MS = 300


class Walk:
    """One walk; the same seed takes the same steps."""

    def __init__(self, seed: int, policy: Policy = POLICY) -> None:
        self.dice = random.Random(seed)
        self.world = World(policy)
        self.numbers = 0
        self.boots = 0
        for name in ("w1", "w2", "w3"):
            self.world.workers.append(Worker(name, self.boot()))

    def boot(self) -> str:
        self.boots += 1
        return f"boot-{self.boots}"

    def run(self, steps: int) -> None:
        moves = [
            (self.submit, 6),
            (self.request, 8),
            (self.report, 8),
            (self.heartbeat, 4),
            (self.time, 5),
            (self.register, 3),
            (self.stream, 3),
            (self.client, 4),
            (self.crowd, 3),
            (self.operator, 1),
            (self.clocks, 1),
            (self.disk, 1),
            (self.crash, 1),
        ]
        names = [move for move, _ in moves]
        weights = [weight for _, weight in moves]
        for move in self.dice.choices(names, weights, k=steps):
            move()

    def worker(self) -> Worker:
        """Chooses a worker; one that lost its session mostly comes back first, as it should."""
        worker = self.dice.choice(self.world.workers)
        if not self.world.alive(worker) and self.dice.random() < 0.5:
            self.world.register(worker)
            self.world.open_stream(worker)
        return worker

    def some_id(self) -> str:
        return self.dice.choice(list(self.world.ledger.acknowledged) or [spec(0).id])

    def some_spec(self) -> Spec:
        dice = self.dice
        self.numbers += 1
        return spec(
            self.numbers if dice.random() < 0.9 else dice.randint(1, self.numbers),
            queue=dice.choice(QUEUES),
            type=dice.choice(TYPES),
            priority=dice.choice((0, 0, 0, 5, -5)),
            retry=Retry(dice.choice((1, 3)), 500, 2_000, 2.0),
            execution_timeout_ms=dice.choice((0, 0, 2_000)),
            progress_timeout_ms=dice.choice((0, 0, 3_000)),
            max_worker_deaths=dice.choice((1, 3)),
            unique_key=dice.choice(("", "", "", "u1", "u2")),
            owner=dice.choice(("me", "you")),
            flow=dice.choice((0, 0, 1, 2)),
            limit_key=dice.choice(("", "", "k1", "k2")),
            retention_ms=dice.choice((0, 5_000, 60_000)),
        )

    def submit(self) -> None:
        made = [self.some_spec() for _ in range(self.dice.randint(1, 5))]
        self.world.submit(*made, delay_ms=self.dice.choice((0, 0, 1_500)))

    def request(self) -> None:
        worker = self.worker()
        if worker.session:
            request_id = self.dice.choice(("", "", "", "r1", "r2"))
            self.world.request(
                worker, self.dice.randint(1, 3), self.dice.choice((0, 1_500)), request_id
            )

    def report(self) -> None:
        worker, dice = self.worker(), self.dice
        tokens = list(worker.held) + dice.choices(list(worker.reported) or ["9.9.none"], k=1)
        made = []
        for token in dice.sample(tokens, min(len(tokens), dice.randint(1, 3))):
            again = worker.reported.get(token)
            if again is not None and dice.random() < 0.7:
                made.append(again)
                continue
            make = dice.choice((success, success, failure, released, self.died))
            made.append(make(token))
        self.world.report(worker, *made, tasks=dice.randint(0, 2))

    def died(self, token: str) -> c.Outcome:
        return failure(token, FailureKind.WORKER_LOST)

    def heartbeat(self) -> None:
        worker = self.worker()
        tokens = tuple(worker.held)
        if tokens and self.dice.random() < 0.2:
            tokens = tokens[1:]
        self.world.heartbeat(worker, tokens, started=self.dice.random() < 0.7)

    def time(self) -> None:
        self.world.pass_time(self.dice.choice((10, 200, 600, 1_200, 4_000)))

    def register(self) -> None:
        worker = self.worker()
        if self.dice.random() < 0.3:  # it died, and another process takes its name
            worker.boot, worker.held, worker.reported = self.boot(), {}, {}
        types = self.dice.choice((TYPES, ("a",), ("b", "c")))
        self.world.register(worker, types, started=self.dice.random() < 0.7)

    def stream(self) -> None:
        worker = self.worker()
        if worker.stream:
            self.world.break_stream(worker)
        elif worker.session:
            self.world.open_stream(worker)

    def client(self) -> None:
        self.dice.choice((self.world.cancel, self.world.retry))(self.some_id())

    def crowd(self) -> None:
        """Much arrives at once, and is decided in one step and committed together."""
        dice, world = self.dice, self.world
        for _ in range(3):
            self.worker()
        asked: list[tuple[c.Command, Callable[[int, Any], None]]] = [
            self.pull(worker) for worker in world.workers if dice.random() < 0.7
        ]
        made = [self.some_spec() for _ in range(4)]
        bulk: tuple[c.Command, ...] = (
            c.Submit(tuple(map(c.NewTask, made)), tuple(each.id for each in made)),
            c.Cancel(filter=c.Filter(owner="me", type="a"), limit=2),
            c.Retry(filter=c.Filter(owner="you"), limit=2),
            c.PurgeStep(dice.choice(QUEUES)),
            c.Cancel(task_ids=(self.some_id(),)),
            c.SetPaused(dice.choice(QUEUES), False),
            c.Explain(self.some_id()),
        )
        asked += [(each, lambda _call, _answer: None) for each in dice.sample(bulk, 3)]
        dice.shuffle(asked)
        calls = range(world.calls + 1, world.calls + 1 + len(asked))
        world.calls += len(asked)
        world.step([(call, command) for call, (command, _) in zip(calls, asked, strict=True)])
        for call, (_, hear) in zip(calls, asked, strict=True):
            hear(call, world.answers.pop(call, None))

    def pull(self, worker: Worker) -> tuple[c.Command, Callable[[int, Any], None]]:
        """Makes a request or a report of a worker, and what it does with the answer."""
        world, session, latest = (
            self.world,
            worker.session,
            set(self.world.ledger.last_token.values()),
        )
        owners = {token: grant.spec.id for token, grant in worker.held.items()}
        make = self.dice.choice((success, failure, released, None))
        if make is None or not worker.held:

            def granted(call: int, answer: Any) -> None:
                if answer is None:
                    world.pending[call] = (worker, session, "")
                elif isinstance(answer, tuple):
                    world.receive(worker, answer)

            return c.Request(session, 2, self.dice.choice((0, 1_500))), granted
        outcomes = tuple(make(token) for token in worker.held)

        def reported(_call: int, answer: Any) -> None:
            if isinstance(answer, c.Reported):
                for outcome, verdict in zip(outcomes, answer.verdicts, strict=True):
                    del worker.held[outcome.token]
                    worker.reported[outcome.token] = outcome
                    world.ledger.judge(outcome, verdict, owners[outcome.token], latest)
                world.receive(worker, answer.grants)

        return c.Report(session, outcomes, 2), reported

    def operator(self) -> None:
        dice, world = self.dice, self.world
        choice = dice.randint(0, 6)
        if choice <= 1:
            world.ask(c.SetPaused(dice.choice(QUEUES), choice == 0))
        elif choice == 6:
            world.ask(c.SetLimits(dice.choice(QUEUES), self.some_limits(), dice.random() < 0.3))
        elif choice == 2:
            world.purge(dice.choice(QUEUES))
        elif choice == 3:
            world.ask(c.Evict(self.worker().session))
        elif choice == 4:
            world.ask(c.Drain(self.worker().session))
        else:
            world.ask(c.Explain(self.some_id()))

    def some_limits(self) -> dict[str, int | float]:
        dice = self.dice
        choices: dict[str, tuple[int | float, ...]] = {
            "tasks_max": (0, 0, 20),
            "concurrency": (0, 0, 1, 2),
            "rate": (0.0, 0.0, 0.7, 3.0),
            "burst": (0, 1, 2),
            "concurrency_per_key": (0, 1, 2),
            "rate_per_key": (0.0, 0.0, 0.5, 2.0),
            "burst_per_key": (0, 1, 2),
            "weight": (1, 3),
        }
        return {name: dice.choice(of) for name, of in choices.items() if dice.random() < 0.7}

    def clocks(self) -> None:
        """The wall clock is set, or the master's process stands still for a while."""
        choice = self.dice.randint(0, 2)
        if choice == 0:
            self.world.freeze(5_000)
        else:
            self.world.jump_wall(3_600_000 if choice == 1 else -3_600_000)

    def disk(self) -> None:
        """The disk fills up, or has room again."""
        storage = self.world.storage
        storage.tasks_max = len(storage.tasks) if self.dice.random() < 0.3 else None

    def crash(self) -> None:
        self.world.restart()

    def finish(self) -> None:
        finish(self.world)


def finish(world: World) -> None:
    """Lets the world be kind: whatever was acknowledged must then end, and soon."""
    world.storage.tasks_max = None
    # Delays count by the wall clock, which may have been set back since.
    ready_ms = [t.ready_ms for t in world.storage.by_id.values() if t.state is State.SCHEDULED]
    world.jump_wall(max([world.wall_ms, *ready_ms]) - world.wall_ms)
    for queue in QUEUES:
        world.ask(c.SetPaused(queue, False))
        # Slow rates would take too long; limits of what runs at once are kept to the end.
        world.ask(c.SetLimits(queue, {"rate": 0.0, "rate_per_key": 0.0}))
    for worker in world.workers:
        if world.alive(worker) and world.session(worker).draining:
            worker.boot, worker.held = f"{worker.boot}, again", {}
        world.register(worker)
        world.open_stream(worker)
    for _ in range(FINISH_ROUNDS):
        if all(world.storage.by_id[each].state.ended for each in world.ledger.acknowledged):
            return
        parked = {session for _, session, _ in world.pending.values()}
        for worker in world.workers:
            if worker.held:
                world.report(worker, *map(success, worker.held))
            if worker.session not in parked:
                world.request(worker, 3, wait_ms=60_000)
            world.heartbeat(worker)
        world.pass_time(FINISH_ROUND_MS)
    waiting = [task for task in world.storage.by_id.values() if not task.state.ended]
    require(False, "everything acknowledged ends", waiting)
