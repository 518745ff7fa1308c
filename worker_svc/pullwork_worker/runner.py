"""Drives the machine: carries out what it says, and tells it what came of it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pullwork_worker.executors.invoke import unusable_result
from pullwork_worker.executors.process import ProcessExecutor
from pullwork_worker.executors.work import End, Executor
from pullwork_worker.machine import Machine
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.instructions import Instruction
from pullwork_worker.machine.ticket import Failure, Kind, Note, Success
from pullwork_worker.session import Session

log = logging.getLogger("pullwork.worker")


class WorkerRunner:
    """One worker at work. It is the `Sink` of its executors."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._loop = asyncio.get_running_loop()
        self._session: Session | None = None
        self._executors: Mapping[Kind, Executor] = {}
        self._children: ProcessExecutor | None = None
        self._todo: deque[Instruction] = deque()
        self._doing = False
        self._timer: asyncio.TimerHandle | None = None
        self._exit: asyncio.Future[do.Exit] = self._loop.create_future()
        self._payload_bytes_max = 0

    def connect(self, session: Session, executors: Mapping[Kind, Executor]) -> None:
        """Puts the parts in, before `run`."""
        self._session = session
        self._executors = executors
        children = executors.get(Kind.CHILD)
        self._children = children if isinstance(children, ProcessExecutor) else None

    def set_payload_bytes_max(self, size: int) -> None:
        """Bounds results, as the master said when it registered this worker."""
        self._payload_bytes_max = size

    async def run(self) -> do.Exit:
        """Works until the machine says that it is over; everything is closed then."""
        if self._children is not None:
            self._children.open()
        self.carry_out(self.machine.start(self.now()))
        try:
            return await self._exit
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for executor in self._executors.values():
                await executor.close()
            if self._session is not None:
                await self._session.close()

    def now(self) -> float:
        """Returns the machine's time: seconds of the loop's clock."""
        return self._loop.time()

    async def disconnect(self) -> None:
        """Breaks the connection without a word, as the death of the process does."""
        if self._session is not None:
            await self._session.close()

    def drain(self, reason: str) -> None:
        """Takes no more work, finishes what runs, and leaves; asked again, leaves at once."""
        if self.machine.draining:
            log.warning("leaving at once: %s again; what still runs is cut off", reason)
            self._tell(self.machine.leave, f"{reason} again", 1)
        else:
            log.info("draining: %s; again to leave at once", reason)
            self._tell(self.machine.drain, reason)

    def crash(self, error: BaseException) -> None:
        """Ends the worker because of a bug: one that looks alive and does nothing is worse."""
        log.critical("a bug ends this worker: %r", error, exc_info=error)
        if not self._exit.done():
            self._exit.set_result(do.Exit(1, f"a bug: {error!r}"))

    # The sink of the executors.

    def ended(self, ends: Sequence[End]) -> None:
        """Tells the machine of ends."""
        limit = self._payload_bytes_max
        if limit:
            ends = [
                end
                if not isinstance(end[2], Success) or len(end[2].data) <= limit
                else (end[0], end[1], _too_large(len(end[2].data), limit), end[3])
                for end in ends
            ]
        self._tell(self.machine.finished, ends)

    def noted(self, token: str, note: Note) -> None:
        """Tells the machine what an attempt said of itself."""
        self._tell(self.machine.noted, token, note)

    def child_ready(self, slot: int) -> None:
        """Tells the machine of a child that takes work."""
        self._tell(self.machine.child_ready, slot)

    def child_gone(self, slot: int, unclaimed: Collection[str], evidence: Failure) -> None:
        """Tells the machine of a child that ended."""
        log.warning("a child process ended: %s", evidence.message, extra={"slot": slot})
        self._tell(self.machine.child_gone, slot, frozenset(unclaimed), evidence)

    def _tell(self, stimulus: Callable[..., list[Instruction]], *what: Any) -> None:
        try:
            self.carry_out(stimulus(*what, self.now()))
        except Exception as error:
            self.crash(error)

    # Instructions.

    def carry_out(self, instructions: list[Instruction]) -> None:
        """Carries instructions out, in their order, and those that follow from them."""
        self._todo.extend(instructions)
        if self._doing:
            return
        self._doing = True
        try:
            while self._todo:
                self._do(self._todo.popleft())
        finally:
            self._doing = False
        self._set_timer()

    def _do(self, instruction: Instruction) -> None:
        if isinstance(instruction, do.Exit):
            if not self._exit.done():
                self._exit.set_result(instruction)
        elif isinstance(instruction, do.Start | do.TakeBack | do.Stop | do.Kill | do.Stuck):
            self._do_work(instruction)
        elif self._session is not None:
            self._do_call(self._session, instruction)

    def _do_work(self, instruction: do.Start | do.TakeBack | do.Stop | do.Kill | do.Stuck) -> None:
        kinds = self.machine.desk.lanes.kinds
        if isinstance(instruction, do.Start):
            kind = kinds[instruction.tickets[0].type]
            self._executors[kind].start(instruction.slot, instruction.tickets)
        elif isinstance(instruction, do.TakeBack):
            tokens = self._executors[instruction.kind].take_back(instruction.slot)
            if tokens:
                self._todo.extend(self.machine.taken_back(instruction.slot, tokens, self.now()))
        elif isinstance(instruction, do.Stop):
            self.log_stop(instruction)
            kind = kinds[instruction.ticket.type]
            self._executors[kind].stop(instruction.slot, instruction.ticket)
        elif isinstance(instruction, do.Kill):
            kind = kinds[instruction.ticket.type]
            self._executors[kind].kill(instruction.slot, instruction.ticket)
        else:
            log.warning(
                "a task does not end and can't be killed; its slot stays occupied until it ends "
                "(use executor='process' for such functions)",
                extra={"type": instruction.ticket.type, "slot": instruction.slot},
            )

    def log_stop(self, instruction: do.Stop) -> None:
        """Says that an attempt is asked to end."""
        log.info(
            "stopping a task: %s",
            instruction.reason,
            extra={"type": instruction.ticket.type, "slot": instruction.slot},
        )

    def _do_call(self, session: Session, instruction: Instruction) -> None:
        match instruction:
            case do.Register():
                session.register(instruction)
            case do.OpenStream():
                session.open_stream(instruction)
            case do.CloseStream():
                session.close_stream()
            case do.Heartbeat():
                session.heartbeat(instruction)
            case do.RequestWork():
                session.request(instruction)
            case do.Report():
                session.report(instruction)
            case do.CancelCalls():
                session.cancel_calls(only_request=instruction.only_request)
            case do.Deregister():
                session.deregister(instruction)

    # Time.

    def _set_timer(self) -> None:
        at = self.machine.next_at()
        if at is None or self._exit.done():
            return
        if self._timer is not None:
            if not self._timer.cancelled() and self._timer.when() <= at:
                return  # it rings early, looks, and is set anew
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._tell(self.machine.tick)


def _too_large(size: int, limit: int) -> Failure:
    return unusable_result(
        f"the result has {size} bytes, but the master takes {limit} at most; "
        "keep it elsewhere and return where it is"
    )
