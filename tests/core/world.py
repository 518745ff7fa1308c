"""A world for the core without wires: it asks, moves the clock, kills the master, and keeps
an account of its own of what was acknowledged, granted and accepted.

The account is kept from answers alone, so it can contradict the core. The order of calls
(wants, find, step, commit, settle, answer) is the engine's.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from pullwork_master.core import commands as c
from pullwork_master.core.effects import Effects
from pullwork_master.core.invariants import check
from pullwork_master.core.limits import Policy
from pullwork_master.core.machine import Core
from pullwork_master.core.model import Failure, FailureKind, Grant, Load, Now, Retry, Spec, State
from pullwork_master.core.rejections import Rejection
from pullwork_master.storage.memory import MemoryStorage

QUEUES = ("default", "mail")
TYPES = ("a", "b", "c")
POLICY = Policy(
    heartbeat_ms=1_000,
    grace_ms=500,
    silence_grace_ms=2_000,
    window_tasks=4,  # so small that most tasks wait on disk alone
    retention_ms=60_000,
    sweep_tasks=3,
)


class BrokenLawError(AssertionError):
    """What was promised did not hold."""


def require(holds: bool, law: str, *facts: object) -> None:
    if not holds:
        raise BrokenLawError(f"{law}: {facts!r}")


@dataclass
class Worker:
    """What a worker process knows."""

    name: str
    boot: str
    session: str = ""
    stream: int = 0
    held: dict[str, Grant] = field(default_factory=dict)
    reported: dict[str, c.Outcome] = field(default_factory=dict)


class World:
    """One master and its workers; every method is one thing that may happen."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.storage = MemoryStorage()
        self.reader = self.storage.reader()
        self.mono_ms = 1_000
        self.wall_ms = 1_700_000_000_000
        self.calls = 0
        self.answers: dict[int, object] = {}
        self.pending: dict[int, tuple[Worker, str]] = {}
        self.workers: list[Worker] = []
        # The account: acknowledged ids, attempts granted, outcomes accepted.
        # Each with the moment from which retention may delete it; 0: it has not ended.
        self.acknowledged: dict[str, int] = {}
        self.last_attempt: dict[str, int] = {}
        self.last_token: dict[str, str] = {}
        self.accepted: dict[str, bytes] = {}
        self.succeeded: dict[str, str] = {}
        self.news: list[tuple[str, object]] = []
        self.start()

    # --- the engine's part --------------------------------------------------------------

    def start(self) -> None:
        self.core = Core(self.policy, self.storage.open(), self.now)
        self.pending.clear()
        self.step([])

    @property
    def now(self) -> Now:
        return Now(self.mono_ms, self.wall_ms)

    def step(self, batch: list[tuple[int, c.Command]]) -> Effects:
        wants = self.core.wants(batch)
        effects = self.core.step(batch, self.now, wants, self.storage.find(wants))
        swept = self.storage.commit(effects.writes)
        if effects.writes.sweep_before_ms:
            self.core.swept(swept)
        self.core.settle()
        for task in effects.changed.values():
            self.acknowledged[task.spec.id] = task.expires_ms
        for call, answer in effects.answers:
            self.answers[call] = answer
        for call, rejection in effects.refusals:
            self.answers[call] = rejection
        for call in [call for call in self.pending if call in self.answers]:
            worker, session = self.pending.pop(call)
            answer = self.answers.pop(call)
            if isinstance(answer, tuple) and worker.session == session:
                self.receive(worker, answer)
        self.news += effects.news
        self.check()
        return effects

    def ask(self, command: c.Command) -> object:
        """Puts one command; returns its answer, a Rejection, or None while it is parked."""
        self.calls += 1
        self.step([(self.calls, command)])
        return self.answers.pop(self.calls, None)

    def pass_time(self, ms: int, wall_ms: int | None = None) -> None:
        """Moves the clocks as the engine would: by looks at most a second apart."""
        wall_left = ms if wall_ms is None else wall_ms
        while ms > 0:
            stride = min(ms, 1_000, max(1, self.core.due_in_ms(self.now) or 1))
            self.mono_ms += stride
            ms -= stride
            self.wall_ms += stride if wall_ms is None else 0
            self.step([])
        if wall_ms is not None:
            self.wall_ms += wall_left
            self.step([])

    # --- the laws -----------------------------------------------------------------------

    def check(self) -> None:
        book = self.core.book
        check(book)
        stored = {task.spec.id: task for task in self.reader.list(c.Filter(), 0, 10**9)}
        for task_id, retain_until in list(self.acknowledged.items()):
            task = stored.get(task_id)
            if task is None:
                require(self.wall_ms >= retain_until > 0, "nothing acknowledged is lost", task_id)
                self.forget(task_id)
                continue
            require(
                task.attempt >= self.last_attempt.get(task_id, 0),
                "a grant is on disk before it is told",
                task_id,
            )
            if task_id in self.succeeded:
                require(task.state is State.SUCCEEDED, "an accepted result stays", task_id)
        for kept in stored.values():
            if kept.state is State.RUNNING:
                require(kept.seq in book.tasks, "what runs on disk runs in memory", kept)
        for task in book.tasks.values():
            kept = stored.get(task.spec.id)
            require(kept is not None and kept.state is task.state, "disk and memory agree", task)
        for line in book.lines.values():
            if line.queued and not line.window.tasks:
                require(self.core.hungry(), "what waits on disk is paged in", line.queue, line.type)
        moment = self.core.due_in_ms(self.now)
        require(moment is not None, "there is always a next moment to look at")

    def forget(self, task_id: str) -> None:
        """Strikes a task from the account that retention deleted: its id may be used anew."""
        for account in (self.acknowledged, self.last_attempt, self.last_token, self.succeeded):
            account.pop(task_id, None)

    # --- what clients do ----------------------------------------------------------------

    def submit(self, *specs: Spec, delay_ms: int = 0) -> object:
        new = tuple(c.NewTask(spec, delay_ms) for spec in specs)
        answer = self.ask(c.Submit(new, tuple(spec.id for spec in specs if spec.digest)))
        if isinstance(answer, tuple):
            for receipt in answer:
                self.acknowledged.setdefault(receipt.task_id, 0)
        return answer

    def cancel(self, *task_ids: str) -> object:
        return self.ask(c.Cancel(task_ids=task_ids))

    def retry(self, *task_ids: str) -> object:
        answer = self.ask(c.Retry(task_ids=task_ids))
        if isinstance(answer, c.Chosen):
            for task_id in answer.task_ids:
                require(task_id not in self.succeeded, "what succeeded is not retried", task_id)
        return answer

    def purge(self, queue: str) -> None:
        before_seq, done = 0, False
        while not done:
            purged = self.ask(c.PurgeStep(queue, before_seq))
            if isinstance(purged, Rejection):
                return
            assert isinstance(purged, c.Purged)
            before_seq, done = purged.before_seq, purged.done

    # --- what workers do ----------------------------------------------------------------

    def register(self, worker: Worker, types: tuple[str, ...] = TYPES, **more: object) -> object:
        held = tuple(c.Held(token, True) for token in worker.held)
        queues = more.get("queues", QUEUES)
        assert isinstance(queues, tuple)
        answer = self.ask(
            c.Register(
                worker.name, worker.boot, queues, types, slots=2, look_ahead_max=1, held=held
            )
        )
        if isinstance(answer, c.Registered):
            worker.session = answer.session.id
            worker.stream = 0
            worker.held = {
                token: grant
                for (token, grant), kept in zip(worker.held.items(), answer.kept, strict=True)
                if kept
            }
        return answer

    def open_stream(self, worker: Worker) -> object:
        answer = self.ask(c.OpenStream(worker.session))
        worker.stream = answer if isinstance(answer, int) else 0
        return answer

    def break_stream(self, worker: Worker) -> None:
        self.ask(c.StreamBroke(worker.session, worker.stream))
        worker.stream = 0

    def request(self, worker: Worker, tasks: int, wait_ms: int = 0, request_id: str = "") -> object:
        command = c.Request(worker.session, tasks, wait_ms, request_id)
        answer = self.ask(command)
        if isinstance(answer, tuple):
            self.receive(worker, answer)
        elif answer is None:
            self.pending[self.calls] = (worker, worker.session)
        return answer

    def receive(self, worker: Worker, grants: tuple[Grant, ...]) -> None:
        for grant in grants:
            task_id = grant.spec.id
            require(task_id in self.acknowledged, "only acknowledged tasks are granted", task_id)
            if grant.token in worker.held:
                continue  # a repeated answer
            require(
                grant.attempt > self.last_attempt.get(task_id, 0),
                "attempts only grow",
                task_id,
                grant.attempt,
            )
            self.last_attempt[task_id] = grant.attempt
            self.last_token[task_id] = grant.token
            worker.held[grant.token] = grant

    def report(
        self, worker: Worker, *outcomes: c.Outcome, tasks: int = 0, request_id: str = ""
    ) -> object:
        owners = {token: grant.spec.id for token, grant in worker.held.items()}
        # A parked request of the same step may already bring the next attempt.
        latest = set(self.last_token.values())
        answer = self.ask(c.Report(worker.session, outcomes, tasks, request_id))
        if not isinstance(answer, c.Reported):
            return answer
        for outcome, verdict in zip(outcomes, answer.verdicts, strict=True):
            worker.held.pop(outcome.token, None)
            worker.reported[outcome.token] = outcome
            self.judge(outcome, verdict, owners.get(outcome.token), latest)
        self.receive(worker, answer.grants)
        return answer

    def judge(
        self, outcome: c.Outcome, verdict: c.Verdict, task_id: str | None, latest: set[str]
    ) -> None:
        before = self.accepted.get(outcome.token)
        if before is not None and verdict is not c.Verdict.UNKNOWN_TASK:
            # The story keeps twenty attempts; older ones are honestly called stale.
            same = c.Verdict.ACCEPTED if before == outcome.digest else c.Verdict.CONFLICT
            require(
                verdict in (same, c.Verdict.STALE_LEASE),
                "a repeated report gets the same word",
                outcome.token,
                verdict,
            )
        if verdict is not c.Verdict.ACCEPTED or before is not None:
            return
        require(task_id is not None, "only a granted lease is accepted", outcome.token)
        assert task_id is not None
        require(
            outcome.token in latest,
            "a stale lease never completes a task",
            task_id,
            outcome.token,
        )
        require(task_id not in self.succeeded, "one result a task is accepted", task_id)
        self.accepted[outcome.token] = outcome.digest
        if isinstance(outcome.result, c.Success):
            self.succeeded[task_id] = outcome.token

    def heartbeat(self, worker: Worker, tokens: tuple[str, ...] | None = None) -> object:
        listed = tuple(worker.held) if tokens is None else tokens
        held = tuple(c.Held(token, True) for token in listed)
        answer = self.ask(c.Heartbeat(worker.session, held, Load()))
        if isinstance(answer, c.HeartbeatAnswer):
            for token in answer.abandon:
                worker.held.pop(token, None)
        return answer

    def restart(self) -> None:
        """Kills the master and starts another on what it left."""
        for worker in self.workers:
            worker.stream = 0
        self.start()


def success(token: str, value: bytes = b"ok") -> c.Outcome:
    return c.Outcome(token, c.Success(value, "text/plain"), b"s" + value)


def failure(token: str, kind: FailureKind = FailureKind.APPLICATION) -> c.Outcome:
    return c.Outcome(token, Failure(kind, "E", "it broke"), b"f%d" % kind)


def released(token: str) -> c.Outcome:
    return c.Outcome(token, c.Released(), b"released")


def spec(number: int, **more: object) -> Spec:
    """Makes a spec with an id from a number."""
    facts: dict[str, object] = {
        "queue": "default",
        "type": "a",
        "retention_ms": 60_000,
        "digest": b"d",
        **more,
    }
    return Spec(id=f"00000000-0000-7000-8000-{number:012d}", **facts)  # type: ignore[arg-type]


class Walk:
    """A drunkard's walk through a world: anything that may happen, in any order."""

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
            (self.client, 2),
            (self.operator, 1),
            (self.crash, 1),
        ]
        names = [move for move, _ in moves]
        weights = [weight for _, weight in moves]
        for move in self.dice.choices(names, weights, k=steps):
            move()

    def worker(self) -> Worker:
        return self.dice.choice(self.world.workers)

    def some_id(self) -> str:
        return self.dice.choice(list(self.world.acknowledged) or [spec(0).id])

    def submit(self) -> None:
        dice = self.dice
        made = []
        for _ in range(dice.randint(1, 5)):
            self.numbers += 1
            number = self.numbers if dice.random() < 0.9 else dice.randint(1, self.numbers)
            made.append(
                spec(
                    number,
                    queue=dice.choice(QUEUES),
                    type=dice.choice(TYPES),
                    priority=dice.choice((0, 0, 0, 5, -5)),
                    retry=Retry(dice.choice((1, 3)), 500, 2_000, 2.0),
                    execution_timeout_ms=dice.choice((0, 0, 2_000)),
                    progress_timeout_ms=dice.choice((0, 0, 3_000)),
                    max_worker_deaths=dice.choice((1, 3)),
                    unique_key=dice.choice(("", "", "", "u1", "u2")),
                    owner=dice.choice(("me", "you")),
                    retention_ms=dice.choice((0, 5_000, 60_000)),
                )
            )
        self.world.submit(*made, delay_ms=dice.choice((0, 0, 1_500)))

    def request(self) -> None:
        worker = self.worker()
        if worker.session:
            request_id = self.dice.choice(("", f"r{self.dice.randint(1, 50)}"))
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
        self.world.heartbeat(worker, tokens)

    def time(self) -> None:
        self.world.pass_time(self.dice.choice((10, 200, 600, 1_200, 4_000)))

    def register(self) -> None:
        worker = self.worker()
        if self.dice.random() < 0.3:  # it died, and another process takes its name
            worker.boot, worker.held, worker.reported = self.boot(), {}, {}
        self.world.register(worker, self.dice.choice((TYPES, ("a",), ("b", "c"))))

    def stream(self) -> None:
        worker = self.worker()
        if worker.stream:
            self.world.break_stream(worker)
        elif worker.session:
            self.world.open_stream(worker)

    def client(self) -> None:
        self.dice.choice((self.world.cancel, self.world.retry))(self.some_id())

    def operator(self) -> None:
        dice, world = self.dice, self.world
        choice = dice.randint(0, 4)
        if choice <= 1:
            world.ask(c.SetPaused(dice.choice(QUEUES), choice == 0))
        elif choice == 2:
            world.purge(dice.choice(QUEUES))
        elif choice == 3:
            world.ask(c.Evict(self.worker().session))
        else:
            world.ask(c.Explain(self.some_id()))

    def crash(self) -> None:
        self.world.restart()
