"""A world for the core without wires: it asks, moves the clocks, kills the master, and has
everything that is answered written into a ledger that can contradict the core.

The order of calls
(wants, find, step, commit, settle, answer) is the engine's.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from ledger import Ledger, require

from pullwork_master.core import commands as c
from pullwork_master.core.effects import Effects
from pullwork_master.core.invariants import check
from pullwork_master.core.limits import REQUESTS_REMEMBERED, Policy
from pullwork_master.core.machine import Core
from pullwork_master.core.model import (
    Failure,
    FailureKind,
    Grant,
    Load,
    Now,
    Session,
    Spec,
    State,
    Task,
)
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.storage.base import StorageFullError, store
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
# Of a fleet that is small enough to keep the interval that was set.
SILENCE_MS = POLICY.silence_ms(POLICY.heartbeat_ms)
LEASE_MS = POLICY.lease_ms(POLICY.heartbeat_ms)
RECONCILE_MS = POLICY.reconcile_ms(1)


@dataclass
class Worker:
    """What a worker process knows."""

    name: str
    boot: str
    session: str = ""
    stream: int = 0
    held: dict[str, Grant] = field(default_factory=dict)
    reported: dict[str, c.Outcome] = field(default_factory=dict)
    # What named requests were answered with, as far back as the master remembers.
    answered: OrderedDict[str, tuple[str, ...]] = field(default_factory=OrderedDict)

    @property
    def token(self) -> str:
        """The token of the only ticket it holds."""
        (token,) = self.held
        return token


class World:
    """One master and its workers; every method is one thing that may happen."""

    def __init__(self, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.storage = MemoryStorage()
        self.mono_ms = 1_000
        self.wall_ms = 1_700_000_000_000
        self.calls = 0
        self.answers: dict[int, object] = {}
        self.pending: dict[int, tuple[Worker, str, str]] = {}
        # What parked requests were answered with, in order.
        self.unparked: list[tuple[Worker, Any]] = []
        self.workers: list[Worker] = []
        self.ledger = Ledger()
        self.news: list[tuple[str, object]] = []
        # How much each session was let keep when it began; beyond that its credit bounds it.
        self.kept: dict[str, int] = {}
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
        try:
            swept = store(self.storage, effects.writes)
        except StorageFullError:
            self.start_over(batch)
            return Effects()
        if effects.writes.sweep_before_ms:
            self.core.swept(swept)
        self.core.settle()
        for task in effects.changed.values():
            self.ledger.acknowledged[task.spec.id] = task.expires_ms
        for call, answer in effects.answers:
            self.answers[call] = answer
        for call, rejection in effects.refusals:
            self.answers[call] = rejection
        for call in [call for call in self.pending if call in self.answers]:
            worker, session, request_id = self.pending.pop(call)
            answer = self.answers.pop(call)
            self.unparked.append((worker, answer))
            if isinstance(answer, tuple) and worker.session == session:
                self.receive(worker, answer, request_id)
        self.news += effects.news
        self.check()
        return effects

    def start_over(self, batch: list[tuple[int, c.Command]]) -> None:
        """Refuses all that waits and goes back to what is on the disk, in the same term."""
        for call in (*(call for call, _ in batch), *self.pending):
            self.answers[call] = Rejection(Reason.DISK_FULL, "full")
        self.pending.clear()
        former = self.core
        self.core = Core(self.policy, self.storage.reload(), self.now)
        self.core.follow(former)
        for worker in self.workers:
            worker.stream = 0
        self.step([])

    def ask(self, command: c.Command) -> object:
        """Puts one command; returns its answer, a Rejection, or None while it is parked."""
        self.calls += 1
        self.step([(self.calls, command)])
        return self.answers.pop(self.calls, None)

    def pass_time(self, ms: int) -> None:
        """Moves both clocks as the engine would: by looks at most a second apart."""
        while ms > 0:
            stride = min(ms, 1_000, max(1, self.core.due_in_ms(self.now) or 1))
            self.mono_ms += stride
            self.wall_ms += stride
            ms -= stride
            self.step([])

    def jump_wall(self, ms: int) -> None:
        """Sets the wall clock forth or back, as an operator or a time server does."""
        self.wall_ms += ms
        self.step([])

    def freeze(self, ms: int) -> None:
        """Stops the master's own process for a while: the clocks go on, nobody looks."""
        self.mono_ms += ms
        self.wall_ms += ms
        self.step([])

    # --- the laws -----------------------------------------------------------------------

    def check(self) -> None:
        book = self.core.book
        check(book)
        stored = self.storage.by_id
        self.ledger.check(stored, self.wall_ms)
        for kept in stored.values():
            if kept.state is State.RUNNING:
                require(kept.seq in book.tasks, "what runs on disk runs in memory", kept)
        for task in book.tasks.values():
            twin = stored.get(task.spec.id)
            require(twin is not None and twin.state is task.state, "disk and memory agree", task)
        self.ledger.check_limits(self.storage.tasks.values(), book.queues)
        for session in book.sessions.values():
            bound = max(session.slots + session.look_ahead_max, self.kept.get(session.id, 0))
            require(
                session.ghost or len(session.held) <= bound,
                "nobody is given more than its credit",
                session.id,
            )
        moment = self.core.due_in_ms(self.now)
        require(moment is not None, "there is always a next moment to look at")

    # --- what a test looks at ------------------------------------------------------------

    def task(self, number: int) -> Task:
        """Returns a task as it is on disk, by the number that its id was made from."""
        return self.storage.by_id[spec(number).id]

    def session(self, worker: Worker) -> Session:
        return self.core.book.sessions[worker.session]

    def alive(self, worker: Worker) -> bool:
        return worker.session in self.core.book.sessions

    def news_of(self, worker: Worker, kind: type) -> list[Any]:
        """Returns what a worker's session was told, of one kind."""
        return [n for to, n in self.news if to == worker.session and isinstance(n, kind)]

    # --- what clients do ----------------------------------------------------------------

    def submit(self, *specs: Spec, delay_ms: int = 0) -> object:
        new = tuple(c.NewTask(spec, delay_ms) for spec in specs)
        answer = self.ask(c.Submit(new, tuple(spec.id for spec in specs if spec.digest)))
        if isinstance(answer, tuple):
            # Retention may delete a duplicate in the very step that finds it.
            for receipt in (each for each in answer if not each.duplicate):
                self.ledger.acknowledged.setdefault(receipt.task_id, 0)
        return answer

    def cancel(self, *task_ids: str) -> object:
        return self.ask(c.Cancel(task_ids=task_ids))

    def retry(self, *task_ids: str) -> object:
        answer = self.ask(c.Retry(task_ids=task_ids))
        if isinstance(answer, c.Chosen):
            for task_id in answer.task_ids:
                require(
                    task_id not in self.ledger.succeeded, "what succeeded is not retried", task_id
                )
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

    def register(
        self,
        worker: Worker,
        types: tuple[str, ...] = TYPES,
        *,
        queues: tuple[str, ...] = QUEUES,
        slots: int = 2,
        look_ahead_max: int = 1,
        started: bool = True,
    ) -> object:
        held = tuple(c.Held(token, started) for token in worker.held)
        answer = self.ask(
            c.Register(worker.name, worker.boot, queues, types, slots, look_ahead_max, held=held)
        )
        if isinstance(answer, c.Registered):
            worker.session = answer.session.id
            worker.stream = 0
            worker.answered.clear()
            worker.held = {
                token: grant
                for (token, grant), kept in zip(worker.held.items(), answer.kept, strict=True)
                if kept
            }
            self.kept[worker.session] = len(worker.held)
        return answer

    def join(self, name: str = "w1", boot: str = "", *, stream: bool = True, **more: Any) -> Worker:
        """Has a new worker process register and open its stream."""
        worker = Worker(name, boot or f"boot-of-{name}")
        answer = self.register(worker, **more)
        assert isinstance(answer, c.Registered), answer
        self.workers.append(worker)
        if stream:
            self.open_stream(worker)
        return worker

    def open_stream(self, worker: Worker) -> object:
        answer = self.ask(c.OpenStream(worker.session))
        worker.stream = answer if isinstance(answer, int) else 0
        return answer

    def break_stream(self, worker: Worker) -> None:
        self.ask(c.StreamBroke(worker.session, worker.stream))
        worker.stream = 0

    def request(self, worker: Worker, tasks: int, wait_ms: int = 0, request_id: str = "") -> object:
        answer = self.ask(c.Request(worker.session, tasks, wait_ms, request_id))
        if isinstance(answer, tuple):
            self.receive(worker, answer, request_id)
        elif answer is None:
            self.pending[self.calls] = (worker, worker.session, request_id)
        return answer

    def receive(self, worker: Worker, grants: tuple[Grant, ...], request_id: str = "") -> None:
        tokens = tuple(grant.token for grant in grants)
        before = worker.answered.get(request_id)
        if before is not None:
            held = self.core.book.sessions[worker.session].held.values()
            standing = [task.token for task in held if task.token in before]
            require(
                sorted(tokens) == sorted(standing),
                "a repeated request gets the same tickets",
                request_id,
                tokens,
            )
        elif request_id and tokens:
            worker.answered[request_id] = tokens
            if len(worker.answered) > REQUESTS_REMEMBERED:
                worker.answered.popitem(last=False)
        for grant in grants:
            if grant.token not in worker.held:  # otherwise it is a repeated answer
                self.ledger.grant(grant)
                worker.held[grant.token] = grant

    def report(
        self, worker: Worker, *outcomes: c.Outcome, tasks: int = 0, request_id: str = ""
    ) -> object:
        owners = {token: grant.spec.id for token, grant in worker.held.items()}
        # A parked request of the same step may already bring the next attempt.
        latest = set(self.ledger.last_token.values())
        fresh = {seq_of(each) for each in outcomes if each.token not in self.ledger.accepted}
        others = [
            task
            for task in self.storage.tasks.values()
            if task.state is State.RUNNING and task.seq not in fresh
        ]
        answer = self.ask(c.Report(worker.session, outcomes, tasks, request_id))
        if not isinstance(answer, c.Reported):
            return answer
        self.ledger.untouched(others, self.storage.by_id)
        for outcome, verdict in zip(outcomes, answer.verdicts, strict=True):
            worker.held.pop(outcome.token, None)
            worker.reported[outcome.token] = outcome
            self.ledger.judge(outcome, verdict, owners.get(outcome.token), latest)
        if tasks:
            self.receive(worker, answer.grants, request_id)
        return answer

    def verdict(self, worker: Worker, outcome: c.Outcome) -> c.Verdict:
        """Reports one outcome and returns the word on it."""
        answer = self.report(worker, outcome)
        assert isinstance(answer, c.Reported), answer
        return answer.verdicts[0]

    def heartbeat(
        self, worker: Worker, tokens: tuple[str, ...] | None = None, *, started: bool = True
    ) -> object:
        listed = tuple(worker.held) if tokens is None else tokens
        return self.tell_held(worker, *(c.Held(token, started) for token in listed))

    def tell_held(self, worker: Worker, *held: c.Held) -> object:
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


def refused(answer: object, reason: Reason) -> Rejection:
    """Returns the rejection that an answer must be."""
    require(
        isinstance(answer, Rejection) and answer.reason is reason, f"refused as {reason}", answer
    )
    assert isinstance(answer, Rejection)
    return answer


def seq_of(outcome: c.Outcome) -> int:
    return int(outcome.token.split(".")[0])


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
