"""The client that is measured: `python -m bench.load ADDRESS`.

Takes commands as lines of JSON from stdin and answers each with a line: seconds, what else
was measured, and how many results are wrong. All time is taken here, where the user's is.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any, Final

from bench.work import DIGITS, MANY, in_coroutine, in_process, sent_to_queue, text_of
from pullwork import Client, Handle

KINDS: Final = {"coroutine": in_coroutine, "process": in_process}
# How often a paced load submits what is due.
TICK_S: Final = 0.01
Answer = dict[str, Any]


class Load:
    """Does what commands say, with one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: list[Handle[int]] = []

    async def map(self, tasks: int, kind: str = "coroutine", size: int = 100) -> Answer:
        """Spreads tasks with `client.map`, from the first submission to the last result."""
        texts = [text_of(number, size) for number in range(tasks)]
        start = time.perf_counter()
        ends = self._client.map(KINDS[kind], texts)
        got = [(ended.item, ended.result()) async for ended in ends]
        seconds = time.perf_counter() - start
        right = {text for text, result in got if result == int(text[:DIGITS])}
        return {"seconds": seconds, "wrong": tasks - len(right)}

    async def spread(self, tasks: int, queues: Sequence[str] = (), types: int = 0) -> Answer:
        """Does the same over many queues, or many types, in turn."""
        chosen = [sent_to_queue(name) for name in queues] or MANY[:types]
        about = zip(cycle(chosen), range(tasks), strict=False)
        calls = [task.with_args(text_of(number, 100)) for task, number in about]
        start = time.perf_counter()
        results = [ended.result() async for ended in self._client.map_calls(calls)]
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "wrong": wrong(sorted(results))}

    async def bulk(self, tasks: int, kind: str = "coroutine", size: int = 100) -> Answer:
        """Submits all with `client.submit_many`, then waits for each."""
        texts = [text_of(number, size) for number in range(tasks)]
        start = time.perf_counter()
        handles = await self._client.submit_many(KINDS[kind].with_args(text) for text in texts)
        results = [await handle.result() for handle in handles]
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "wrong": wrong(results)}

    async def submit(self, tasks: int, coroutines: int) -> Answer:
        """Submits one task a call from many coroutines; only the submissions are timed."""
        numbers = iter(range(tasks))
        handles: dict[int, Handle[int]] = {}

        async def one_by_one() -> None:
            for number in numbers:
                call = in_coroutine.with_args(text_of(number, 100))
                handles[number] = await self._client.submit(call)

        start = time.perf_counter()
        await asyncio.gather(*(one_by_one() for _ in range(coroutines)))
        seconds = time.perf_counter() - start
        results = [await handles[number].result() for number in range(tasks)]
        return {"seconds": seconds, "wrong": wrong(results)}

    async def latency(self, tasks: int, kind: str = "coroutine", pause_s: float = 0.0) -> Answer:
        """Runs one task at a time, and tells the milliseconds of each."""
        took_ms: list[float] = []
        results: list[int] = []
        for number in range(tasks):
            call = KINDS[kind].with_args(text_of(number, 100))
            start = time.perf_counter()
            results.append(await self._client.run(call))
            took_ms.append((time.perf_counter() - start) * 1000)
            await asyncio.sleep(pause_s)
        return {"took_ms": took_ms, "wrong": wrong(results)}

    async def paced(self, rate: float, seconds: float) -> Answer:
        """Submits so many tasks a second, whatever becomes of them; waits for all at the end."""
        handles: list[Handle[int]] = []
        start = time.perf_counter()
        while (passed := time.perf_counter() - start) < seconds:
            due = range(len(handles), int(rate * passed))
            calls = [in_coroutine.with_args(text_of(number, 100)) for number in due]
            handles += await self._client.submit_many(calls)
            await asyncio.sleep(TICK_S)
        results = [await handle.result() for handle in handles]
        return {"rate": len(handles) / passed, "wrong": wrong(results)}

    async def fill(self, tasks: int, awaited: int) -> Answer:
        """Submits tasks that wait; the ends of the first will be asked for."""
        self._waiting.clear()
        for first in range(0, tasks, 10_000):
            numbers = range(first, min(first + 10_000, tasks))
            calls = [in_coroutine.with_args(text_of(number, 100)) for number in numbers]
            handles = await self._client.submit_many(calls)
            self._waiting += handles[: max(0, awaited - first)]
        return {"wrong": 0}

    async def drain(self, skipped: int) -> Answer:
        """Times how fast waiting tasks end, but for the first, while workers still start."""
        results = [await handle.result() for handle in self._waiting[:skipped]]
        start = time.perf_counter()
        results += [await handle.result() for handle in self._waiting[skipped:]]
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "wrong": wrong(results)}


def wrong(results: list[int]) -> int:
    """Counts the results that are not those of their tasks."""
    return sum(result != number for number, result in enumerate(results))


async def serve(address: str) -> None:
    """Does commands until there are no more."""
    loop = asyncio.get_running_loop()
    async with Client(address, deadline=60.0) as client:
        load = Load(client)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command: dict[str, Any] = json.loads(line)
            answer = await getattr(load, command.pop("do"))(**command)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
