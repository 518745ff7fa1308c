"""Gearman's client, and its worker: `python -m bench.peers.gearman_app [worker]`."""

from __future__ import annotations

import os
import sys
from typing import Final

from bench.peers import gearman_wire as wire
from bench.peers.side import Side, number_in, serve

PORT: Final = int(os.environ["BENCH_URL"])
# In flight at once, and sent together.
WINDOW: Final = 1000
TOGETHER: Final = 100


class Gearman(Side):
    """A client that sends jobs together and gets their results as they come."""

    def __init__(self) -> None:
        self._connection = wire.Connection(PORT)
        self._results: dict[bytes, int] = {}
        self._created: list[bytes] = []

    def submit(self, text: str) -> bytes:
        """Submits one job and waits for its handle."""
        before = len(self._created)
        self._connection.send(wire.packet(wire.SUBMIT_JOB, wire.FUNCTION, b"", text.encode()))
        while len(self._created) == before:
            self._receive()
        return self._created[-1]

    def result(self, handle: bytes) -> int:
        """Waits for the result of a job."""
        while handle not in self._results:
            self._receive()
        return self._results.pop(handle)

    def many(self, texts: list[str]) -> list[int]:
        """Keeps jobs in flight until all have their results."""
        self._created.clear()
        self._results.clear()
        sent = 0
        while len(self._results) < len(texts):
            while sent < len(texts) and sent - len(self._results) <= WINDOW - TOGETHER:
                part = texts[sent : sent + TOGETHER]
                self._connection.send(
                    b"".join(
                        wire.packet(wire.SUBMIT_JOB, wire.FUNCTION, b"", text.encode())
                        for text in part
                    )
                )
                sent += len(part)
            self._receive()
        return [self._results[handle] for handle in self._created]

    def _receive(self) -> None:
        for kind, body in self._connection.received():
            if kind == wire.JOB_CREATED:
                self._created.append(body)
            elif kind == wire.WORK_COMPLETE:
                handle, _, result = body.partition(b"\0")
                self._results[handle] = int(result)


def work() -> None:
    """Does jobs until it is ended; each result travels with the wish for the next job."""
    connection = wire.Connection(PORT)
    grab = wire.packet(wire.GRAB_JOB)
    connection.send(wire.packet(wire.CAN_DO, wire.FUNCTION) + grab)
    while True:
        for kind, body in connection.received():
            if kind == wire.JOB_ASSIGN:
                handle, _, text = body.split(b"\0", 2)
                result = number_in(text.decode())
                connection.send(wire.packet(wire.WORK_COMPLETE, handle, b"%d" % result) + grab)
            elif kind == wire.NO_JOB:
                connection.send(wire.packet(wire.PRE_SLEEP))
            elif kind == wire.NOOP:
                connection.send(grab)


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        work()
    else:
        serve(Gearman())
