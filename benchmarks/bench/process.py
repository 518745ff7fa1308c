"""Processes that are measured: started with their output in a file, asked about their CPU time,
and ended at the latest with the whole benchmark.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psutil

PATIENCE_S: Final = 30.0
# What one command to a client may take before it counts as hung.
ANSWER_S: Final = 120.0


class BenchError(Exception):
    """A measurement that can't go on, with what the process at fault said."""


class Process:
    """One process, in a group of its own with all that it starts."""

    def __init__(
        self,
        name: str,
        command: list[str],
        folder: Path,
        env: Mapping[str, str] | None = None,
        *,
        talks: bool = False,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        kept = {key: it for key, it in os.environ.items() if not key.startswith("PULLWORK_")}
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=folder,
                env={**kept, **(env or {})},
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else log,
                stderr=log,
                start_new_session=True,
                user=user,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._popen.poll() is None

    def cpu_s(self) -> float:
        """Returns the CPU seconds that it and its children took until now."""
        top = psutil.Process(self.pid)
        total = 0.0
        for it in [top, *top.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = it.cpu_times()
                total += times.user + times.system
        return total

    def wait(self) -> int:
        """Waits until it ends by itself and returns its exit code."""
        return self._popen.wait(PATIENCE_S)

    def check(self) -> None:
        """Raises BenchError with its last words if it ended."""
        if not self.running:
            raise BenchError(
                f"{self.name} ended with code {self._popen.returncode}:\n{self.said()}"
            )

    def said(self) -> str:
        """Returns the end of what it wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-3000:]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Asks it to end, and kills what of its group is left."""
        if self.running:
            self._popen.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(10)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait(PATIENCE_S)
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()

    # --- for processes that take commands: a line of JSON in, a line of JSON out

    def tell(self, **command: Any) -> None:
        """Sends a command."""
        assert self._popen.stdin is not None
        self.check()
        self._popen.stdin.write(json.dumps(command).encode() + b"\n")
        self._popen.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Waits for the answer to a command; raises BenchError if none comes, or a wrong result."""
        assert self._popen.stdout is not None
        ready, _, _ = select.select([self._popen.stdout], [], [], ANSWER_S)
        if not ready:
            raise BenchError(f"{self.name} gave no answer in {ANSWER_S:g} s:\n{self.said()}")
        line = self._popen.stdout.readline()
        if not line:
            raise BenchError(f"{self.name} broke off:\n{self.said()}")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("wrong"):
            raise BenchError(f"{self.name}: {answer['wrong']} results are missing or wrong")
        return answer

    def ask(self, **command: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer."""
        self.tell(**command)
        return self.answer()


def end_politely() -> None:
    """Has SIGTERM end this program as an error would, so that all that it started ends too."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def wait_until(true: Callable[[], object], what: str, *processes: Process) -> None:
    """Looks again and again until a condition holds; raises BenchError if one of them ended."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        for process in processes:
            process.check()
        if time.monotonic() > deadline:
            said = "\n".join(process.said() for process in processes)
            raise BenchError(f"{PATIENCE_S:g} s passed, and still not: {what}\n{said}")
        time.sleep(0.01)
