"""The single writer: gathers commands, lets the core decide, commits, and only then speaks.

While one step is decided and stored the next batch gathers: that is the group commit, and it
needs no timer. What takes the processor runs on the event loop's thread: the core, and all
that storage does. The commit itself, too, as long as the disk is quick: the way to a thread and
back takes longer than that. Once it was slow, commits wait for it in a thread of their own for
a while, and the loop goes on. Nothing touches the storage meanwhile, so it needs no lock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from pullwork_master.core.commands import (
    Cancel,
    Command,
    DeleteService,
    DropQueue,
    PurgeStep,
    PutService,
    Report,
    Request,
    Retry,
    SetLimits,
    SetPaused,
    Submit,
    Unpark,
)
from pullwork_master.core.effects import Effects, SessionEnded
from pullwork_master.core.limits import Policy
from pullwork_master.core.machine import Core
from pullwork_master.core.model import Now
from pullwork_master.core.rejections import Reason, Rejection, shutting_down
from pullwork_master.storage.base import Storage, StorageFullError

log = logging.getLogger("pullwork.master")

# Commands in one step: bounds how long the loop is held, and what one commit can lose.
BATCH_MAX: Final = 512
# The engine looks at the clocks at least this often: it notices its own pauses by it.
LOOK_EVERY_S: Final = 1.0
# Below this much room nothing new is taken, so that what is under way can still end.
RESERVE_BYTES: Final = 64 * 1024 * 1024
# Below this much nothing at all is tried that must be stored: a commit that finds no room costs
# every worker its session.
LAST_BYTES: Final = 1024 * 1024
DISK_FULL_RETRY_MS: Final = 5_000
# A commit that held the loop for longer than this sends those of the next while to the thread: of
# a second, or of so many times what it took, so that a slow disk holds the loop a hundredth of it.
QUICK_COMMIT_MS: Final = 5
SLOW_DISK_MS: Final = 1_000
SLOW_TIMES: Final = 100

# What must be stored, and takes but little room.
_STORED: Final = (
    Cancel,
    DeleteService,
    DropQueue,
    PurgeStep,
    PutService,
    Report,
    Request,
    SetLimits,
    SetPaused,
    Submit,
)

T = TypeVar("T")
Clock = Callable[[], Now]
Listener = Callable[[Effects], None]


def system_clock() -> Now:
    """Reads both clocks."""
    return Now(time.monotonic_ns() // 1_000_000, time.time_ns() // 1_000_000)


class Engine:
    """Owns the core and its storage. `run` it as a task; `ask` from any coroutine."""

    def __init__(
        self,
        storage: Storage,
        policy: Policy,
        clock: Clock = system_clock,
        reserve_bytes: int = RESERVE_BYTES,
        quick_commit_ms: int = QUICK_COMMIT_MS,
    ) -> None:
        """`quick_commit_ms` below 0: all commits wait in the thread, whatever they take."""
        self._storage = storage
        self._policy = policy
        self._clock = clock
        self._reserve_bytes = reserve_bytes
        self._quick_commit_ms = quick_commit_ms
        self._slow_until_ms = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="storage")
        self._inbox: list[tuple[int, Command]] = []
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._calls = 0
        self._bell = asyncio.Event()
        self._stopping = False
        self._listeners: list[Listener] = []
        self.core: Core
        self.store_id = ""
        # Whose what runs on the nodes is.
        self.cluster_id = ""
        # How long the last commit took, and how late the loop last was, in seconds.
        self.commit_s = 0.0

    @property
    def term(self) -> int:
        """The master's epoch."""
        return self.core.book.term

    def now(self) -> Now:
        """Reads its clocks."""
        return self._clock()

    def listen(self, listener: Listener) -> None:
        """Has a function called with the effects of each step, after their commit."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Opens the storage and rebuilds the core from it.

        Errors: StorageError and its kinds.
        """
        opened = await self._in_thread(self._storage.open)
        self.store_id = opened.store_id
        self.cluster_id = opened.cluster_id
        self.core = Core(self._policy, opened, self._clock())
        log.info(
            "store opened",
            extra={
                "term": opened.term,
                "running": len(opened.running),
                "waiting": sum(gate.waiting for gate in self.core.book.gates.values()),
            },
        )

    async def ask(self, command: Command) -> Any:
        """Puts a command to the core and returns its answer, once it is committed.

        Errors: Rejection. A caller that is cancelled loses the answer, not the effect.
        """
        if self._stopping:
            raise shutting_down()
        self._check_room(command)
        self._calls += 1
        call = self._calls
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[call] = future
        self._inbox.append((call, command))
        self._bell.set()
        try:
            return await future
        except asyncio.CancelledError:
            self._waiting.pop(call, None)
            if isinstance(command, Request) and command.wait_ms:
                self.tell(Unpark(command.session, call))
            raise

    def tell(self, command: Command) -> None:
        """Puts a command to the core without waiting for its answer."""
        self._calls += 1
        self._inbox.append((self._calls, command))
        self._bell.set()

    async def look(self) -> None:
        """Returns once all that the clock says is due is decided; for whoever moves the clock."""
        await self.ask(Unpark("", 0))

    async def run(self) -> None:
        """Decides, commits and speaks until `stop`; raises if a commit fails."""
        try:
            while not (self._stopping and not self._inbox):
                await self._rest()
                await self._turn()
        finally:
            self._stopping = True
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(shutting_down())
            self._waiting.clear()

    def stop(self) -> None:
        """Takes no more commands; `run` returns when those that are in are decided."""
        self._stopping = True
        self._bell.set()

    async def close(self) -> None:
        """Releases the storage."""
        await self._in_thread(self._storage.close)
        self._thread.shutdown()

    async def _rest(self) -> None:
        """Sleeps until a command comes or a moment is due."""
        if self._inbox or self.core.hungry():
            await asyncio.sleep(0)  # a commit on this thread lets nobody else in
            return
        due_ms = self.core.due_in_ms(self._clock())
        wait_s = LOOK_EVERY_S if due_ms is None else min(LOOK_EVERY_S, due_ms / 1000)
        try:
            await asyncio.wait_for(self._bell.wait(), wait_s)
        except TimeoutError:
            return

    async def _turn(self) -> None:
        batch, self._inbox = self._inbox[:BATCH_MAX], self._inbox[BATCH_MAX:]
        if not self._inbox:
            self._bell.clear()
        wants = self.core.wants(batch)
        found = self._storage.find(wants) if wants else None
        effects = self.core.step(batch, self._clock(), wants, found)
        if effects.writes.sweep_before_ms and not self._has_room(LAST_BYTES):
            effects.writes.sweep_before_ms = 0  # to delete takes room in the log, too
            self.core.swept(0)
        if effects.writes:
            try:
                await self._commit(effects)
            except StorageFullError as error:
                await self._start_over(error)
                return
        self.core.settle()
        self._speak(effects)

    async def _commit(self, effects: Effects) -> None:
        started = time.perf_counter()
        # Here, not in the thread: a thread that does many small things with the interpreter's
        # lock let go in between waits for it each time, and takes five times as long.
        self._storage.stage(effects.writes)
        began_ms = self._clock().mono_ms
        if self._quick_commit_ms < 0 or began_ms < self._slow_until_ms:
            swept = await self._in_thread(self._storage.commit)
        else:
            swept = self._storage.commit()
            ended_ms = self._clock().mono_ms
            took_ms = ended_ms - began_ms
            if took_ms > self._quick_commit_ms:
                self._slow_until_ms = ended_ms + max(SLOW_DISK_MS, SLOW_TIMES * took_ms)
        self.commit_s = time.perf_counter() - started
        if effects.writes.sweep_before_ms:
            self.core.swept(swept)

    def _speak(self, effects: Effects) -> None:
        for event, facts in effects.notes:
            log.info(event, extra=facts)
        for call, answer in effects.answers:
            future = self._waiting.pop(call, None)
            if future is not None and not future.done():
                future.set_result(answer)
        for call, rejection in effects.refusals:
            future = self._waiting.pop(call, None)
            if future is not None and not future.done():
                future.set_exception(rejection)
        for listener in self._listeners:
            listener(effects)

    async def _start_over(self, error: StorageFullError) -> None:
        """Refuses all that waits when the disk has no room, and goes back to what is on it.

        The core had already decided what could not be stored, so it is built anew. Sessions
        are forgotten by that, as by a restart: workers register anew with what they hold.
        """
        log.error("the disk is full: nothing of this step was stored", extra={"why": str(error)})
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(_disk_full())
        self._waiting.clear()
        self._inbox.clear()
        former = self.core
        opened = await self._in_thread(self._storage.reload)
        self.core = Core(self._policy, opened, self._clock())
        self.core.follow(former)
        ended = SessionEnded("the master's disk was full")
        self._speak(Effects(news=[(session, ended) for session in former.book.sessions]))

    def _check_room(self, command: Command) -> None:
        if not self._has_room(needed_bytes(command, self._reserve_bytes)):
            raise _disk_full()

    def _has_room(self, wanted_bytes: int) -> bool:
        if not wanted_bytes:
            return True
        free_bytes = self._storage.free_bytes()
        return free_bytes is None or free_bytes >= wanted_bytes

    def _in_thread(self, work: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)


def needed_bytes(command: Command, reserve_bytes: int = RESERVE_BYTES) -> int:
    """Returns how much room the disk must have before a command is tried at all."""
    new_service = isinstance(command, PutService) and not command.expect_revision
    new_tasks = isinstance(command, Submit) and not command.keeps_up
    if new_service or new_tasks or isinstance(command, Retry):
        return reserve_bytes
    return min(reserve_bytes, LAST_BYTES) if isinstance(command, _STORED) else 0


def _disk_full() -> Rejection:
    return Rejection(
        Reason.DISK_FULL,
        "the disk of the master's data folder is full; nothing was stored; free some room on it",
        retry_after_ms=DISK_FULL_RETRY_MS,
    )
