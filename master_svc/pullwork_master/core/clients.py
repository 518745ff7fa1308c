"""What clients and operators ask of tasks and queues: submit, cancel, retry, pause, purge."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from pullwork_master.core import leases
from pullwork_master.core.book import Book
from pullwork_master.core.commands import (
    Cancel,
    Chosen,
    DropQueue,
    NewTask,
    Purged,
    PurgeStep,
    Receipt,
    Retry,
    SetLimits,
    SetPaused,
    Submit,
)
from pullwork_master.core.effects import Revoked
from pullwork_master.core.limits import PURGE_STEP
from pullwork_master.core.model import NO_LIMITS, AttemptEnd, Limits, Queue, State, Task
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.core.transitions import Event

RETRYABLE = (State.FAILED, State.CANCELLED)
QUEUE_FULL_RETRY_MS = 1_000


class Clients:
    """Changes tasks and queues at somebody's wish."""

    def __init__(self, book: Book) -> None:
        self._book = book
        # What storage found for the searches of this step's commands, in their order.
        self.searches: deque[list[Task]] = deque()

    # --- submit -------------------------------------------------------------------------

    def submit(self, command: Submit) -> tuple[Receipt, ...]:
        """Stores a list of tasks, all or none."""
        receipts: list[Receipt] = []
        fresh: list[NewTask] = []
        digests: dict[str, bytes] = {}
        keys: dict[tuple[str, str], str] = {}
        for index, new in enumerate(command.tasks):
            duplicate = self._duplicate(new, command.id_field.format(index), digests, keys)
            receipts.append(Receipt(duplicate or new.spec.id, duplicate is not None))
            if duplicate is None:
                fresh.append(new)
                digests[new.spec.id] = new.spec.digest
                if new.spec.unique_key:
                    keys[(new.spec.queue, new.spec.unique_key)] = new.spec.id
        self._check_room([new.spec.queue for new in fresh])
        for new in fresh:
            self._accept(new)
        return tuple(receipts)

    def _duplicate(
        self,
        new: NewTask,
        id_field: str,
        digests: dict[str, bytes],
        keys: dict[tuple[str, str], str],
    ) -> str | None:
        book, spec = self._book, new.spec
        held = book.find(spec.id)
        digest = held.spec.digest if held is not None else book.known.get(spec.id)
        if digest is None:
            digest = digests.get(spec.id)
        if digest is not None:
            if digest != spec.digest:
                raise Rejection(
                    Reason.TASK_ID_CONFLICT,
                    f"task {spec.id} is there already with other content; choose another id",
                    field=id_field,
                    task_id=spec.id,
                )
            return spec.id
        if spec.unique_key:
            key = (spec.queue, spec.unique_key)
            seq = book.unique.get(key)
            return book.tasks[seq].spec.id if seq is not None else keys.get(key)
        return None

    def _check_queues(self, named: Iterable[str]) -> None:
        book = self._book
        if len(book.queues) + sum(queue not in book.queues for queue in named) > (
            book.policy.queues_max
        ):
            raise Rejection(
                Reason.TOO_MANY_REQUESTS,
                f"the master keeps at most {book.policy.queues_max} queues, and has as many; use "
                "types or priorities to tell tasks apart",
                retry_after_ms=QUEUE_FULL_RETRY_MS,
            )

    def _check_room(self, queues: list[str]) -> None:
        book, named = self._book, Counter(queues)
        self._check_queues(named)
        for queue, more in named.items():
            gate = book.gates.get(queue)
            waiting, bound = 0, book.policy.queue_tasks_max
            if gate is not None:
                waiting = gate.waiting
                bound = min(bound, gate.queue.limits.tasks_max or bound)
            if waiting + more > bound:
                raise Rejection(
                    Reason.QUEUE_FULL,
                    f"queue {queue!r} holds {waiting} waiting tasks of at most {bound}; "
                    "try again later",
                    retry_after_ms=QUEUE_FULL_RETRY_MS,
                    queue=queue,
                )

    def _accept(self, new: NewTask) -> None:
        book, now_ms = self._book, self._book.now.wall_ms
        spec = new.spec
        ready_ms = now_ms + new.delay_ms if new.delay_ms else spec.not_before_ms
        waits = ready_ms > now_ms
        book.queue(spec.queue)
        task = Task(
            seq=book.next_seq,
            spec=spec._replace(not_before_ms=ready_ms) if new.delay_ms else spec,
            state=State.SCHEDULED if waits else State.QUEUED,
            created_ms=now_ms,
            ready_ms=ready_ms if waits else 0,
        )
        book.next_seq += 1
        book.insert(task)

    # --- cancel and retry ---------------------------------------------------------------

    def cancel(self, command: Cancel) -> Chosen:
        """Ends tasks that wait or run."""
        if command.filter is not None:
            found = self.searches.popleft()
            tasks = [task for task in found[: command.limit] if not task.state.ended]
            more = len(found) > command.limit
        else:
            tasks = self._named(command.task_ids)
            more = False
        ended = [task for task in tasks if task.state.ended]
        if ended and not command.skip_ended:
            raise Rejection(
                Reason.TASK_ENDED,
                f"task {ended[0].spec.id} has ended already as {ended[0].state.name}",
                task_id=ended[0].spec.id,
                state=ended[0].state.name,
            )
        tasks = [task for task in tasks if not task.state.ended]
        for task in tasks:
            self._cancel(task)
        return Chosen(tuple(task.spec.id for task in tasks), more)

    def _cancel(self, task: Task) -> None:
        book = self._book
        if task.lease is not None:
            revoked = Revoked((task.lease.token,), "the task was cancelled")
            book.effects.news.append((task.lease.session, revoked))
            leases.release(book, task)
            leases.tell_story(book, task, AttemptEnd.CANCELLED, None)
        book.move(task, Event.CANCEL)

    def retry(self, command: Retry) -> Chosen:
        """Puts ended tasks back into their queues, with fresh counts."""
        if command.filter is not None:
            found = self.searches.popleft()
            tasks = [task for task in found[: command.limit] if task.state in RETRYABLE]
            more = len(found) > command.limit
        else:
            tasks = self._named(command.task_ids)
            more = False
        for task in tasks:
            if task.is_instance:
                raise Rejection(
                    Reason.TASK_NOT_RETRYABLE,
                    f"task {task.spec.id} was an instance of a service, and its service decides "
                    "what follows it: scale or update that",
                    task_id=task.spec.id,
                    state=task.state.name,
                )
            if task.state not in RETRYABLE:
                raise Rejection(
                    Reason.TASK_NOT_RETRYABLE,
                    f"task {task.spec.id} is {task.state.name}; only FAILED and CANCELLED tasks "
                    "can be retried",
                    task_id=task.spec.id,
                    state=task.state.name,
                )
        self._check_room([task.spec.queue for task in tasks])
        for task in tasks:
            task.failures = task.deaths = 0
            task.failure = None
            task.result = None
            # It waits from now on, not since it was submitted.
            task.ready_ms = self._book.now.wall_ms
            self._book.move(task, Event.RETRY)
        return Chosen(tuple(task.spec.id for task in tasks), more)

    def _named(self, task_ids: tuple[str, ...]) -> list[Task]:
        return [self.task(task_id) for task_id in dict.fromkeys(task_ids)]

    def task(self, task_id: str) -> Task:
        """Returns a task that the step was shown. Errors: TASK_NOT_FOUND."""
        task = self._book.find(task_id)
        if task is None:
            raise Rejection(
                Reason.TASK_NOT_FOUND,
                f"no task has the id {task_id}; perhaps its retention ended",
                task_id=task_id,
            )
        return task

    # --- queues -------------------------------------------------------------------------

    def known_queue(self, name: str) -> Queue:
        """Returns a queue. Errors: QUEUE_NOT_FOUND."""
        queue = self._book.queues.get(name)
        if queue is None:
            raise Rejection(
                Reason.QUEUE_NOT_FOUND,
                f"no queue is called {name!r}; a queue comes to be with its first task",
                queue=name,
            )
        return queue

    def set_paused(self, command: SetPaused) -> Queue:
        """Stops or allows grants from a queue."""
        book = self._book
        queue = self.known_queue(command.queue)
        if queue.paused != command.paused:
            queue.paused = command.paused
            book.effects.writes.queues[queue.name] = queue
            book.note("queue paused" if queue.paused else "queue resumed", queue=queue.name)
            book.gate(queue.name).stir()
        return queue

    def set_limits(self, command: SetLimits) -> Queue:
        """Changes limits of a queue. Errors: INVALID_FIELD, TOO_MANY_REQUESTS."""
        book = self._book
        known = book.queues.get(command.queue)
        before = NO_LIMITS if known is None or command.clear else known.limits
        limits = _changed(before, command)
        self._check_queues([command.queue])
        queue = book.queue(command.queue)
        if queue.limits != limits:
            book.gate(queue.name).set_limits(limits, book.now.mono_ms)
            book.effects.writes.queues[queue.name] = queue
            book.note("queue limits set", queue=queue.name, **limits._asdict())
        return queue

    def drop_queue(self, command: DropQueue) -> bool:
        """Forgets a queue of which nothing is left."""
        book, found = self._book, self.searches.popleft()
        queue = book.queues.get(command.queue)
        # What the search found may be gone; then it is found no more the next time.
        if queue is None or found or queue.paused or queue.limits != NO_LIMITS:
            return queue is None
        return book.drop_queue(queue)

    def purge_step(self, command: PurgeStep) -> Purged:
        """Cancels the next waiting tasks of a queue, up to a bound."""
        before_seq = command.before_seq or self._book.next_seq
        found = self.searches.popleft()
        self.known_queue(command.queue)
        waiting = [task for task in found if task.state in (State.QUEUED, State.SCHEDULED)]
        for task in waiting:
            self._book.move(task, Event.CANCEL)
        return Purged(len(waiting), before_seq, len(found) < PURGE_STEP)


def _changed(limits: Limits, command: SetLimits) -> Limits:
    """Returns limits as they are to be; a burst goes with its rate."""
    limits = limits._replace(**command.changes)  # type: ignore[arg-type]
    for rate, burst in (("rate", "burst"), ("rate_per_key", "burst_per_key")):
        if getattr(limits, rate):
            continue
        if command.changes.get(burst):
            raise Rejection(
                Reason.INVALID_FIELD,
                f"limits.{burst} is set without a rate; set limits.{rate}, too",
                field=f"limits.{burst}",
            )
        limits = limits._replace(**{burst: 0})
    return limits
