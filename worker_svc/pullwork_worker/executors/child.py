"""The child process: runs attempts one after the other, as they come through its socket.

Started as `python -m pullwork_worker.executors.child DATA CLAIMS CONTROL` with three inherited
sockets. Before each attempt it takes one claim, a byte that the worker can take back, so
that for each attempt it is certain on both sides whether it began. Its reply leaves before the
next attempt begins. It imports no gRPC, and nothing that it does not need: an attempt that
follows a death waits for a new child to start.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from pullwork.context import TaskContext
from pullwork.log import setup_in_child
from pullwork.tasks import collect
from pullwork.telemetry import Telemetry
from pullwork_worker.executors import frames
from pullwork_worker.executors.invoke import AnyTask, call, context_of, failure_of
from pullwork_worker.executors.tracing import AttemptTracing, start_in_child, tracing_of
from pullwork_worker.executors.work import Work
from pullwork_worker.outcome import Blame, Failure, Outcome, Success

_PR_SET_PDEATHSIG: Final = 1
_CHUNK: Final = 256 * 1024
# The address space that gRPC's threads reserve to export traces; of it they use a tenth.
_TRACING_BYTES: Final = 640 * 1024 * 1024


class Control:
    """What the worker says beside the work: which attempt is to end, which were taken back."""

    def __init__(self, control: socket.socket) -> None:
        self._socket = control
        self._rest = b""
        self._cancelled: set[int] = set()
        self.revoked: set[int] = set()

    def read(self) -> None:
        """Takes in what has arrived, without waiting."""
        try:
            data = self._rest + self._socket.recv(_CHUNK, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        whole = len(data) - len(data) % frames.CONTROL.size
        self._rest = data[whole:]
        for letter, seq in frames.CONTROL.iter_unpack(data[:whole]):
            (self._cancelled if letter == frames.CANCEL else self.revoked).add(seq)

    def cancelled(self, seq: int) -> bool:
        """Returns whether an attempt is to end."""
        self.read()
        return seq in self._cancelled

    def over(self, seq: int) -> None:
        """Forgets an attempt."""
        self._cancelled.discard(seq)


class PipeChannel:
    """A running attempt's way to the worker."""

    def __init__(self, seq: int, data: socket.socket, control: Control) -> None:
        self._seq = seq
        self._data = data
        self._control = control

    def tell(self, fraction: float | None, message: str | None, checkpoint: bytes | None) -> None:
        """Passes on what the task says of itself."""
        self._data.sendall(frames.pack((frames.NOTE, self._seq, fraction, message, checkpoint)))

    def cancelled(self) -> bool:
        """Returns whether the task is to end."""
        return self._control.cancelled(self._seq)


class Child:
    """The loop of a child process."""

    def __init__(self, data: socket.socket, claims: socket.socket, control: socket.socket) -> None:
        self._data = data
        self._claims = claims
        self._control = Control(control)
        self._incoming = self._frames()
        self._has_claim = False
        self._tasks: dict[str, AnyTask] = {}
        self._telemetry: Telemetry | None = None
        self._tracing: AttemptTracing | None = None

    def run(self) -> int:
        """Sets up, then works until the worker closes the socket; returns the exit code."""
        setup = next(self._incoming, None)
        if setup is None:
            return 0
        path, modules, memory_limit, parent, traced_as = setup
        die_with(parent)
        sys.path[:] = path
        try:
            if traced_as:
                self._trace(traced_as)
            for name in modules:
                self._tasks |= collect(importlib.import_module(name))
        except BaseException as error:  # whatever it is, the worker has to hear of it
            failure = failure_of(error)
            self._reply((frames.BOOT_FAILED, failure.type, failure.message, failure.details))
            return 1
        if memory_limit and self._tracing is not None:
            memory_limit += _TRACING_BYTES
        if memory_limit:
            resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))
        self._reply((frames.READY,))
        for attempts in self._incoming:
            for seq, *work in attempts:
                if self._claim(seq) and not self._attempt(seq, Work._make(work)):
                    return 0
        return 0

    def _trace(self, worker: str) -> None:
        self._telemetry = start_in_child(worker)
        self._tracing = tracing_of(self._telemetry, worker)
        setup_in_child(worker)

    def close(self) -> None:
        """Sends the traces that are not sent yet."""
        if self._telemetry is not None:
            self._telemetry.close()

    def _claim(self, seq: int) -> bool:
        """Takes the claim for an attempt; False if the worker took the attempt back."""
        if not self._has_claim:
            if seq in self._control.revoked:
                self._control.revoked.discard(seq)
                return False
            claim = self._claims.recv(1)
            if not claim:
                raise SystemExit(0)
            if claim == frames.CLAIM_FRESH:
                self._control.read()
        self._has_claim = seq in self._control.revoked
        self._control.revoked.discard(seq)
        return not self._has_claim

    def _attempt(self, seq: int, work: Work) -> bool:
        """Runs one attempt and replies; False if this process should not go on after it."""
        started = time.perf_counter()
        out_of_memory = False
        outcome: Outcome
        try:
            make_context = partial(self._context, seq, work)
            if self._tracing is None:
                outcome = call(self._tasks[work.type], work, make_context)
            else:
                run = partial(call, self._tasks[work.type], work, make_context)
                outcome = self._tracing.run(work, run)
        except MemoryError:
            out_of_memory = True
        # Outside of the handler, so that what filled the memory is free again.
        if out_of_memory:
            outcome = Failure(
                Blame.APPLICATION,
                "builtins.MemoryError",
                "the attempt needed more memory than its process may have",
            )
        self._control.over(seq)
        run_s = time.perf_counter() - started
        if isinstance(outcome, Success):
            self._reply((frames.SUCCESS, seq, run_s, outcome.data, outcome.content_type))
        elif isinstance(outcome, Failure):
            blame = int(outcome.blame)
            words = (outcome.type, outcome.message, outcome.details)
            self._reply((frames.FAILURE, seq, run_s, blame, *words, outcome.retryable))
        # Memory that ran out once is full of holes, and other code may have met it half way.
        return not out_of_memory

    def _context(self, seq: int, work: Work) -> TaskContext:
        return context_of(work, PipeChannel(seq, self._data, self._control))

    def _reply(self, values: tuple[Any, ...]) -> None:
        self._data.sendall(frames.pack(values))

    def _frames(self) -> Iterator[tuple[Any, ...]]:
        cutter = frames.Frames()
        while data := self._data.recv(_CHUNK):
            yield from cutter.feed(data)


def die_with(parent: int) -> None:
    """Asks the kernel to kill this process when the worker dies (where the kernel can)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def main() -> int:
    """Runs the child over the sockets that were inherited."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sockets = [socket.socket(fileno=int(fd)) for fd in sys.argv[1:4]]
    for inherited in sockets:
        # A process that a task starts must not hold the worker's sockets.
        inherited.set_inheritable(False)
    child = Child(*sockets)
    try:
        return child.run()
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the worker is gone
    finally:
        child.close()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # No waiting for threads that tasks left behind.
    os._exit(code)
