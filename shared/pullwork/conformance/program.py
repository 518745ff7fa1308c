"""The worker program under test: a process in a group of its own, with its output kept."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_LAST_WORDS_CHARS: Final = 2_000
_LOOK_S: Final = 0.02


class NotFoundProgramError(Exception):
    """The command can't be started; the message names it and the reason."""


class Program:
    """One start of the command. `{address}` in its words becomes the master's address."""

    def __init__(self, command: Sequence[str], address: str, output: Path) -> None:
        words = [word.replace("{address}", address) for word in command]
        env = {name: value for name, value in os.environ.items() if name != "PULLWORK_ADDRESS"}
        self._output = output
        with output.open("wb") as to:
            try:
                self._popen = subprocess.Popen(
                    words,
                    env=env | {"PULLWORK_ADDRESS": address},
                    stdin=subprocess.DEVNULL,
                    stdout=to,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise NotFoundProgramError(f"can't start {words[0]!r}: {error}") from None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    def terminate(self) -> None:
        """Sends SIGTERM, as an operator or an orchestrator does."""
        self._popen.send_signal(signal.SIGTERM)

    async def ended(self, within_s: float) -> int | None:
        """Waits for its end and returns the exit code; None: it still runs."""
        for _ in range(round(within_s / _LOOK_S)):
            if self.exit_code is not None:
                break
            await asyncio.sleep(_LOOK_S)
        return self.exit_code

    def kill(self) -> None:
        """Ends it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def last_words(self) -> str:
        """Returns the end of what it wrote."""
        text = self._output.read_text(encoding="utf-8", errors="replace")
        return text[-_LAST_WORDS_CHARS:].strip()
