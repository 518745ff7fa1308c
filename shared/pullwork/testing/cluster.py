"""A whole cluster in the test's own process: one real master, real workers, a real client.

It starts them, hurts them and moves their time; what they then do is theirs.
"""

from __future__ import annotations

import asyncio
import datetime
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from pullwork.client import Client
from pullwork.handle import Handle
from pullwork.task_info import Explanation
from pullwork.tasks import Task
from pullwork.testing.clock import Clock
from pullwork.testing.node_thread import NodeThread
from pullwork.testing.parts import (
    ClusterError,
    MasterOrder,
    MasterPart,
    Surroundings,
    WorkerOrder,
    find_master,
    find_worker,
)
from pullwork.testing.passing import Node, Passing

T = TypeVar("T")

NOTHING: Final[Mapping[str, object]] = {}
WAIT_S: Final = 30.0


class Cluster:
    """A master, workers and a client; use it as `async with Cluster(tasks=[…]) as cluster`.

    `tasks` are functions marked `@task`, `modules` modules of such. `workers` begin with it, each
    with `slots`. Functions written with `def` run in child processes, as they do in production;
    `def_in_threads` runs them in threads of this process, which start at once, share its
    memory, and can't be killed. `storage` "disk" is a folder that is deleted afterwards (or
    `data`, which is kept). `master` and `worker` are settings by their names, e.g.
    `master={"retention": "1h"}`. `patience` is for how much real time a function that has just
    begun holds up `advance`.
    """

    def __init__(
        self,
        *,
        tasks: Sequence[Task[..., Any]] = (),
        modules: Sequence[str | ModuleType] = (),
        workers: int = 1,
        slots: int = 2,
        queues: Sequence[str] = ("default",),
        def_in_threads: bool = False,
        storage: Literal["disk", "memory"] = "disk",
        data: Path | None = None,
        master: Mapping[str, object] = NOTHING,
        worker: Mapping[str, object] = NOTHING,
        patience: float = 0.2,
    ) -> None:
        self.client: Client
        self._tasks = tuple(tasks)
        self._modules = tuple(it if isinstance(it, str) else it.__name__ for it in modules)
        self._first_workers = workers
        self._slots = slots
        self._queues = tuple(queues)
        self._def_in_threads = def_in_threads
        self._storage = storage
        self._data = data
        self._master_settings = dict(master)
        self._worker_settings = dict(worker)
        self._patience_s = patience
        self._clock = Clock()
        self._nodes: dict[str, Node] = {}
        self._named = 0
        self._closing = AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pulse = asyncio.Event()
        self._master: MasterPart
        self._master_thread: NodeThread
        self._master_lives = False

    # --- beginning and end

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise ClusterError("a cluster is used once; make another one")
        self._loop = asyncio.get_running_loop()
        try:
            await self._start()
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._closing.aclose()
        if error is None:
            self._check_workers()

    async def _start(self) -> None:
        folder = self._data
        if folder is None and self._storage == "disk":
            made = tempfile.TemporaryDirectory(prefix="pullwork-testing-")
            self._closing.callback(made.cleanup)
            folder = Path(made.name) / "data"
        order = MasterOrder(folder, self._master_settings)
        self._master_thread = NodeThread("pullwork master", self._clock)
        self._closing.push_async_callback(self._master_thread.close)
        self._master = await self._master_thread.run(_made(find_master(), order, self._around()))
        await self.start_master()
        self._closing.push_async_callback(self.kill_master)
        self._closing.push_async_callback(self._kill_all)
        starting = [self.start_worker() for _ in range(self._first_workers)]
        for started in await asyncio.gather(*starting, return_exceptions=True):
            if isinstance(started, BaseException):
                raise started
        self.client = Client(self._master.address)
        await self._closing.enter_async_context(self.client)

    async def _kill_all(self) -> None:
        await asyncio.gather(*(self._end(node) for node in self._nodes.values()))

    def _around(self) -> Surroundings:
        return Surroundings(self._clock, self._stir)

    def _stir(self) -> None:
        """Wakes whoever waits for something to happen; called from the nodes' threads."""
        assert self._loop is not None
        if not self._pulse.is_set():
            self._loop.call_soon_threadsafe(self._pulse.set)

    # --- what there is

    @property
    def address(self) -> str:
        """Where the master listens, as `host:port`; a restart does not change it."""
        return self._master.address

    @property
    def workers(self) -> tuple[str, ...]:
        """The names of the workers started and neither killed nor stopped, in no order."""
        return tuple(self._nodes)

    def now(self) -> datetime.datetime:
        """Returns the cluster's time, in UTC: `advance` moved it away from the test's."""
        return self._clock.today()

    async def explain(self, task: Handle[Any] | str) -> Explanation:
        """Returns why a task is where it is, as the master says it."""
        return await self.client.explain(task if isinstance(task, str) else task.id)

    # --- the master

    async def kill_master(self) -> None:
        """Ends the master as SIGKILL does: whoever calls it, or waits for it, is cut off."""
        if self._master_lives:
            self._master_lives = False
            await self._master_thread.run(self._master.perish())

    async def start_master(self) -> None:
        """Starts the master, on what it stored and where it listened."""
        if self._master_lives:
            raise ClusterError("the master runs already; kill_master() ends it")
        await self._master_thread.run(self._master.start())
        self._master_lives = True

    async def restart_master(self) -> None:
        """Kills the master, starts it again, and waits until the workers came back."""
        await self.kill_master()
        await self.start_master()
        await self._until(self._all_listen, "the workers come back to the master", WAIT_S)

    async def _all_listen(self) -> bool:
        contacts = await self._master_thread.run(self._master.look())
        here = [node.part for node in self._nodes.values() if not node.thread.frozen]
        known = [contacts.get(part.session_id) for part in here]
        return all(contact is not None and contact.listening for contact in known)

    # --- workers

    async def start_worker(
        self,
        name: str = "",
        *,
        slots: int | None = None,
        queues: Sequence[str] = (),
        **more: object,
    ) -> str:
        """Starts another worker, waits until it is registered, and returns its name.

        `more` are settings of this worker alone, by their names.
        """
        self._check_workers()
        generated = not name
        while not name or (generated and name in self._nodes):
            self._named += 1
            name = f"worker-{self._named}"
        if name in self._nodes:
            raise ClusterError(f"there is a worker {name!r} already; choose another name")
        settings = self._worker_settings | {
            "slots": slots or self._slots,
            "queues": list(queues or self._queues),
        }
        order = WorkerOrder(
            name=name,
            address=self.address,
            tasks=self._tasks,
            modules=self._modules,
            def_in_threads=self._def_in_threads,
            settings=settings | more,
        )
        thread = NodeThread(f"pullwork {name}", self._clock)
        try:
            part = await thread.run(_made(find_worker(), order, self._around()))
        except BaseException:
            await thread.close()
            raise
        self._nodes[name] = Node(thread, part)
        await thread.run(part.start())
        self._check_workers()
        await self._until(self._all_listen, f"{name} listens to the master", WAIT_S)
        return name

    async def kill_worker(self, name: str) -> None:
        """Ends a worker as SIGKILL does: its connection breaks, and what it runs is dropped.

        Returns once the master knows that the connection broke; it takes the tasks back when its
        grace ends (1 s, if nothing else is set).
        """
        node = self._node(name)
        del self._nodes[name]
        session_id = node.part.session_id
        await self._end(node)

        async def noticed() -> bool:
            contacts = await self._master_thread.run(self._master.look())
            return session_id not in contacts or not contacts[session_id].listening

        if self._master_lives:
            await self._until(noticed, f"the master notices the death of {name}", WAIT_S)

    async def stop_worker(self, name: str) -> None:
        """Lets a worker finish what it runs and leave, as SIGTERM does."""
        node = self._node(name)
        if node.thread.frozen:
            raise ClusterError(f"{name} is frozen; thaw it first, or kill it")
        await node.thread.run(node.part.leave())
        del self._nodes[name]
        await node.thread.close()

    async def freeze(self, name: str) -> None:
        """Stops a worker in its tracks, its connections open, as a hung interpreter is.

        What runs in its child processes and threads goes on, but nobody is told.
        """
        await self._node(name).thread.freeze()

    async def thaw(self, name: str) -> None:
        """Lets a frozen worker go on; it finds out by itself what it missed."""
        self._node(name).thread.thaw()

    async def _end(self, node: Node) -> None:
        node.part.silence()
        node.thread.thaw()
        await node.thread.run(node.part.perish())
        await node.thread.close()

    def _node(self, name: str) -> Node:
        self._check_workers()
        if name not in self._nodes:
            there = ", ".join(self._nodes) or "none"
            raise ClusterError(f"there is no worker {name!r} in this cluster; there is: {there}")
        return self._nodes[name]

    def _check_workers(self) -> None:
        for name, node in self._nodes.items():
            if node.part.over:
                raise ClusterError(f"the worker {name!r} ended by itself: {node.part.over}")

    # --- time

    async def advance(self, seconds: float) -> None:
        """Moves the clocks of master and workers ahead, and has done what falls due on the way.

        Delays, backoffs, timeouts, graces, heartbeats and retention follow these clocks, and so
        does `asyncio.sleep` in tasks written with `async def`. Functions in processes and threads
        keep real time, and so does the test.
        """
        if seconds < 0:
            raise ClusterError("time can't be moved back")
        self._check_workers()
        if not self._master_lives:
            raise ClusterError("there is no master whose time could be moved; start_master() first")
        passing = Passing(
            self._clock, self._master_thread, self._master, self._nodes, self._patience_s
        )
        await passing.pass_by(seconds)
        self._check_workers()

    # --- waiting, in real time

    async def started(self, task: Handle[Any] | str, timeout: float = WAIT_S) -> str:  # noqa: ASYNC109
        """Waits until an attempt of a task runs, and returns the name of its worker."""
        task_id = task if isinstance(task, str) else task.id

        async def runs_at() -> str:
            for name, node in list(self._nodes.items()):
                if not node.thread.frozen and await node.thread.run(node.part.runs(task_id)):
                    return name
            return ""

        try:
            return await self._until(runs_at, f"task {task_id} runs", timeout)
        except TimeoutError as error:
            said = await self.explain(task_id)
            raise TimeoutError(f"{error}: {said.sentence}") from None

    async def settled(self, timeout: float = WAIT_S) -> None:  # noqa: ASYNC109
        """Waits until nothing goes on by itself: no task runs, and none waits for a free slot.

        Tasks may be left that wait for their time, for a worker that is not there, or in a paused
        queue. Raises TimeoutError, which says what still goes on.
        """
        going_on = ""

        async def quiet() -> bool:
            nonlocal going_on
            going_on = await self._master_thread.run(self._master.under_way())
            return not going_on

        try:
            await self._until(quiet, "the cluster is settled", timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {going_on}") from None

    async def _until(self, look: Callable[[], Awaitable[T]], what: str, timeout_s: float) -> T:
        """Looks whenever something happened, until what it sees is true."""
        ends_at = time.monotonic() + timeout_s
        while True:
            self._pulse.clear()
            if seen := await look():
                return seen
            self._check_workers()
            try:
                async with asyncio.timeout(ends_at - time.monotonic()):
                    await self._pulse.wait()
            except TimeoutError:
                raise TimeoutError(f"{timeout_s:g} s passed, and still not: {what}") from None


async def _made(make: Callable[..., T], *what: object) -> T:
    """Makes a part on the loop that it is to live on."""
    return make(*what)
