"""The core as a whole: commands and the time in, effects out.

One step goes so: the engine asks what the core `wants` to be shown from disk for a batch of
commands; `step` decides each of them, looks at every moment that has come and brings
work and workers together; the engine commits the effects, then tells them; `settle`
forgets what memory need not hold. A command is decided wholly or refused wholly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pullwork_master.core import explain, leases
from pullwork_master.core.book import Book
from pullwork_master.core.clients import RETRYABLE, Clients
from pullwork_master.core.commands import (
    Cancel,
    Command,
    DeleteService,
    Deregister,
    Drain,
    DropQueue,
    Evict,
    Explain,
    Filter,
    Heartbeat,
    HeartbeatAnswer,
    OpenStream,
    PurgeStep,
    PutService,
    Register,
    Report,
    Reported,
    Request,
    Retry,
    SetLimits,
    SetPaused,
    StreamBroke,
    Submit,
    Unpark,
)
from pullwork_master.core.dispatch import Dispatch
from pullwork_master.core.effects import (
    Effects,
    Found,
    Opened,
    SchedulePageWanted,
    Search,
    Wants,
)
from pullwork_master.core.limits import PURGE_STEP, WAKE_STEP, Policy
from pullwork_master.core.model import AttemptEnd, Cause, Grant, Now, Parked, State
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.core.services import Services
from pullwork_master.core.sessions import Sessions
from pullwork_master.core.timers import GateDue, LeaseDue, ParkedDue, SessionDue, SweepDue
from pullwork_master.core.transitions import Event

# How long a request without `wait` may be held back because its tasks are being paged in.
PAGE_WAIT_MS = 1_000

# The answer comes later, under the call's number.
LATER = object()


class Core:
    """Decides. See the module's text for the order of calls."""

    def __init__(self, policy: Policy, opened: Opened, now: Now) -> None:
        book = self.book = Book(policy, opened.term, opened.next_seq, opened.next_revision)
        book.now = now
        self.dispatch = Dispatch(book)
        self.sessions = Sessions(book, self.dispatch)
        self.clients = Clients(book)
        self.services = Services(book)
        self._call = 0
        self._load(opened)
        self.sessions.haunt(opened.running)
        book.timers.add(now.mono_ms + policy.sweep_every_ms, SweepDue())
        self._handlers: dict[type, Callable[[Any], object]] = {
            Submit: self.clients.submit,
            Cancel: self.clients.cancel,
            Retry: self.clients.retry,
            Explain: self._explain,
            SetPaused: self.clients.set_paused,
            SetLimits: self.clients.set_limits,
            DropQueue: self.clients.drop_queue,
            PurgeStep: self.clients.purge_step,
            PutService: self.services.put,
            DeleteService: self.services.delete,
            Drain: lambda command: self.sessions.drain(command.worker),
            Evict: self._evict,
            Register: self.sessions.register,
            OpenStream: lambda command: self.sessions.open_stream(command.session),
            StreamBroke: lambda command: self.sessions.stream_broke(
                command.session, command.stream
            ),
            Request: self._request,
            Unpark: self._unpark,
            Report: self._report,
            Heartbeat: self._heartbeat,
            Deregister: self._deregister,
        }

    def _load(self, opened: Opened) -> None:
        """Takes note of what waits; it is on disk alone until the first page comes."""
        book = self.book
        book.queues = {queue.name: queue for queue in opened.queues}
        book.queue("default")
        book.services = {row.name: row for row in opened.services}
        book.next_service_revision = opened.next_service_revision
        for each in opened.queued:
            line = book.line((each.queue, each.type))
            line.load(each.flow, each.queued, each.priority)
            line.gate.waiting += each.queued
        for queue, type_, scheduled in opened.scheduled:
            line = book.line((queue, type_))
            line.scheduled += scheduled
            line.gate.waiting += scheduled
            book.scheduled += scheduled
        if book.scheduled:
            book.schedule.horizon = _BEFORE_ALL

    # --- what must be shown -------------------------------------------------------------

    def wants(self, commands: Sequence[tuple[int, Command]]) -> Wants:
        """Returns what must be read from disk for the next step, which must follow."""
        book, wants = self.book, Wants()
        for _, command in commands:
            if isinstance(command, Submit):
                wants.known_ids += [each for each in command.chosen if each not in book.ids]
                for new in command.tasks:
                    key = (new.spec.queue, new.spec.unique_key)
                    if new.spec.unique_key and key not in book.unique:
                        wants.unique_keys.append(key)
            elif isinstance(command, Report):
                for outcome in command.outcomes:
                    parsed = leases.parse_token(outcome.token)
                    if parsed is not None and parsed[0] not in book.tasks:
                        wants.seqs.append(parsed[0])
            elif isinstance(command, Explain):
                wants.ids.append(command.task_id)
            elif isinstance(command, (Cancel, Retry)):
                if command.filter is not None:
                    wants.searches.append(_search(command))
                else:
                    wants.ids += [each for each in command.task_ids if each not in book.ids]
            elif isinstance(command, (DropQueue, PurgeStep)):
                wants.searches.append(_search_of_queue(command))
        self._want_pages(wants)
        return wants

    def _want_pages(self, wants: Wants) -> None:
        book, policy = self.book, self.book.policy
        for name in book.room.hungry:
            line = book.lines.get(name)
            if line is not None:
                wants.pages += line.pages()
        book.room.hungry.clear()
        if book.schedule.low(book.scheduled):
            after = book.schedule.horizon
            assert after is not None, "a schedule that is low has more on disk"
            wants.schedule_page = SchedulePageWanted(
                after, policy.window_tasks, policy.window_bytes
            )

    def hungry(self) -> bool:
        """Whether a step is due although no command came: pages wait to be read."""
        book = self.book
        return bool(book.room.hungry) or book.schedule.low(book.scheduled)

    def _show(self, wants: Wants, found: Found) -> None:
        book = self.book
        book.known.update(found.known)
        for task in found.tasks:
            book.remember(task)
        self.clients.searches.extend(
            [book.remember(task) for task in tasks] for tasks in found.searches
        )
        for wanted, page in zip(wants.pages, found.pages, strict=True):
            line = book.lines.get((wanted.queue, wanted.type))
            if line is not None:
                tasks = [book.remember(task) for task in page.tasks]
                book.spilled(line.page(wanted.flow, wanted.after, tasks, more=page.more))
                book.stirred[line.name] = None
        if found.schedule_page is not None:
            tasks = [book.remember(task) for task in found.schedule_page.tasks]
            keyed = [(task, (task.ready_ms, task.seq)) for task in tasks]
            book.spilled(book.schedule.page(keyed, more=found.schedule_page.more))

    # --- the step -----------------------------------------------------------------------

    def step(
        self,
        commands: Sequence[tuple[int, Command]],
        now: Now,
        wants: Wants | None = None,
        found: Found | None = None,
    ) -> Effects:
        """Decides a batch of numbered commands and returns all that follows from it."""
        book = self.book
        late_ms = now.mono_ms - book.now.mono_ms
        book.now = now
        if wants is not None and found is not None:
            self._show(wants, found)
        if late_ms > book.policy.pause_ms:
            self.sessions.excuse(late_ms)
        for call, command in commands:
            self._call = call
            try:
                answer = self._handlers[type(command)](command)
            except Rejection as rejection:
                book.effects.refusals.append((call, rejection))
            else:
                if answer is not LATER:
                    book.effects.answers.append((call, answer))
        self.clients.searches.clear()
        self._look()
        self.dispatch.run()
        effects, book.effects = book.effects, Effects()
        return effects

    def settle(self) -> None:
        """Forgets what need not be held; to be called once a step's effects are committed."""
        self.book.settle()

    def follow(self, former: Core) -> None:
        """Goes on where another core of the same term left off, so that no session id repeats."""
        self.book.next_session = former.book.next_session
        self.book.next_stream = former.book.next_stream

    def swept(self, count: int) -> None:
        """Hears how many tasks a sweep deleted: a full one is followed by the next at once."""
        policy, now_ms = self.book.policy, self.book.now.mono_ms
        wait_ms = 0 if count >= policy.sweep_tasks else policy.sweep_every_ms
        self.book.timers.add(now_ms + wait_ms, SweepDue())

    def due_in_ms(self, now: Now) -> int | None:
        """Returns how long until the next moment to look at; None: there is none."""
        moments = []
        next_ms = self.book.timers.next_ms()
        if next_ms is not None:
            moments.append(next_ms - now.mono_ms)
        head = self.book.schedule.head()
        if head is not None:
            moments.append(head[0] - now.wall_ms)
        return max(0, min(moments)) if moments else None

    def _look(self) -> None:
        book = self.book
        while (due := book.timers.pop(book.now.mono_ms)) is not None:
            if isinstance(due, SessionDue):
                self.sessions.check(due)
            elif isinstance(due, LeaseDue):
                leases.check_timeouts(book, due)
            elif isinstance(due, ParkedDue):
                session = book.sessions.get(due.session)
                if session is not None:
                    self.dispatch.unpark(session, due.call)
            elif isinstance(due, GateDue):
                gate = book.gates.get(due.queue)
                if gate is not None:
                    gate.look(due.key)
            else:
                book.effects.writes.sweep_before_ms = book.now.wall_ms
                book.effects.writes.sweep_tasks = book.policy.sweep_tasks
        for _ in range(WAKE_STEP):
            head = book.schedule.head()
            if head is None or head[0] > book.now.wall_ms:
                break
            book.move(book.tasks[head[1]], Event.WAKE)

    # --- single commands ----------------------------------------------------------------

    def _explain(self, command: Explain) -> explain.Explanation:
        return explain.explain(self.book, self.clients.task(command.task_id))

    def _evict(self, command: Evict) -> int:
        session = self.sessions.named(command.worker)
        why = "evicted by an operator"
        return self.sessions.end(session, Cause.EVICTED, why, AttemptEnd.RELEASED)

    def _request(self, command: Request) -> object:
        session = self.sessions.get(command.session)
        self._check_credit(command.max_tasks, session.slots + session.look_ahead_max, "max_tasks")
        before = self.dispatch.recall(session, command.request_id)
        if before is not None:
            return before
        grants = self.dispatch.take(session, command.max_tasks)
        wait_ms = command.wait_ms
        if not grants and self.dispatch.page_pending(session):
            wait_ms = max(wait_ms, PAGE_WAIT_MS)
        if grants or not wait_ms or session.draining:
            self.dispatch.answered(session, command.request_id, grants)
            return grants
        due_ms = self.book.now.mono_ms + wait_ms
        self.dispatch.park(
            session, Parked(self._call, command.max_tasks, due_ms, command.request_id)
        )
        return LATER

    def _unpark(self, command: Unpark) -> None:
        session = self.book.sessions.get(command.session)
        if session is not None:
            self.dispatch.unpark(session, command.call)

    def _report(self, command: Report) -> Reported:
        session = self.sessions.get(command.session)
        self._check_credit(
            command.request_tasks, session.slots + session.look_ahead_max, "request_tasks"
        )
        verdicts = tuple(leases.report(self.book, session, outcome) for outcome in command.outcomes)
        grants: tuple[Grant, ...] = ()
        if command.request_tasks:
            before = self.dispatch.recall(session, command.request_id)
            if before is not None:
                return Reported(verdicts, before)
            grants = self.dispatch.take(session, command.request_tasks)
        self.dispatch.answered(session, command.request_id, grants)
        return Reported(verdicts, grants)

    def _check_credit(self, asked: int, bound: int, field: str) -> None:
        if asked > bound:
            raise Rejection(
                Reason.INVALID_FIELD,
                f"{field} is {asked}, more than the session's slots and look-ahead, {bound}",
                field=field,
            )

    def _heartbeat(self, command: Heartbeat) -> HeartbeatAnswer:
        session = self.sessions.get(command.session)
        session.load = command.load
        if command.draining and not session.draining:
            session.draining = True
            self.dispatch.unpark(session)
            self.dispatch.place(session)
        abandon = leases.inventory(self.book, session, command.held)
        return HeartbeatAnswer(abandon, session.draining, self.sessions.pace(session))

    def _deregister(self, command: Deregister) -> int:
        session = self.book.sessions.get(command.session)
        if session is None or session.ghost:
            return 0
        why = f"it left: {command.reason}" if command.reason else "it left"
        return self.sessions.end(session, Cause.LEFT, why, AttemptEnd.RELEASED)


# Of (ready_ms, seq): all that is scheduled comes later.
_BEFORE_ALL = (0, 0)


def _search(command: Cancel | Retry) -> Search:
    """Returns the search of a bulk command; one more than its limit tells whether more match.

    What it passes over must not be found: it would be found again for ever.
    """
    chosen = command.filter
    assert chosen is not None
    if isinstance(command, Cancel):
        possible: tuple[State, ...] = (State.SCHEDULED, State.QUEUED, State.RUNNING)
        states = tuple(each for each in chosen.states or possible if each in possible)
    else:
        states = tuple(each for each in chosen.states or (State.FAILED,) if each in RETRYABLE)
    assert states, "the wire layer refuses states that the command can't change"
    narrowed = Filter(chosen.queue, chosen.type, chosen.owner, states, but_instances=True)
    return Search(narrowed, command.limit + 1)


def _search_of_queue(command: DropQueue | PurgeStep) -> Search:
    """Returns the search for what is left in a queue, or waits in it."""
    if isinstance(command, DropQueue):
        return Search(Filter(queue=command.queue), 1)
    waiting = Filter(queue=command.queue, states=(State.QUEUED, State.SCHEDULED))
    return Search(waiting, PURGE_STEP, command.before_seq)
