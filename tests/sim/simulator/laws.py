"""What must hold whatever happens, checked against an account that is kept from answers alone.

The account knows what left the master's door: acknowledged ids, granted leases, verdicts. So it
can contradict the core, the disk and the workers. Laws about time are in `liveness`.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Final

from pullwork_master.core import commands as c
from pullwork_master.core.effects import Effects
from pullwork_master.core.invariants import check
from pullwork_master.core.leases import parse_token
from pullwork_master.core.limits import ENDED_SESSIONS_REMEMBERED, REQUESTS_REMEMBERED
from pullwork_master.core.machine import Core
from pullwork_master.core.model import AttemptEnd, FailureKind, Grant, State, Task
from pullwork_master.core.rejections import Rejection
from pullwork_worker.machine.invariants import validate_state
from pullwork_worker.machine.link import Phase
from pullwork_worker.machine.ticket import Failure, Outcome, Released
from simulator.disk import Disk
from simulator.limits import LimitAccount
from simulator.profile import Profile
from simulator.story import require

if TYPE_CHECKING:
    from simulator.master import Master
    from simulator.worker import Worker

# How an attempt may end where nothing happened that a task may notice.
GENTLE_ENDS: Final = (AttemptEnd.FAILED, AttemptEnd.RELEASED)
# A master's death may take with it the answer that brought a ticket.
DEATH_ENDS: Final = (*GENTLE_ENDS, AttemptEnd.UNDELIVERED)


class Laws:
    """The account, and the laws about what it says."""

    def __init__(self, disk: Disk, profile: Profile, every: int) -> None:
        self._disk = disk
        self._profile = profile
        # The dear checks are made at every so many steps.
        self._every = every
        self._turn = 0
        self.core: Core
        # Acknowledged tasks, and the moment from which retention may delete each; 0: it lives.
        self.acknowledged: dict[str, int] = {}
        # By the task's key: the newest token that was told, its attempt and the task's id.
        self.granted: dict[str, tuple[str, int, str]] = {}
        self.process: dict[str, str] = {}
        # How many tickets came to each process.
        self.arrivals: Counter[str] = Counter()
        self.began_in: dict[str, str] = {}
        self.accepted: dict[str, bytes] = {}
        self.succeeded: dict[str, str] = {}
        self.sessions: dict[str, str] = {}
        self.answers: dict[str, OrderedDict[str, tuple[str, ...]]] = {}
        self.revision = 0
        # What happened at all: ends of attempts, verdicts, why sessions ended.
        self.met: set[str] = set()
        # Attempts that ran for certain when their worker died.
        self._deaths_due: set[str] = set()
        self.latest_wall_ms = 0
        self.limits = LimitAccount(disk)

    # --- the master ---------------------------------------------------------------------

    def master_started(self, core: Core) -> None:
        """A core stands on what is on the disk."""
        self.core = core
        self.limits.master_started()
        for task_id in self.acknowledged:
            # An end may have been stored that nobody heard of before the master died.
            stored = self._disk.by_id.get(task_id)
            if stored is not None:
                self.acknowledged[task_id] = stored.expires_ms

    def committed(self, master: Master, effects: Effects) -> None:
        """A step is on disk and settled, and is about to be told."""
        self.latest_wall_ms = max(self.latest_wall_ms, master.core.book.now.wall_ms)
        for task in effects.changed.values():
            self._check_task(task)
        if self._profile.limits:
            self.limits.committed(master, effects)
        self._turn += 1
        if self._turn % self._every == 0 or effects.writes.sweep_before_ms:
            self.check_all()

    def _check_task(self, task: Task) -> None:
        task_id, stored = task.spec.id, self._disk.tasks.get(task.seq)
        if task_id in self.acknowledged:
            self.acknowledged[task_id] = task.expires_ms
        if stored is None:
            return  # swept in this very step; `check_all` looks whether it was its time
        require(
            stored.state is task.state and stored.attempt == task.attempt,
            "what is told is on disk",
            task_id,
            f"disk {stored.state.name} {stored.attempt}",
            f"memory {task.state.name} {task.attempt}",
        )
        numbers = [line.number for line in task.history]
        require(len(set(numbers)) == len(numbers), "an attempt ends once", task_id, numbers)
        if task.state.ended:
            require(
                task.revision > self.revision or task.revision in self._revisions(task_id),
                "ends have one order",
                task_id,
                task.revision,
                self.revision,
            )
            self.revision = max(self.revision, task.revision)
        won = self.succeeded.get(task_id)
        if won is not None:
            require(task.state is State.SUCCEEDED, "an accepted result stays", task_id, won)
        for line in task.history:
            self.met.add(line.end.name)
            require(
                line.end is not AttemptEnd.UNDELIVERED
                or f"{task.seq}.{line.number}.{line.session}" not in self._deaths_due,
                "a death is counted",
                task_id,
                line,
            )
        if self._profile.gentle:
            ends = DEATH_ENDS if "master dies" in self._profile.faults else GENTLE_ENDS
            for line in task.history:
                blame = line.failure.kind if line.failure is not None else None
                require(
                    line.end in ends and blame in (None, FailureKind.APPLICATION),
                    "what workers survive costs tasks nothing",
                    task_id,
                    line,
                )

    def _revisions(self, task_id: str) -> tuple[int, ...]:
        """Of several ends in one step the later may be looked at first."""
        stored = self._disk.by_id.get(task_id)
        return () if stored is None else (stored.revision,)

    def check_all(self) -> None:
        """The dear checks: all of the core's memory, and all that was acknowledged."""
        check(self.core.book)
        self._check_memory()
        stored = self._disk.by_id
        for task_id, expires_ms in list(self.acknowledged.items()):
            task = stored.get(task_id)
            if task is None:
                require(
                    0 < expires_ms <= self.latest_wall_ms, "nothing acknowledged is lost", task_id
                )
                del self.acknowledged[task_id]
                self.succeeded.pop(task_id, None)

    def _check_memory(self) -> None:
        book = self.core.book
        living = sum(1 for task in self._disk.tasks.values() if not task.state.ended)
        require(len(book.tasks) <= living, "only living tasks are in memory", len(book.tasks))
        require(len(book.ids) == len(book.tasks), "ids are of tasks in memory")
        require(len(book.unique) <= len(book.tasks), "unique keys are of tasks in memory")
        require(not (book.touched or book.known or book.freed), "a step leaves nothing behind")
        require(len(book.ended_sessions) <= ENDED_SESSIONS_REMEMBERED, "few ended are remembered")
        things = len(book.tasks) + len(book.sessions)
        require(
            len(book.timers) <= 20 * things + 50, "moments do not pile up", len(book.timers), things
        )
        for session in book.sessions.values():
            require(len(session.answered) <= REQUESTS_REMEMBERED, "few answers are remembered")

    def told(self, command: c.Command, answer: object) -> None:
        """An answer leaves the master."""
        if isinstance(answer, Rejection):
            self.met.update((answer.reason, answer.metadata.get("cause", "")))
        if isinstance(command, c.Submit) and isinstance(answer, tuple):
            for receipt in answer:
                stored = self._disk.by_id.get(receipt.task_id)
                # A known one may be deleted by the very step that answers: its retention is over.
                known = stored is not None or receipt.duplicate
                require(known, "acknowledged means on disk", receipt.task_id)
                if stored is not None:
                    self.acknowledged.setdefault(receipt.task_id, stored.expires_ms)
        elif isinstance(command, c.Request) and isinstance(answer, tuple):
            self._check_grants(command.session, command.request_id, answer)
        elif isinstance(command, c.Report) and isinstance(answer, c.Reported):
            for outcome, verdict in zip(command.outcomes, answer.verdicts, strict=True):
                self.met.add(verdict.name)
                self._judge(outcome, verdict)
            if command.request_tasks:
                self._check_grants(command.session, command.request_id, answer.grants)
        elif isinstance(command, c.Register) and isinstance(answer, c.Registered):
            session = answer.session.id
            require(session not in self.sessions, "a session's id is given once", session)
            self.sessions[session] = command.boot_id

    def _check_grants(self, session: str, request_id: str, grants: tuple[Grant, ...]) -> None:
        tokens = tuple(grant.token for grant in grants)
        answers = self.answers.setdefault(session, OrderedDict())
        before = answers.get(request_id) if request_id else None
        if before is not None:
            require(
                set(tokens) <= set(before),
                "a repeated request gets the same tickets",
                session,
                request_id,
                before,
                tokens,
            )
        elif request_id and tokens:
            answers[request_id] = tokens
            if len(answers) > REQUESTS_REMEMBERED:
                answers.popitem(last=False)
        for grant in grants:
            if before is None or grant.token not in before:
                self._check_grant(session, grant)

    def _check_grant(self, session: str, grant: Grant) -> None:
        task_id, seq = grant.spec.id, _seq_of(grant.token)
        # By the task's key, not its id: an id may be used anew when retention let it go.
        last = self.granted.get(seq, ("", 0, ""))
        require(
            grant.attempt > last[1],
            "attempts only grow",
            task_id,
            f"{grant.token} after {last[0]}",
        )
        stored = self._disk.by_id.get(task_id)
        require(
            stored is not None and stored.attempt >= grant.attempt,
            "a grant is on disk before it is told",
            grant.token,
        )
        self.granted[seq] = (grant.token, grant.attempt, task_id)

    def _judge(self, outcome: c.Outcome, verdict: c.Verdict) -> None:
        token = outcome.token
        before = self.accepted.get(token)
        if before is not None:
            same = c.Verdict.ACCEPTED if before == outcome.digest else c.Verdict.CONFLICT
            require(
                # The story keeps twenty attempts; older ones are honestly called stale.
                verdict in (same, c.Verdict.STALE_LEASE, c.Verdict.UNKNOWN_TASK),
                "a repeated report gets the same word",
                token,
                verdict.name,
            )
            return
        if self._profile.gentle:
            require(
                verdict is c.Verdict.ACCEPTED,
                "what workers survive costs tasks nothing",
                token,
                verdict.name,
            )
        if verdict is not c.Verdict.ACCEPTED:
            return
        newest, _, task_id = self.granted.get(_seq_of(token), ("none", 0, ""))
        require(newest == token, "a stale lease never completes a task", token, newest)
        self.accepted[token] = outcome.digest
        if isinstance(outcome.result, c.Success):
            require(task_id not in self.succeeded, "one result a task is accepted", task_id, token)
            self.succeeded[task_id] = token

    # --- the workers --------------------------------------------------------------------

    def arrived(self, process: str, grant: Grant) -> None:
        """A ticket arrived at a worker's process."""
        self.arrivals[process] += 1
        holder = self.process.setdefault(grant.token, process)
        require(holder == process, "a lease is one process's", grant.token, holder, process)

    def began(self, process: str, token: str) -> None:
        """An attempt really began."""
        require(token not in self.began_in, "an attempt begins once", token)
        self.began_in[token] = process

    def deaths_due(self, session: str, tokens: list[str]) -> None:
        """A worker in good contact dies while it runs these: somebody must pay for it."""
        if self._profile.call_faults:
            return  # late copies of its calls may deny that it held anything
        held = self.core.book.sessions.get(session)
        standing = {task.token for task in held.held.values()} if held is not None else set()
        self._deaths_due.update(standing.intersection(tokens))

    def reports(self, worker: Worker, outcomes: tuple[tuple[str, Outcome], ...]) -> None:
        """A worker's machine sends a report."""
        for token, outcome in outcomes:
            truth = worker.finished.get(token)
            if isinstance(outcome, Released):
                require(token not in self.began_in, "what is released never began", token)
            elif isinstance(outcome, Failure) and outcome.type == "pullwork.ExecutionTimeout":
                require(token in self.began_in, "what timed out had begun", token)
            else:
                require(truth == outcome, "what is reported is what happened", token, outcome)

    def worker_acted(self, worker: Worker) -> None:
        """A worker's machine took something in."""
        machine = worker.machine
        if machine.link.phase < Phase.LEAVING:
            require(
                machine.desk.held.keys() == worker.owed.keys(),
                "what arrived is held until its verdict, and nothing else",
                worker.boot,
                f"held {list(machine.desk.held)}",
                f"owed {list(worker.owed)}",
            )
        self._turn += 1
        if self._turn % self._every == 0:
            validate_state(machine)
            alarms = machine.desk.lanes.alarms
            require(len(alarms._heap) <= 200, "alarms do not pile up", worker.boot)


def _seq_of(token: str) -> str:
    parsed = parse_token(token)
    assert parsed is not None
    return str(parsed[0])
