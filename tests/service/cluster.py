"""Masters and workers as real processes of the installed package, and ways to hurt them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 30.0
# Settings by which silence is noticed in seconds; a busy machine may break them by itself, so
# only tests of silence use them.
IMPATIENT = {"HEARTBEAT": "0.5", "GRACE": "0.5", "SILENCE_GRACE": "1.5"}


class Process:
    """One process with its output in a file. Ended at the latest by `Cluster.close`."""

    def __init__(self, name: str, arguments: list[str], env: dict[str, str], folder: Path) -> None:
        self.name = name
        self.output = folder / f"{name}.log"
        self._command = [sys.executable, "-m", *arguments]
        self._env = env
        self._cwd = folder
        self._popen: subprocess.Popen[bytes]

    def start(self) -> None:
        """Starts it, or starts it again; its output goes on in the same file."""
        with self.output.open("ab") as output:
            self._popen = subprocess.Popen(
                self._command,
                env=self._env,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # In a group of its own: what it started is ended with it.
                start_new_session=True,
            )

    def listens_at(self, asked: str, got: str) -> None:
        """Has its next start listen where it listens now."""
        self._command = [got if it == asked else it for it in self._command]

    def preceded_by(self, *words: str) -> None:
        """Has its next start run under another program, e.g. `ip netns exec NAME`."""
        self._command = [*words, *self._command]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def said(self) -> str:
        """Returns all that it wrote."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def terminate(self) -> None:
        """Asks it to stop, as an operator or an orchestrator does."""
        self._popen.send_signal(signal.SIGTERM)

    def freeze(self) -> None:
        """Stops it in its tracks; the kernel keeps its connections open."""
        self._popen.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._popen.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kills it, and only it, without a word."""
        self._popen.kill()
        self._popen.wait(PATIENCE_S)

    def end(self) -> None:
        """Kills it and all that it started, so that a test leaves nothing behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait(PATIENCE_S)

    async def ended(self) -> int:
        """Waits until it ended by itself and returns its exit code."""
        await until(lambda: not self.running, f"{self.name} ends")
        return self._popen.returncode


class Cluster:
    """Starts processes that find each other, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        # What each process that is started from now on finds in its environment, too.
        self.env: dict[str, str] = {}
        self._processes: list[Process] = []
        self.address = ""

    async def master(
        self,
        *flags: str,
        name: str = "master",
        listen: str = "127.0.0.1:0",
        impatient: bool = False,
    ) -> Process:
        """Starts a master and waits until it serves; a restart of it keeps its address."""
        master = self.started_master(*flags, name=name, listen=listen, impatient=impatient)
        self.address = await self.ready(master)
        master.listens_at(listen, self.address)
        return master

    def started_master(
        self,
        *flags: str,
        name: str,
        listen: str,
        data: Path | None = None,
        impatient: bool = False,
    ) -> Process:
        """Starts a master and does not wait for anything."""
        about = ["--listen", listen, "--data", str(data or self.data)]
        about += ["--ready-file", str(self.folder / f"{name}.ready")]
        env = {f"PULLWORK_MASTER_{key}": value for key, value in IMPATIENT.items() if impatient}
        return self._start(name, ["pullwork_master", *about, *flags], env)

    async def ready(self, master: Process) -> str:
        """Waits until a started master serves and returns its address."""
        ready_file = self.folder / f"{master.name}.ready"
        await until(
            lambda: ready_file.exists() or not master.running,
            f"{master.name} serves",
        )
        assert master.running, master.said()
        return ready_file.read_text().strip()

    async def restart(self, master: Process) -> None:
        """Starts a dead master again, at the address that it had."""
        (self.folder / f"{master.name}.ready").unlink()
        master.start()
        await self.ready(master)

    def worker(self, name: str, *flags: str, slots: int = 2, tasks: str = "jobs") -> Process:
        """Starts a worker, which finds its master by itself, sooner or later."""
        about = ["--tasks", tasks, "--name", name, "--slots", str(slots)]
        env = {"PULLWORK_ADDRESS": self.address}
        return self._start(name, ["pullwork_worker", *about, *flags], env)

    def program(self, name: str, module: str, *flags: str) -> Process:
        """Starts another program, which finds the master by its variable."""
        return self._start(name, [module, *flags], {"PULLWORK_ADDRESS": self.address})

    def _start(self, name: str, arguments: list[str], more_env: dict[str, str]) -> Process:
        env = {key: value for key, value in os.environ.items() if not key.startswith("PULLWORK_")}
        env |= {"PYTHONPATH": str(Path(__file__).parent), "PYTHONUNBUFFERED": "1"}
        env |= self.env | more_env
        process = Process(name, arguments, env, self.folder)
        process.start()
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Ends everything that was started."""
        for process in self._processes:
            process.end()

    def story(self) -> str:
        """Returns what everybody said, for a test that failed."""
        names = dict.fromkeys(process.name for process in self._processes)
        return "\n".join(
            f"--- {name}\n{(self.folder / f'{name}.log').read_text(errors='replace')[-6000:]}"
            for name in names
        )


async def until(
    true: Callable[[], T | Awaitable[T]], what: str, patience_s: float = PATIENCE_S
) -> T:
    """Looks again and again until a condition holds, and returns what it gave."""
    deadline = time.monotonic() + patience_s
    while True:
        seen = true()
        if isinstance(seen, Awaitable):
            seen = await seen
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"{patience_s:g} s passed, and still not: {what}")
        await asyncio.sleep(0.02)
