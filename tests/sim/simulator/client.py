"""A virtual client: submits with ids, repeats what got no answer, watches ends from a cursor."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from pullwork_master.core import commands as c
from pullwork_master.core.model import Spec, State
from pullwork_master.core.rejections import Reason, Rejection
from simulator.disk import Disk
from simulator.events import MS, Events, Node
from simulator.jobs import Jobs
from simulator.limits import QUEUES
from simulator.profile import Profile
from simulator.story import Story, require
from simulator.wire import Wire


class Client(Node):
    """Somebody who wants work done, and an operator."""

    wire: Wire

    def __init__(
        self,
        events: Events,
        dice: random.Random,
        profile: Profile,
        jobs: Jobs,
        disk: Disk,
        story: Story,
    ) -> None:
        super().__init__("client")
        self.up = True
        self._events = events
        self._dice = dice
        self._profile = profile
        self._jobs = jobs
        self._reader = disk.reader()
        self._story = story
        # What was not answered yet, and is repeated until it is.
        self.open = 0
        self.unsubmitted = profile.tasks
        self.cursor = 0
        # The ends that were seen: task's key → revision → state.
        self.ends: dict[int, dict[int, State]] = {}

    def start(self) -> None:
        """Thinks of all that it will submit, and when."""
        left = self.unsubmitted
        while left:
            batch = min(left, self._dice.choice((1, 1, 2, 4)))
            left -= batch
            wait = int(self._dice.random() ** 2 * self._profile.busy_for)
            self._events.after(wait, self, self._submit_new, batch)
        for change in self._profile.limits:
            set_limits = c.SetLimits(change.queue, change.changes, change.clear)
            at = int(change.at * self._profile.busy_for)
            self._events.after(at, self, self.insist, set_limits)

    def _submit_new(self, count: int) -> None:
        self.unsubmitted -= count
        delay_ms = self._dice.choice((0, 0, 0, 300))
        self._submit([self._jobs.make() for _ in range(count)], delay_ms)

    def _submit(self, specs: list[Spec], delay_ms: int) -> None:
        new = tuple(c.NewTask(spec, delay_ms) for spec in specs)
        command = c.Submit(new, chosen=tuple(spec.id for spec in specs))
        self.insist(command)

    def insist(self, command: c.Command) -> None:
        """Asks until there is an answer."""
        self.open += 1
        self._ask(command, 1)

    def _ask(self, command: c.Command, times: int) -> None:
        def done(answer: Any, error: str) -> None:
            again = error or (isinstance(answer, Rejection) and answer.reason is Reason.DISK_FULL)
            if again:
                wait = self._dice.randint(50, 100 * min(times, 20)) * MS
                self._events.after(wait, self, self._ask, command, times + 1)
            else:
                self.open -= 1

        self.wire.call(command, self._profile.call_timeout, done)

    def ask(self, command: c.Command, done: Callable[[Any, str], None] | None = None) -> None:
        """Asks once, and does not mind what comes of it."""
        self.wire.call(command, self._profile.call_timeout, done or (lambda *_: None))

    def meddle(self) -> None:
        """Does one thing that an operator may do."""
        dice = self._dice
        task_id = f"t{dice.randint(1, max(1, len(self._jobs.by_id)))}"
        choice = dice.randint(0, 5)
        if choice <= 1:
            self.ask(c.Cancel(task_ids=(task_id,), skip_ended=True))
        elif choice == 2:
            self.ask(c.Retry(task_ids=(task_id,)))
        elif choice == 3:
            queue = dice.choice(QUEUES)
            self.ask(c.SetPaused(queue, True))
            wait = dice.randint(0, 4 * self._profile.heartbeat)
            self._events.after(wait, self, self.ask, c.SetPaused(queue, False))
        elif choice == 4:
            self.ask(c.PurgeStep(dice.choice(QUEUES)))
        else:
            self.ask(c.Retry(filter=c.Filter(states=(State.FAILED, State.CANCELLED)), limit=2))

    def watch(self) -> None:
        """Reads the ends since the cursor, as a watch that was resumed."""
        page = self._reader.ends_after(self.cursor, "client", "", 3)
        for task in page.tasks:
            require(task.state.ended, "a watcher is told ends", task.spec.id)
            seen = self.ends.setdefault(task.seq, {})
            require(
                task.revision > self.cursor and task.revision not in seen,
                "no end is told twice",
                task.spec.id,
            )
            require(State.SUCCEEDED not in seen.values(), "nothing follows a success", task.spec.id)
            seen[task.revision] = task.state
            self.cursor = task.revision
        self.cursor = max(self.cursor, page.revision)
        if page.more:
            self.watch()
