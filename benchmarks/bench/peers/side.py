"""The client's side of a peer: what every peer's client does, and how it takes commands.

This and the modules that end in `_app` run in the peers' own virtual environment, so they
import nothing but the peer. Commands and answers are as in `bench.load`.
"""

from __future__ import annotations

import json
import sys
import time
from abc import ABC, abstractmethod
from typing import Any, Final

DIGITS: Final = 8
SIZE: Final = 100


class Side(ABC):
    """A client of a peer."""

    @abstractmethod
    def submit(self, text: str) -> Any:
        """Submits one task and returns by what its result is got."""

    @abstractmethod
    def result(self, handle: Any) -> int:
        """Waits for a result."""

    def many(self, texts: list[str]) -> list[int]:
        """Submits tasks, then waits for their results; as fast as the peer can."""
        return [self.result(handle) for handle in [self.submit(text) for text in texts]]


def text_of(number: int) -> str:
    """Returns what is sent as task `number`: a hundred bytes once packed as our own is."""
    return f"{number:0{DIGITS}}".ljust(SIZE - len('{"text":""}'), ".")


def number_in(text: str) -> int:
    """Does what every measured task does."""
    return int(text[:DIGITS])


def serve(side: Side) -> None:
    """Does commands until there are no more."""
    for line in sys.stdin:
        command = json.loads(line)
        texts = [text_of(number) for number in range(command["tasks"])]
        print(json.dumps(_do(side, command["do"], texts)), flush=True)


def _do(side: Side, what: str, texts: list[str]) -> dict[str, Any]:
    start = time.perf_counter()
    if what == "many":
        results = side.many(texts)
        seconds = time.perf_counter() - start
    elif what == "submit":
        handles = [side.submit(text) for text in texts]
        seconds = time.perf_counter() - start
        results = [side.result(handle) for handle in handles]
    else:
        took_ms, results = [], []
        for text in texts:
            start = time.perf_counter()
            results.append(side.result(side.submit(text)))
            took_ms.append((time.perf_counter() - start) * 1000)
        return {"took_ms": took_ms, "wrong": _wrong(results)}
    return {"seconds": seconds, "wrong": _wrong(results)}


def _wrong(results: list[int]) -> int:
    return sum(result != number for number, result in enumerate(results))
