"""One trial: a folder, its processes, a client, a load, and what is to be told about it all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cluster import Process

from fault_harness.checker import Account, Seen, check
from fault_harness.fleet import Fleet, Settings, Way
from fault_harness.history import End, History
from fault_harness.load import Load
from fault_harness.work import mark
from pullwork import Client
from pullwork.tasks import Call


@dataclass
class Row:
    """A line of the table."""

    fault: str
    law: str
    settings: str = ""
    times: int = 0
    account: Account | None = None
    # What recovery means stands in the fault's text; seconds.
    recoveries: list[float] = field(default_factory=list)
    bound_s: float | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: str = ""
    took_s: float = 0.0

    @property
    def held(self) -> bool:
        """Whether the law held."""
        return not self.problems


class Bench:
    """What a fault works on. Use it as `async with`; everything is ended afterwards."""

    def __init__(self, folder: Path, settings: Settings, row: Row, planted: str = "") -> None:
        self.folder: Final = folder
        self.settings: Final = settings
        self.row: Final = row
        self.fleet: Final = Fleet(folder, settings)
        self.history: Final = History(folder)
        self.master: Process
        self.client: Client
        self.workers: dict[str, Process] = {}
        self._loads: list[Load] = []
        self._numbers = 0
        row.settings = str(settings)
        if planted:
            self.fleet.ways["master"] = Way(module=f"fault_harness.planted {planted}")

    async def __aenter__(self) -> Bench:
        return self

    async def __aexit__(self, *_: object) -> None:
        for load in self._loads:
            await load.close()
        if hasattr(self, "client"):
            await self.client.__aexit__(None, None, None)
        self.fleet.close()
        self.history.close()

    # --- the system

    async def start_master(self, listen: str = "127.0.0.1:0", **env: str) -> None:
        """Starts the master, and a client of it."""
        way = self.fleet.ways.get("master", Way())
        self.fleet.ways["master"] = Way(way.prefix, way.env | env, way.module)
        self.master = await self.fleet.master(listen=listen)
        self.client = await Client(self.fleet.address, deadline=60).__aenter__()

    async def restart_master(self) -> None:
        """Starts the dead master again, where it was."""
        await self.fleet.restart(self.master)

    def start_worker(self, *, slots: int = 2, way: Way | None = None, address: str = "") -> Process:
        """Starts one more worker, under a name of its own."""
        self._numbers += 1
        name = f"worker-{self._numbers}"
        way = way or Way()
        if address:
            way = Way(way.prefix, way.env | {"PULLWORK_ADDRESS": address}, way.module)
        self.fleet.ways[name] = way
        worker = self.fleet.worker(name, slots=slots, tasks="fault_harness.work")
        self.workers[name] = worker
        return worker

    def load(
        self, call: Callable[[int], Call[str]] | None = None, *, in_flight: int = 1000
    ) -> Load:
        """Makes a load of this client."""
        load = Load(
            self.client,
            self.history,
            call or (lambda _: mark.with_args(0.0)),
            in_flight=in_flight,
        )
        self._loads.append(load)
        return load

    async def submit(self, call: Call[str], task_id: str, **options: int) -> None:
        """Submits one task, and writes it down."""
        self.history.attempted([task_id])
        if "max_worker_deaths" in options:
            deaths = options["max_worker_deaths"]
            await self.client.submit(call, task_id=task_id, max_worker_deaths=deaths)
        else:
            await self.client.submit(call, task_id=task_id)
        self.history.acknowledged([task_id])

    async def hear(self, task_id: str) -> End:
        """Waits for the end of one task, and writes it down."""
        end = End.of(await self.client.handle(task_id).wait(60))
        self.history.ended(end)
        return end

    # --- what is to be told

    def did(self, what: str) -> None:
        """Notes in the history that the fault came or went."""
        self.history.fault(self.row.fault, what)

    def recovered(self, since: float, at: float | None = None) -> float:
        """Takes note of one recovery; returns how long it took."""
        took_s = (time.monotonic() if at is None else at) - since
        self.row.recoveries.append(took_s)
        if self.row.bound_s is not None and took_s > self.row.bound_s:
            self.row.problems.append(f"took {took_s:.2f} s, more than {self.row.bound_s:g} s")
        return took_s

    def require(self, holds: bool, law: str) -> None:
        """Takes note of a law that does not hold."""
        if not holds:
            self.row.problems.append(law)

    def note(self, text: str) -> None:
        """Adds something measured to the row."""
        self.row.notes.append(text)

    async def judge(self, *, over: bool = True) -> Account:
        """Asks the master for all that it keeps of this client, and judges the history."""
        kept = [End.of(task) async for task in self.client.list(owner=self.client.owner)]
        account = check(Seen.read(self.history.path, kept), over=over)
        self.row.account = account
        self.row.problems.extend(account.problems[:20])
        more = len(account.problems) - 20
        if more > 0:
            self.row.problems.append(f"and {more} more like these")
        return account
