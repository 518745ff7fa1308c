"""Stands between a node's worker and the program of one instance, and outlives the worker.

Run as `python -I -S shim.py FOLDER`: it has the standard library and nothing else, so that it is
small. It starts the program that FOLDER/order.json says in a session of its own, keeps its output
in FOLDER/log.0 (and what came before in log.1), and writes to FOLDER/exit.json how it ended. As
long as it lives it holds a lock on FOLDER/lock: who can take that lock knows that it is gone,
whatever runs by now under its number.

SIGTERM ends the program: SIGTERM to its whole group, SIGKILL after the grace.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from io import FileIO
from typing import Any, Final

LOG_FILE_BYTES_MAX: Final = 8 * 1024 * 1024
LINE_BYTES_MAX: Final = 16 * 1024
# Whoever looks whether a shim lives holds its lock for an instant.
LOCK_TRIES: Final = 50
LOCK_PAUSE_S: Final = 0.02
# What a grandchild that left the group still writes is not waited for any longer.
DRAIN_S: Final = 0.5


def start_ticks(pid: int) -> int:
    """Returns when a process started, in the kernel's ticks since its boot; 0: it is not known."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def locked(folder: str) -> int | None:
    """Takes the lock of an instance's folder; None: its shim lives, and has it.

    Raises FileNotFoundError if there is no such folder.
    """
    file = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file


def write(folder: str, name: str, document: dict[str, Any]) -> None:
    """Writes a file whole, or not at all."""
    path = os.path.join(folder, name)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.replace(f"{path}.new", path)


def now_ms() -> int:
    """Returns the wall clock's time."""
    return time.time_ns() // 1_000_000


class Log:
    """The program's output: a line for each of its lines, with time and stream."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "log.0")
        self._older = os.path.join(folder, "log.1")
        self._file = _appending(self._path)
        self._size = self._file.tell()
        self._rest = {1: b"", 2: b""}

    def take(self, stream: int, data: bytes) -> None:
        """Takes what came on a stream; nothing means that the stream ended."""
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        if not data and rest:
            lines, rest = [rest], b""
        while len(rest) >= LINE_BYTES_MAX:
            lines.append(rest[:LINE_BYTES_MAX])
            rest = rest[LINE_BYTES_MAX:]
        self._rest[stream] = rest
        head = b"%d %d " % (now_ms(), stream)
        for line in lines:
            for at in range(0, len(line) or 1, LINE_BYTES_MAX):
                self._write(head + line[at : at + LINE_BYTES_MAX] + b"\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, line: bytes) -> None:
        # A full disk must not end a program that could go on without a log.
        with contextlib.suppress(OSError):
            if self._size + len(line) > LOG_FILE_BYTES_MAX:
                self._file.close()
                os.replace(self._path, self._older)
                self._file = _appending(self._path)
                self._size = 0
            self._size += self._file.write(line) or 0


def _appending(path: str) -> FileIO:
    return FileIO(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "ab")


class Keeper:
    """Runs one program to its end."""

    def __init__(self, folder: str, order: dict[str, Any]) -> None:
        self._folder = folder
        self._order = order
        self._log = Log(folder)
        self._kill_at = float("inf")
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_w, False)
        self.pid = 0

    def start(self) -> None:
        """Starts the program; raises OSError if it can't be."""
        pipes = [os.pipe() for _ in range(3)]
        self.pid = os.fork()
        if self.pid == 0:
            self._become(pipes)
        self._streams = {pipes[0][0]: 1, pipes[1][0]: 2}
        for _, end in pipes:
            os.close(end)
        failed = os.read(pipes[2][0], 16)
        os.close(pipes[2][0])
        if failed:
            os.waitpid(self.pid, 0)
            raise OSError(int(failed), os.strerror(int(failed)))

    def _become(self, pipes: list[tuple[int, int]]) -> None:
        code = errno.EINVAL
        try:
            os.setsid()
            os.dup2(pipes[0][1], 1)
            os.dup2(pipes[1][1], 2)
            # What is ignored here, by Python or by us, would stay so in the program.
            for number in (signal.SIGPIPE, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(self._order["cwd"])
            os.execvpe(self._order["argv"][0], self._order["argv"], self._order["env"])
        except OSError as error:
            code = error.errno or code
        finally:
            os.write(pipes[2][1], b"%d" % code)
            os._exit(127)

    def listen(self) -> None:
        """Hears of the program's end, and of the wish that it ends."""
        signal.set_wakeup_fd(self._wake_w)
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    def _end(self, *_: object) -> None:
        if self._kill_at == float("inf"):
            self._kill_at = time.monotonic() + self._order["stop_grace_s"]
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """Ends the program at once."""
        self._signal(signal.SIGKILL)

    def run(self) -> int:
        """Keeps the program's output until it ends; returns its exit code, 128 + n for signal n."""
        if self._kill_at < float("inf"):
            self._signal(signal.SIGTERM)  # the wish came before there was a program
        while not self._over():
            self._pump(max(0.0, self._kill_at - time.monotonic()))
            if time.monotonic() >= self._kill_at:
                self._signal(signal.SIGKILL)
                self._kill_at = time.monotonic() + 1.0
        # It is not reaped yet, so its number is still its own: what it left in its group ends.
        self._signal(signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        until = time.monotonic() + DRAIN_S
        while self._streams and (left := until - time.monotonic()) > 0:
            self._pump(left)
        for stream in (1, 2):
            self._log.take(stream, b"")
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _over(self) -> bool:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.pid, flags) is not None

    def _pump(self, wait_s: float) -> None:
        timeout = None if wait_s == float("inf") else wait_s
        ready, _, _ = select.select([self._wake_r, *self._streams], [], [], timeout)
        for file in ready:
            data = os.read(file, 65536)
            if file == self._wake_r:
                continue
            self._log.take(self._streams[file], data)
            if not data:
                del self._streams[file]
                os.close(file)


def keep(folder: str, tell: Callable[[dict[str, Any]], None]) -> None:
    """Runs the program of a folder to its end; tells once whether it began."""
    tries = 0
    while (lock := locked(folder)) is None and (tries := tries + 1) < LOCK_TRIES:
        time.sleep(LOCK_PAUSE_S)
    if lock is None:
        return tell({"problem": "another one runs it already"})
    try:
        with open(os.path.join(folder, "order.json"), encoding="utf-8") as file:
            keeper = Keeper(folder, json.load(file))
        keeper.listen()
        keeper.start()
    except OSError as error:
        return tell({"problem": error.strerror or str(error), "errno": error.errno})
    started = {
        "shim_pid": os.getpid(),
        "pid": keeper.pid,
        "pid_ticks": start_ticks(keeper.pid),
        "started_ms": now_ms(),
    }
    try:
        write(folder, "started.json", started)
    except OSError as error:
        # A program that nobody could find again must not run.
        keeper.kill()
        return tell({"problem": f"its folder can't be written: {error.strerror}"})
    tell(started)
    code = keeper.run()
    write(folder, "exit.json", {"code": code, "ended_ms": now_ms()})
    return None


def main(folder: str) -> None:
    """Goes to the background; prints there, in one line of JSON, whether the program began."""
    told_r, told_w = os.pipe()
    if os.fork():
        os.close(told_w)
        with open(told_r, "rb") as told:
            os.write(1, told.read())
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for file in (0, 1, 2):
        os.dup2(nothing, file)

    def tell(document: dict[str, Any]) -> None:
        os.write(told_w, json.dumps(document).encode())
        os.close(told_w)

    keep(folder, tell)


if __name__ == "__main__":
    main(sys.argv[1])
