"""Keeps the instances of a node. To the worker's machine it is the executor of their tickets.

A ticket that ends takes nothing with it: it is let go of, and the program goes on. What is removed
is what the master names as unwanted, and what has ended once the master took its end.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from pullwork_worker.executors.work import Sink, Work
from pullwork_worker.machine.ticket import Blame, Failure, Released, Ticket
from pullwork_worker.services.instance import Claim, Instance, Phase
from pullwork_worker.services.order import InvalidOrderError, Order, order_of
from pullwork_worker.services.runner import EXITED, INVALID, Ending, Program, Runner, Scope

# What is being removed when the worker leaves gets this long.
_REMOVAL_S: Final = 5.0
# The first answer after a ticket was let go of may be to a report from before.
_ANSWERS: Final = 2
_TYPE_PREFIX: Final = "pullwork."

log = logging.getLogger("pullwork.worker")


@dataclass(slots=True)
class _KeptBack:
    """A ticket that was let go of while the worker drains, and how many answers came since."""

    slot: int
    token: str
    run_s: float
    answers: int = 0


class Keeper:
    """All instances of a node, by task; see `Executor`."""

    def __init__(self, runners: Sequence[Runner], sink: Sink, draining: Callable[[], bool]) -> None:
        self.runners = tuple(runners)
        self.draining = draining
        self._kept_back: dict[str, _KeptBack] = {}
        self.instances: dict[str, Instance] = {}
        # Set whenever there is something new to tell the master.
        self.changed = asyncio.Event()
        self.scope: Scope | None = None
        self._sink = sink
        self._keeping: list[asyncio.Task[None]] = []
        self._chores: set[asyncio.Task[None]] = set()
        self._leaving = False
        # How long `close` waits for those that were told to stop.
        self._stops_within_s = 0.0

    # Whose instances.

    def enter(self, scope: Scope) -> None:
        """Keeps the instances of a cluster and node from now on, and nobody else's."""
        if scope == self.scope:
            return
        if self.scope is not None:
            log.error(
                "another cluster answers at this address; what runs for the former one is left "
                "alone",
                extra={"former": self.scope.cluster, "now": scope.cluster},
            )
        former, self.instances = list(self.instances.values()), {}
        self.scope = scope
        self._chore(self._enter(scope, former))

    async def _enter(self, scope: Scope, former: Collection[Instance]) -> None:
        keeping, self._keeping = self._keeping, []
        for runner in self.runners:
            runner.looked.clear()
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, *(it.forsake() for it in former), return_exceptions=True)
        for runner in self.runners:
            task = asyncio.create_task(
                runner.keep(scope, partial(self._found, runner), self.changed.set),
                name=f"{runner.kind} runner",
            )
            task.add_done_callback(self._over)
            self._keeping.append(task)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._chores.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._leaving:
            self._sink.crash(error)

    def _found(self, runner: Runner, programs: Sequence[Program]) -> None:
        """Adopts what was there before this worker, ticket or not."""
        for program in programs:
            order = program.order
            if order.task_id not in self.instances:
                log.info("adopting an instance", extra=_facts(order))
                self._add(order, runner).begin(program)

    def _add(self, order: Order, runner: Runner) -> Instance:
        instance = Instance(order, runner, self.changed.set, self._ended)
        self.instances[order.task_id] = instance
        self.changed.set()
        return instance

    # The executor.

    def start(self, slot: int, tickets: Sequence[Ticket]) -> None:
        """Gives an instance its ticket; one that is not there is started."""
        (ticket,) = tickets
        work = cast(Work, ticket.work)
        instance = self.instances.get(work.task_id)
        if instance is None:
            try:
                order = order_of(work.task_id, work.payload)
                runner = self._runner(work.type, order)
            except InvalidOrderError as error:
                failure = _failure(Ending(INVALID, str(error)))
                self._sink.ended([(slot, work.token, failure, 0.0)])
                return
            log.info("starting an instance", extra=_facts(order))
            instance = self._add(order, runner)
            instance.begin()
        instance.claim = Claim(slot, work.token, time.monotonic())
        self.changed.set()
        if instance.ending is not None:
            self._tell_end(instance, instance.ending)

    def _runner(self, type: str, order: Order) -> Runner:
        fits = "container" if order.image else "process"
        if type != _TYPE_PREFIX + fits:
            raise InvalidOrderError(f"the type is {type}, but what is to be run is a {fits}")
        for runner in self.runners:
            if runner.kind == fits:
                return runner
        raise InvalidOrderError(f"this node does not run {type}: it needs --offer")

    def stop(self, slot: int, ticket: Ticket) -> None:
        """Lets go of a ticket; its program goes on."""
        work = cast(Work, ticket.work)
        instance = self.instances.get(work.task_id)
        run_s = 0.0
        claim = None if instance is None else instance.claim
        if instance is not None and claim is not None and claim.token == work.token:
            run_s = time.monotonic() - claim.since
            instance.claim = None
        self.changed.set()
        if self.draining() and instance is not None:
            # Its task may be cancelled: then the inventory says so, and it is to be stopped before
            # this worker, which has nothing else to do, leaves.
            self._kept_back[work.task_id] = _KeptBack(slot, work.token, run_s)
        else:
            self._sink.ended([(slot, work.token, Released(), run_s)])

    def kill(self, slot: int, ticket: Ticket) -> None:
        """Is never asked to: `stop` lets go at once."""

    def take_back(self, slot: int) -> list[str]:
        """Has nothing to take back: instances have no lanes."""
        return []

    async def at_rest(self) -> None:
        """Waits until what is being removed is gone, though not for long."""
        if self._chores:
            await asyncio.wait(self._chores, timeout=_REMOVAL_S)

    async def close(self) -> None:
        """Lets go of everything; programs go on, but those that are being removed."""
        self._leaving = True
        if self._stops_within_s and (stopping := self._running()):
            ends = [asyncio.create_task(it.over(), name="end of an instance") for it in stopping]
            await asyncio.wait(ends, timeout=self._stops_within_s)
        await self.at_rest()
        if running := self._running():
            log.warning(
                "leaving instances running; this node's worker finds them when it is started "
                "again, and the master decides whether they stay",
                extra={"instances": ", ".join(sorted(it.order.instance_id for it in running))},
            )
        tasks = [*self._keeping, *self._chores]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for instance in self.instances.values():
            await instance.forsake()
        for runner in self.runners:
            await runner.close()

    def _running(self) -> list[Instance]:
        return [it for it in self.instances.values() if it.ending is None]

    # What the master says.

    def settled(self, verdicts: Mapping[str, bool]) -> None:
        """Takes the verdicts on ends, by token: what was accepted needs to be kept no more."""
        for instance in list(self.instances.values()):
            claim = instance.claim
            if claim is None or instance.ending is None or claim.token not in verdicts:
                continue
            instance.claim = None
            if verdicts[claim.token]:
                self._chore(self._remove(instance))

    def unwanted(self, task_ids: Collection[str]) -> None:
        """Stops and removes instances that no task stands for."""
        for task_id, kept in list(self._kept_back.items()):
            kept.answers += 1
            instance = self.instances.get(task_id)
            if kept.answers >= _ANSWERS and (instance is None or not instance.unwanted):
                self._release(task_id)
        for task_id in task_ids:
            instance = self.instances.get(task_id)
            if instance is None or instance.unwanted:
                continue
            log.info("stopping an instance: it is not wanted", extra=_facts(instance.order))
            instance.unwanted = True
            # The master took it out of discovery when it ended its task.
            delay_s = instance.order.stop_delay_s
            instance.stop(EXITED, "it was not wanted any more", after_s=delay_s)
            if instance.ending is not None:
                self._chore(self._remove(instance))

    # What instances say.

    def _ended(self, instance: Instance, ending: Ending) -> None:
        self.changed.set()
        if self.instances.get(instance.order.task_id) is not instance:
            return
        if instance.phase is not Phase.STOPPING:
            facts = _facts(instance.order) | {"why": ending.message}
            log.warning("an instance ended", extra=facts)
        if instance.unwanted:
            self._chore(self._remove(instance))
        self._tell_end(instance, ending)

    def _tell_end(self, instance: Instance, ending: Ending) -> None:
        claim = instance.claim
        if claim is not None:
            run_s = time.monotonic() - claim.since
            self._sink.ended([(claim.slot, claim.token, _failure(ending), run_s)])

    async def _remove(self, instance: Instance) -> None:
        await instance.forsake()
        await instance.runner.remove(instance.order)
        if self.instances.get(instance.order.task_id) is instance:
            del self.instances[instance.order.task_id]
        self._release(instance.order.task_id)
        self.changed.set()

    def _release(self, task_id: str) -> None:
        kept = self._kept_back.pop(task_id, None)
        if kept is not None:
            self._sink.ended([(kept.slot, kept.token, Released(), kept.run_s)])

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="chore of the node")
        self._chores.add(task)
        task.add_done_callback(self._over)

    # Leaving for good.

    def stop_all(self, within_s: float) -> None:
        """Stops every instance; each end is reported as far as there is a ticket."""
        self._stops_within_s = within_s
        for instance in list(self.instances.values()):
            instance.stop(EXITED, "its worker was stopped")

    def wait_for_none(self) -> None:
        """Leaves also what was told to stop and has not ended yet."""
        self._stops_within_s = 0.0


def _failure(ending: Ending) -> Failure:
    """Says an end as the master reads it: the details are one JSON object."""
    details = {
        "code": ending.code,
        "started_at_ms": ending.started_ms,
        "ended_at_ms": ending.ended_ms,
        "log": ending.log,
    }
    return Failure(
        Blame.APPLICATION,
        ending.type,
        ending.message,
        json.dumps(details, ensure_ascii=False),
        retryable=False,
    )


def _facts(order: Order) -> dict[str, object]:
    return {"instance": order.instance_id, "task": order.task_id}
