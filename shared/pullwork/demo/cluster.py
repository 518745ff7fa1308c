"""The demo's processes: a master and workers, started for real, killed on purpose, all stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pullwork.demo.tasks import NAME_VARIABLE
from pullwork.errors import PullworkError

READY_S: Final = 20.0
STOP_S: Final = 5.0
LOOK_S: Final = 0.02
LOG_LINES: Final = 15


class DemoError(PullworkError):
    """The demo can't go on; the message says why and what the process at fault last logged."""

    reason = "DEMO"


@dataclass
class Member:
    """One process of the demo."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    killed: bool = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def last_words(self) -> str:
        """Returns the end of its log."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-LOG_LINES:])

    def kill(self) -> None:
        """Kills it as a crash would: at once, and with no word to anybody."""
        self.killed = True
        self.process.kill()


class Cluster:
    """A master with its data folder, and workers; `async with` stops all of them."""

    def __init__(self, folder: Path, slots: int) -> None:
        self.workers: list[Member] = []
        self.address = ""
        self._folder = folder
        self._slots = slots
        self._master: Member | None = None
        self._everybody: list[Member] = []

    @property
    def master(self) -> Member:
        """The running master."""
        assert self._master is not None, "the master is not started"
        return self._master

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.shield(self.stop())

    async def start_master(self) -> None:
        """Starts the master, or starts it again on the same folder and port; waits until it
        serves."""
        ready = self._folder / "ready"
        ready.unlink(missing_ok=True)
        self._master = await self._start(
            "master",
            "pullwork_master",
            *("--listen", self.address or "127.0.0.1:0"),
            *("--data", str(self._folder / "data"), "--ready-file", str(ready)),
        )
        ends = time.monotonic() + READY_S
        while not ready.exists():
            self.check(self._master)
            if time.monotonic() > ends:
                raise DemoError(f"the master did not serve within {READY_S:g} s")
            await asyncio.sleep(LOOK_S)
        self.address = ready.read_text().strip()

    async def start_worker(self, name: str) -> Member:
        """Starts a worker process; it registers by itself."""
        worker = await self._start(
            name,
            "pullwork_worker",
            *("--tasks", "pullwork.demo.tasks", "--queue", "demo", "--slots", str(self._slots)),
            environ={"PULLWORK_ADDRESS": self.address, NAME_VARIABLE: name},
        )
        self.workers.append(worker)
        return worker

    def check(self, member: Member) -> None:
        """Raises DemoError if a process ended that should run."""
        if member.process.returncode is not None and not member.killed:
            raise DemoError(
                f"{member.name} ended by itself with {member.process.returncode}; it last said:\n"
                f"{member.last_words()}"
            )

    async def stop(self) -> None:
        """Asks all processes to stop, workers first, and kills what does not in time."""
        for member in reversed(self._everybody):
            with contextlib.suppress(ProcessLookupError):
                member.process.terminate()
        waits = [asyncio.create_task(member.process.wait()) for member in self._everybody]
        try:
            if waits:
                await asyncio.wait(waits, timeout=STOP_S)
        finally:
            # Also when a second Ctrl-C breaks the wait off. The group, because what a killed
            # worker left behind must not outlive the demo.
            for member in self._everybody:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(member.pid, signal.SIGKILL)
        if waits:
            await asyncio.wait(waits)

    async def _start(
        self, name: str, module: str, *arguments: str, environ: dict[str, str] | None = None
    ) -> Member:
        log = self._folder / f"{name}.log"
        inherited = {key: it for key, it in os.environ.items() if not key.startswith("PULLWORK_")}
        with log.open("ab") as out:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *arguments),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=asyncio.subprocess.STDOUT,
                env={**inherited, **(environ or {})},
                # Ctrl-C reaches only the demo, which then stops them in order.
                start_new_session=True,
                cwd=self._folder,
            )
        member = Member(name, process, log)
        self._everybody.append(member)
        return member
