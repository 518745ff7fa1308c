"""Two workers' machines and a queue, in virtual time: where does a task wait, and for how long?

The queue gives in its order to who asks. An answer takes a moment, attempts take what they are
made to take, and nothing goes wrong: what is looked at is only who gets what, and when.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from pullwork_worker.machine import Kind, Machine, Released, Success, Ticket
from pullwork_worker.machine import instructions as do

ONE_WAY_S = 0.002
SLOTS = 5


@dataclass
class Job:
    """A task: how long it runs, and when what happened to it."""

    type: str
    run_s: float
    submitted_at: float
    began_at: float | None = None
    began_on: int = -1
    attempt: int = 0


class Worker:
    """A machine, and what runs in its slots."""

    def __init__(self, cluster: Cluster, number: int, kind: Kind) -> None:
        self.number = number
        self.cluster = cluster
        self.machine = Machine(
            {"job": kind, "other": kind},
            slots=SLOTS,
            look_ahead_max=1000,
            stop_grace_s=1.0,
            drain_grace_s=1.0,
        )
        self.lanes: list[deque[Ticket]] = [deque() for _ in range(SLOTS)]
        self.parked: do.RequestWork | None = None
        self.reports = self.requests = 0
        self._ring_at = float("inf")

    def enter(self) -> None:
        machine = self.machine
        (register,) = machine.start(0.0)
        for slot in range(SLOTS):
            machine.child_ready(slot, 0.0)
        self.obey(
            machine.registered(
                register, session_id="s", interval_s=1e6, lease_s=1e6, kept=(), now=0.0
            )
        )

    def obey(self, instructions: list[do.Instruction]) -> None:
        cluster = self.cluster
        for instruction in instructions:
            match instruction:
                case do.Start(slot=slot, tickets=tickets):
                    self.lanes[slot].extend(tickets)
                    if len(self.lanes[slot]) == len(tickets):
                        self.begin(slot)
                case do.TakeBack(slot=slot):
                    back = [self.lanes[slot].pop().token for _ in range(len(self.lanes[slot]) - 1)]
                    self.obey(self.machine.taken_back(slot, back, cluster.now))
                case do.RequestWork():
                    self.requests += 1
                    cluster.after(ONE_WAY_S, partial(cluster.park, self, instruction))
                case do.Report():
                    self.reports += 1
                    cluster.after(ONE_WAY_S, partial(cluster.take_report, self, instruction))
        due = self.machine.next_at()
        if due is not None and due < self._ring_at:
            self._ring_at = due
            cluster.after(max(0.0, due - cluster.now), self.ring)

    def ring(self) -> None:
        self._ring_at = float("inf")
        self.obey(self.machine.tick(self.cluster.now))

    def begin(self, slot: int) -> None:
        job = self.cluster.job(self.lanes[slot][0].token)
        assert job.began_at is None, "a task runs once"
        job.began_at, job.began_on = self.cluster.now, self.number
        self.cluster.after(job.run_s, partial(self.end, slot, job.run_s))

    def end(self, slot: int, run_s: float) -> None:
        ticket = self.lanes[slot].popleft()
        if self.lanes[slot]:
            self.begin(slot)
        end = (slot, ticket.token, Success(b"", ""), run_s)
        self.obey(self.machine.finished([end], self.cluster.now))


@dataclass
class Cluster:
    """The queue, and time."""

    kind: Kind = Kind.CHILD
    now: float = 0.0
    jobs: dict[str, Job] = field(default_factory=dict)
    queue: deque[str] = field(default_factory=deque)
    workers: list[Worker] = field(default_factory=list)
    _due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _events: int = 0

    def __post_init__(self) -> None:
        self.workers = [Worker(self, number, self.kind) for number in range(2)]
        for worker in self.workers:
            worker.enter()

    def after(self, wait_s: float, call: Callable[[], None]) -> None:
        self._events += 1
        heapq.heappush(self._due, (self.now + wait_s, self._events, call))

    def submit(self, count: int, run_s: float, type: str = "job") -> list[Job]:
        jobs = [Job(type, run_s, self.now) for _ in range(count)]
        for job in jobs:
            number = str(len(self.jobs))
            self.jobs[number] = job
            self.queue.append(number)
        self.serve()
        return jobs

    def run(self, until: float) -> None:
        while self._due and self._due[0][0] <= until:
            self.now, _, call = heapq.heappop(self._due)
            call()
        self.now = until

    def park(self, worker: Worker, call: do.RequestWork) -> None:
        worker.parked = call
        self.serve()

    def serve(self) -> None:
        waiting = [worker for worker in self.workers if worker.parked is not None]
        share = max(1, len(self.queue) // max(1, len(waiting)))
        for worker in waiting:
            call = worker.parked
            if call is not None and (tickets := self.take(min(share, call.tickets_max))):
                worker.parked = None
                self.after(ONE_WAY_S, partial(self.answer_request, worker, call, tickets))

    def job(self, token: str) -> Job:
        return self.jobs[token.partition(".")[0]]

    def take(self, most: int) -> list[Ticket]:
        return [self.grant(self.queue.popleft()) for _ in range(min(most, len(self.queue)))]

    def grant(self, number: str) -> Ticket:
        job = self.jobs[number]
        job.attempt += 1
        return Ticket(f"{number}.{job.attempt}", job.type, None, None)

    def take_report(self, worker: Worker, call: do.Report) -> None:
        back = [token for token, outcome in call.outcomes if isinstance(outcome, Released)]
        self.queue.extendleft(token.partition(".")[0] for token in reversed(back))
        tickets = self.take(call.tickets_max)
        self.serve()
        self.after(ONE_WAY_S, partial(self.answer_report, worker, call, tickets))

    def answer_request(self, worker: Worker, call: do.RequestWork, tickets: list[Ticket]) -> None:
        worker.obey(worker.machine.request_answered(call, tickets, self.now))

    def answer_report(self, worker: Worker, call: do.Report, tickets: list[Ticket]) -> None:
        worker.obey(worker.machine.report_answered(call, tickets, self.now))
