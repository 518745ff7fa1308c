"""The worker of a cluster under test: the real one, on a loop whose clock is moved.

Found by `pullwork.testing` through its entry point.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from pullwork.errors import SettingsError
from pullwork.settings import load_given
from pullwork.testing.parts import Rest, Surroundings, WorkerOrder
from pullwork_worker.config import WorkerSettings
from pullwork_worker.executors.invoke import AnyTask
from pullwork_worker.executors.work import Work
from pullwork_worker.loading import Abilities, load_abilities
from pullwork_worker.machine import Machine
from pullwork_worker.machine.instructions import Exit, Instruction
from pullwork_worker.machine.link import Phase
from pullwork_worker.machine.ticket import Kind, State
from pullwork_worker.main import equip, make_machine
from pullwork_worker.runner import WorkerRunner

# What is due and does not get done within this real time is not waited for any longer.
_PATIENCE_S: Final = 5.0
# The stream is heard once in an interval; a clock that is moved in strides makes that later.
_TICKS_LATE_MAX: Final = 2
_MAIN_MODULES: Final = frozenset({"__main__", "__mp_main__"})


class ClusterRunner(WorkerRunner):
    """A runner that counts what it meets, and can be struck dumb."""

    def __init__(self, machine: Machine, stirred: Callable[[], None]) -> None:
        super().__init__(machine)
        self.stimuli = 0
        self.silent = False
        self._stirred = stirred

    def carry_out(self, instructions: list[Instruction]) -> None:
        """Carries instructions out, unless nobody is to hear of them."""
        if self.silent:
            return
        self.stimuli += 1
        super().carry_out(instructions)
        self._stirred()

    def crash(self, error: BaseException) -> None:
        """Ends the worker because of a bug; one that is dead already has none."""
        if not self.silent:
            super().crash(error)


@dataclass(frozen=True, slots=True)
class ThreadAbilities(Abilities):
    """Abilities whose `def` functions run in threads."""

    def kinds(self) -> dict[str, Kind]:
        """Returns which executor runs each type."""
        # Named, as a class with slots is made anew and `super()` would mean the first.
        return {
            type: Kind.THREAD if kind is Kind.CHILD else kind
            for type, kind in Abilities.kinds(self).items()
        }


class ClusterWorker:
    """A worker that can be killed; see `pullwork.testing.parts.WorkerPart`."""

    def __init__(self, order: WorkerOrder, around: Surroundings) -> None:
        self._around = around
        modules = tuple(dict.fromkeys([*order.modules, *map(_module_of, order.tasks)]))
        flags = {"name": order.name, "address": order.address, "tasks": list(modules)}
        self._settings = load_given(WorkerSettings, dict(order.settings) | flags)
        self._abilities = _abilities(order, self._settings)
        self.over = ""
        self._stirred = asyncio.Event()
        self._runner = ClusterRunner(make_machine(self._settings, self._abilities), self._stir)
        self._life: asyncio.Task[Exit]
        # When each attempt was first seen running, in real time.
        self._seen_at: dict[str, float] = {}

    def _stir(self) -> None:
        self._stirred.set()
        self._around.stirred()

    @property
    def session_id(self) -> str:
        """Its session with the master."""
        return self._runner.machine.link.session_id

    async def start(self) -> None:
        """Begins, and returns once it and its child processes can work, or it is over."""
        equip(self._runner, self._settings, self._abilities)
        self._life = asyncio.create_task(self._runner.run(), name=self._settings.name)
        self._life.add_done_callback(self._ended)
        machine = self._runner.machine
        while not self._life.done() and (self._boots() or machine.link.phase is not Phase.IN):
            self._stirred.clear()
            await self._stirred.wait()

    def _ended(self, life: asyncio.Task[Exit]) -> None:
        if not life.cancelled() and not self._runner.silent:
            error = life.exception()
            self.over = repr(error) if error is not None else life.result().reason
        self._stir()

    def _boots(self) -> bool:
        """Whether child processes are starting."""
        return any(not slot.ready for slot in self._runner.machine.desk.lanes.slots)

    # --- being at rest

    async def rest(self, patience_s: float) -> Rest:
        """Waits until nothing is due and no answer is outstanding that comes at once."""
        gives_up_at = time.monotonic() + _PATIENCE_S
        while (wait_s := self._restless_s(patience_s)) and time.monotonic() < gives_up_at:
            self._stirred.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._stirred.wait()
            except TimeoutError:
                continue
        link = self._runner.machine.link
        asks = link.request is not None and link.request_again_at is None
        return Rest(link.session_id, asks, self._runner.stimuli)

    def _restless_s(self, patience_s: float) -> float:
        """Returns after how long to look again if nothing happens; 0: it is at rest."""
        if self._life.done():
            return 0
        machine, now = self._runner.machine, self._runner.now()
        link, due_at = machine.link, machine.next_at()
        reports = link.report is not None and link.report_again_at is None
        calls = reports or link.heartbeat is not None or link.phase is Phase.REGISTERING
        listens = link.phase is Phase.IN and link.reopen_at is None
        deaf = listens and now > link.event_at + _TICKS_LATE_MAX * link.interval_s
        if calls or deaf or self._boots() or (due_at is not None and due_at <= now):
            return _PATIENCE_S
        return self._young_s(patience_s)

    def _young_s(self, patience_s: float) -> float:
        """Returns how much longer the functions that began a moment ago may take to end."""
        now = time.monotonic()
        running = [
            ticket.token
            for ticket in self._runner.machine.desk.held.values()
            if ticket.state in (State.RUNNING, State.STOPPING)
        ]
        self._seen_at = {token: self._seen_at.get(token, now) for token in running}
        left_s = [patience_s - (now - seen_at) for seen_at in self._seen_at.values()]
        return max(0.0, max(left_s, default=0.0))

    async def runs(self, task_id: str) -> bool:
        """Tells whether an attempt of a task runs here."""
        return any(
            ticket.state is State.RUNNING and cast(Work, ticket.work).task_id == task_id
            for ticket in self._runner.machine.desk.held.values()
        )

    # --- ending

    def silence(self) -> None:
        """Lets nothing be told any more: what is said next is said by the dying."""
        self._runner.silent = True

    async def perish(self) -> None:
        """Breaks the connection, then drops what runs; child processes are killed."""
        self.silence()
        await self._runner.disconnect()
        self._life.cancel()
        await asyncio.wait({self._life})

    async def leave(self) -> None:
        """Takes no more work, finishes what runs, and leaves."""
        self._life.remove_done_callback(self._ended)
        self._runner.drain("SIGTERM")
        await asyncio.wait({self._life})


def _module_of(task: AnyTask) -> str:
    """Returns the module by which a child process imports a task's function."""
    module = task.fn.__module__
    if module not in _MAIN_MODULES:
        return module
    main = sys.modules[module]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    return spec.name if spec is not None else Path(file).stem if file else module


def _abilities(order: WorkerOrder, settings: WorkerSettings) -> Abilities:
    abilities = Abilities()
    if order.modules or settings.commands or not order.tasks:
        of_modules = settings.model_copy(update={"tasks": list(order.modules)})
        abilities = load_abilities(of_modules)
    known = abilities.tasks
    _add(known, order.tasks)
    return ThreadAbilities(known, abilities.commands) if order.def_in_threads else abilities


def _add(known: dict[str, AnyTask], tasks: Sequence[AnyTask]) -> None:
    for task in tasks:
        other = known.setdefault(task.type, task)
        if other is not task:
            raise SettingsError(f"the type {task.type!r} is there twice: {other!r} and {task!r}")
        task.codec.prepare()
