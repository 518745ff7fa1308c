"""The client that is measured: `python -m bench.load ADDRESS`.

Takes commands as lines of JSON from stdin and answers each with a line: seconds, what else
was measured, and how many results are wrong. All time is taken here, where the user's is.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

from bench.work import in_coroutine, in_process, text_of
from pullwork import Client, Handle

KINDS: Final = {"coroutine": in_coroutine, "process": in_process}
Answer = dict[str, Any]


class Load:
    """Does what commands say, with one client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def map(self, tasks: int, kind: str = "coroutine", size: int = 100) -> Answer:
        """Spreads tasks with `client.map`, from the first submission to the last result."""
        task = KINDS[kind]
        items = [(number, text_of(number, size)) for number in range(tasks)]
        start = time.perf_counter()
        seen = [ended async for ended in self._client.map(task, (text for _, text in items))]
        seconds = time.perf_counter() - start
        right = {int(ended.item[:8]) for ended in seen if ended.result() == int(ended.item[:8])}
        return {"seconds": seconds, "wrong": tasks - len(right)}

    async def bulk(self, tasks: int, kind: str = "coroutine", size: int = 100) -> Answer:
        """Submits all with `client.submit_many`, then waits for each."""
        task = KINDS[kind]
        texts = [text_of(number, size) for number in range(tasks)]
        start = time.perf_counter()
        handles = await self._client.submit_many(task.with_args(text) for text in texts)
        submitted = time.perf_counter()
        results = [await handle.result() for handle in handles]
        seconds = time.perf_counter() - start
        return {
            "seconds": seconds,
            "submit_seconds": submitted - start,
            "wrong": _wrong(results),
        }

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
        return {"seconds": seconds, "wrong": _wrong(results)}


def _wrong(results: list[int]) -> int:
    return sum(result != number for number, result in enumerate(results))


async def _serve(address: str) -> None:
    loop = asyncio.get_running_loop()
    async with Client(address, deadline=60.0) as client:
        load = Load(client)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command: dict[str, Any] = json.loads(line)
            answer = await getattr(load, command.pop("do"))(**command)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
