"""An account of what was acknowledged, granted and accepted, kept from answers alone.

It knows nothing of how the core decides, so it can contradict it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pullwork_master.core import commands as c
from pullwork_master.core.model import Grant, Queue, State, Task


class BrokenLawError(AssertionError):
    """What was promised did not hold."""


def require(holds: bool, law: str, *facts: object) -> None:
    if not holds:
        raise BrokenLawError(f"{law}: {facts!r}")


class Ledger:
    """What everybody outside was told."""

    def __init__(self) -> None:
        # By id, the moment from which retention may delete it; 0: it has not ended.
        self.acknowledged: dict[str, int] = {}
        self.last_attempt: dict[str, int] = {}
        self.last_token: dict[str, str] = {}
        # By token, the digest of the outcome.
        self.accepted: dict[str, bytes] = {}
        self.succeeded: dict[str, str] = {}
        # What retention deleted.
        self.gone: set[str] = set()
        # How many ran of each queue and limit key when last looked; "": of the whole queue.
        self.running: Counter[tuple[str, str]] = Counter()

    def check(self, stored: Mapping[str, Task], wall_ms: int) -> None:
        """Compares the account with the disk."""
        for task_id, retain_until in list(self.acknowledged.items()):
            task = stored.get(task_id)
            if task is None:
                require(wall_ms >= retain_until > 0, "nothing acknowledged is lost", task_id)
                self.forget(task_id)
                continue
            require(
                task.attempt >= self.last_attempt.get(task_id, 0),
                "a grant is on disk before it is told",
                task_id,
            )
            if task_id in self.succeeded:
                require(task.state is State.SUCCEEDED, "an accepted result stays", task_id)

    def check_limits(self, stored: Iterable[Task], queues: Mapping[str, Queue]) -> None:
        """Counts on disk what runs; a limit that was lowered holds for what starts since."""
        before, self.running = self.running, Counter()
        for task in stored:
            if task.state is State.RUNNING:
                for key in {"", task.spec.limit_key}:
                    self.running[(task.spec.queue, key)] += 1
        for (queue, key), count in self.running.items():
            limits = queues[queue].limits
            most = limits.concurrency_per_key if key else limits.concurrency
            require(
                not most or count <= max(most, before[(queue, key)]),
                "no more run at once than a limit allows",
                queue,
                key,
                count,
            )

    def forget(self, task_id: str) -> None:
        """Strikes a task that retention deleted: its id may be used anew."""
        for account in (self.acknowledged, self.last_attempt, self.last_token, self.succeeded):
            account.pop(task_id, None)
        self.gone.add(task_id)

    def grant(self, grant: Grant) -> None:
        """Enters a ticket that a worker got."""
        task_id = grant.spec.id
        if task_id in self.gone and task_id not in self.acknowledged:
            return  # granted, cancelled and deleted in one step
        require(task_id in self.acknowledged, "only acknowledged tasks are granted", task_id)
        require(
            grant.attempt > self.last_attempt.get(task_id, 0),
            "attempts only grow",
            task_id,
            grant.attempt,
        )
        self.last_attempt[task_id] = grant.attempt
        self.last_token[task_id] = grant.token

    def judge(
        self, outcome: c.Outcome, verdict: c.Verdict, task_id: str | None, latest: set[str]
    ) -> None:
        """Enters the master's word on an outcome; `latest`: the newest token of each task."""
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
        # Without retention a task may be gone in the step that accepts its result.
        if isinstance(outcome.result, c.Success) and task_id in self.acknowledged:
            self.succeeded[task_id] = outcome.token

    def untouched(self, running: Iterable[Task], stored: Mapping[str, Task]) -> None:
        """Compares attempts that a report did not name, or named anew, with the disk after it."""
        for before in running:
            after = stored[before.spec.id]
            require(
                (after.state, after.attempt) == (State.RUNNING, before.attempt),
                "a report ends no other attempt",
                before,
                after,
            )
