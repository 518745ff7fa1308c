"""A cluster of containers under load, judged from outside as in tests/faults."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from cluster import until
from container_cluster import ContainerCluster, Node
from fault_harness.checker import Account, Seen, check
from fault_harness.history import End, History
from fault_harness.load import Load
from fault_harness.work import mark

from pullwork import Client
from pullwork.node_info import WorkerInfo, WorkerState

T = TypeVar("T")
PATIENCE_S = 60.0
TASK_S = 0.02


class Trial:
    """One master, two workers and a client that submits and hears, until `judge`."""

    def __init__(self, cluster: ContainerCluster) -> None:
        self.cluster = cluster
        self.workers: dict[str, Node] = {}
        self.master: Node
        self.client: Client
        self.load: Load
        self._history = History(cluster.folder)

    async def __aenter__(self) -> Trial:
        self.master = self.cluster.master()
        self.client = await Client(self.cluster.address, deadline=PATIENCE_S).__aenter__()
        self.load = Load(
            self.client, self._history, lambda _: mark.with_args(TASK_S), in_flight=200
        )
        for name in ("first-1", "first-2"):
            self.start_worker(name)
        await self.until_connected("first-1", "first-2")
        self.load.start()
        await self.load.until_ended(20)
        return self

    async def __aexit__(self, *_: object) -> None:
        if hasattr(self, "load"):
            await self.load.close()
        if hasattr(self, "client"):
            await self.client.__aexit__(None, None, None)
        self._history.close()

    def start_worker(self, name: str, image: str = "") -> Node:
        """Starts one more worker."""
        self.workers[name] = self.cluster.worker(name, image)
        return self.workers[name]

    async def until_connected(self, *names: str) -> float:
        """Waits until the master has these workers; returns how long that took."""
        began = time.monotonic()

        async def there() -> bool:
            return set(names) <= {worker.name for worker in await self.connected()}

        await until(there, f"{', '.join(names)} are connected", PATIENCE_S)
        return time.monotonic() - began

    async def until_gone(self, name: str) -> float:
        """Waits until the master counts on a worker no more; returns how long that took."""
        began = time.monotonic()

        async def gone() -> bool:
            return name not in {worker.name for worker in await self.client.workers()}

        await until(gone, f"{name} is given up", PATIENCE_S)
        return time.monotonic() - began

    async def connected(self) -> list[WorkerInfo]:
        """Returns the workers that the master is in contact with."""
        return await self.client.workers(state=WorkerState.CONNECTED)

    async def flows(self) -> float:
        """Waits until tasks are taken, and end, again; returns how long that took."""
        since = time.monotonic()
        return await self.load.until_flows(since) - since

    async def done_by(self, name: str) -> int:
        """Returns how many tasks ended at a worker."""
        count = 0
        async for task in self.client.list(owner=self.client.owner):
            count += task.worker == name and task.state == "SUCCEEDED"
        return count

    async def judge(self) -> Account:
        """Ends the load, and says what became of every task."""
        await self.load.finish()
        kept = [End.of(task) async for task in self.client.list(owner=self.client.owner)]
        account = check(Seen.read(self._history.path, kept))
        assert not account.problems, "\n".join(account.problems[:20])
        assert account.tasks > 0
        return account


async def elsewhere(act: Callable[[], T]) -> T:
    """Does what takes long in a thread, so that the client goes on meanwhile."""
    return await asyncio.to_thread(act)
