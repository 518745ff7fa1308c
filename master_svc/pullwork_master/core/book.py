"""The core's memory: what is known of tasks, lines, queues and sessions, kept consistent.

Everything that changes a task's state goes through `Book.move`, so that the table,
the counts, the windows and the writes can't disagree. The book decides nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from pullwork_master.core.effects import Effects, Move
from pullwork_master.core.gates import Gate
from pullwork_master.core.limits import ENDED_SESSIONS_REMEMBERED, Policy
from pullwork_master.core.model import (
    AttemptEnd,
    Cause,
    Now,
    Queue,
    ServiceRow,
    Session,
    State,
    Task,
)
from pullwork_master.core.ready import Line
from pullwork_master.core.room import Room
from pullwork_master.core.timers import Timers
from pullwork_master.core.transitions import NEXT, Event
from pullwork_master.core.window import Window


class Book:
    """All state of the core. Holds active tasks, and for one step those it was shown."""

    def __init__(self, policy: Policy, term: int, next_seq: int, next_revision: int) -> None:
        self.policy = policy
        self.term = term
        self.next_seq = next_seq
        self.next_revision = next_revision
        self.next_session = 1
        self.next_stream = 1
        self.now = Now(0, 0)
        self.tasks: dict[int, Task] = {}
        self.ids: dict[str, int] = {}
        self.unique: dict[tuple[str, str], int] = {}
        # Ids that the step was told are on disk, with their digests; for one step.
        self.known: dict[str, bytes] = {}
        self.queues: dict[str, Queue] = {}
        self.services: dict[str, ServiceRow] = {}
        self.next_service_revision = 1
        # By name; of queues that workers serve and nobody has submitted to yet, too.
        self.gates: dict[str, Gate] = {}
        self.lines: dict[tuple[str, str], Line] = {}
        self.room = Room(policy.window_tasks, policy.window_bytes, policy.windows_bytes)
        self.schedule = Window(policy.window_tasks, policy.window_bytes)
        self.scheduled = 0
        self.sessions: dict[str, Session] = {}
        self.ended_sessions: OrderedDict[str, tuple[Cause, str]] = OrderedDict()
        self.timers = Timers()
        self.effects = Effects()
        # Sessions whose credit grew, so that they may have to be placed again.
        self.freed: dict[str, None] = {}
        # Lines that have work which somebody may be waiting for.
        self.stirred: dict[tuple[str, str], None] = {}
        # Tasks that may have to be forgotten once the step is committed.
        self.touched: dict[int, None] = {}

    # --- tasks --------------------------------------------------------------------------

    def line(self, key: tuple[str, str]) -> Line:
        """Returns the line, made if need be."""
        line = self.lines.get(key)
        if line is None:
            queue, type_ = key
            gate = self.gate(queue)
            line = self.lines[key] = gate.lines[type_] = Line(type_, gate, self.room)
        return line

    def drop(self, line: Line) -> None:
        """Forgets a line of which nothing is known, and its gate with the last one."""
        del self.lines[line.name]
        del line.gate.lines[line.type]
        if not line.gate.lines and line.queue not in self.queues:
            del self.gates[line.queue]

    def insert(self, task: Task) -> None:
        """Takes in a new task, QUEUED or SCHEDULED."""
        self.remember(task)
        self.effects.writes.inserted[task.seq] = task
        self.effects.changed[task.seq] = task
        self._enter(task)

    def remember(self, task: Task) -> Task:
        """Holds a task that is on disk; returns the one held already, if there is."""
        held = self.tasks.setdefault(task.seq, task)
        if held.spec.unique_key and not held.state.ended:
            # Several may live: a retry asks for no key. The key names one until that one ends.
            self.unique.setdefault((held.spec.queue, held.spec.unique_key), held.seq)
        if held is task:
            self.ids[task.spec.id] = task.seq
            self.touched[task.seq] = None
        return held

    def find(self, task_id: str) -> Task | None:
        """Returns a task that is in memory, by its id."""
        seq = self.ids.get(task_id)
        return None if seq is None else self.tasks[seq]

    def dirty(self, task: Task) -> None:
        """Has a task written with this step."""
        if task.seq not in self.effects.writes.inserted:
            self.effects.writes.updated[task.seq] = task

    def move(self, task: Task, event: Event) -> None:
        """Changes a task's state after the table; a pair that is not in it is a bug of ours."""
        after = NEXT[(task.state, event)]
        if self.policy.tell_moves:
            self._tell_move(task, event)
        self._leave(task)
        task.state = after
        unique = (task.spec.queue, task.spec.unique_key)
        if after.ended:
            task.ended_ms = self.now.wall_ms
            task.expires_ms = self.now.wall_ms + task.spec.retention_ms
            task.revision = self.next_revision
            self.next_revision += 1
            if self.unique.get(unique) == task.seq:
                del self.unique[unique]
        elif event is Event.RETRY:
            task.ended_ms = task.expires_ms = task.revision = 0
            if task.spec.unique_key:
                self.unique.setdefault(unique, task.seq)
        self.dirty(task)
        self.effects.changed[task.seq] = task
        self.touched[task.seq] = None
        self._enter(task)

    def _tell_move(self, task: Task, event: Event) -> None:
        """Tells of a change that is about to be made; its attempt stands in the story already."""
        story = task.history[-1] if task.history else None
        ends = task.state is State.RUNNING
        if ends:
            end = AttemptEnd.SUCCEEDED if story is None or event is Event.SUCCEED else story.end
        else:
            end = None
        waited_since_ms = max(task.created_ms, task.ready_ms, story.ended_ms if story else 0)
        self.effects.moves.append(
            Move(
                task,
                event,
                task.state,
                task.attempt,
                task.worker,
                task.started_ms,
                waited_since_ms,
                end,
            )
        )

    def _leave(self, task: Task) -> None:
        """Takes a task out of the counts and the place of its state."""
        state = task.state
        if state is State.RUNNING:
            line = self.lines[task.line]
            line.running -= 1
            line.gate.ended(task)
        elif state is State.QUEUED:
            line = self.lines[task.line]
            line.gate.waiting -= 1
            line.remove(task)
        elif state is State.SCHEDULED:
            line = self.lines[task.line]
            line.gate.waiting -= 1
            line.scheduled -= 1
            self.scheduled -= 1
            self.schedule.remove(task)

    def _enter(self, task: Task) -> None:
        """Takes a task into the counts and the place of its state."""
        state = task.state
        if state is State.RUNNING:
            line = self.lines[task.line]
            line.running += 1
            line.gate.started(task, self.now.mono_ms)
        elif state is State.QUEUED:
            line = self.line(task.line)
            line.gate.waiting += 1
            self.spilled(line.add(task))
            self.stirred[line.name] = None
        elif state is State.SCHEDULED:
            line = self.line(task.line)
            line.gate.waiting += 1
            line.scheduled += 1
            self.scheduled += 1
            self.spilled(self.schedule.add(task, (task.ready_ms, task.seq)))

    def adopt(self, task: Task) -> None:
        """Counts a task that ran before a restart."""
        line = self.line(task.line)
        line.running += 1
        line.gate.adopt(task)

    def spilled(self, tasks: list[Task]) -> None:
        """Takes note of tasks that are on disk alone once the step is committed."""
        for task in tasks:
            self.touched[task.seq] = None

    def settle(self) -> None:
        """Forgets, after the commit, what need not be in memory."""
        for seq in self.touched:
            task = self.tasks.get(seq)
            if task is None or self._active(task):
                continue
            del self.tasks[seq]
            del self.ids[task.spec.id]
            unique = (task.spec.queue, task.spec.unique_key)
            if self.unique.get(unique) == seq:
                del self.unique[unique]
            line = self.lines.get(task.line)
            if line is not None and line.empty:
                self.drop(line)
        self.touched.clear()
        self.known.clear()

    def _active(self, task: Task) -> bool:
        if task.state is State.RUNNING:
            return True
        if task.state is State.QUEUED:
            return self.lines[task.line].holds(task)
        return task.state is State.SCHEDULED and task.seq in self.schedule.tasks

    # --- queues -------------------------------------------------------------------------

    def gate(self, name: str) -> Gate:
        """Returns a queue's gate, made if need be; the queue itself is not."""
        gate = self.gates.get(name)
        if gate is None:
            queue = self.queues.get(name) or Queue(name, 0)
            gate = self.gates[name] = Gate(queue, self.stirred, self.timers)
        return gate

    def queue(self, name: str) -> Queue:
        """Returns the queue, made if need be."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = self.gate(name).queue
            queue.created_ms = self.now.wall_ms
            self.effects.writes.queues[name] = queue
        return queue

    def drop_queue(self, queue: Queue) -> bool:
        """Forgets a queue, unless it has tasks that have not ended, or workers."""
        gate = self.gates.get(queue.name)
        if gate is not None and gate.lines:
            return False
        self.gates.pop(queue.name, None)
        del self.queues[queue.name]
        self.effects.writes.queues[queue.name] = None
        return True

    def lines_of(self, queue: str) -> Iterator[Line]:
        """Yields the lines of a queue."""
        gate = self.gates.get(queue)
        return iter(()) if gate is None else iter(gate.lines.values())

    def paused(self, queue: str) -> bool:
        """Whether nothing may be granted from a queue."""
        known = self.queues.get(queue)
        return known is not None and known.paused

    # --- sessions -----------------------------------------------------------------------

    def forget_session(self, session: Session, cause: Cause, why: str) -> None:
        """Drops a session, and remembers for a late caller why it ended."""
        del self.sessions[session.id]
        self.ended_sessions[session.id] = (cause, why)
        if len(self.ended_sessions) > ENDED_SESSIONS_REMEMBERED:
            self.ended_sessions.popitem(last=False)

    def note(self, event: str, **facts: object) -> None:
        """Has a line written to the operator's log."""
        self.effects.notes.append((event, facts))
