"""Celery on Redis, with the prefetch that its guide recommends for short tasks."""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.result import ResultSet

from bench.peers.side import Side, number_in, serve

URL = os.environ["BENCH_URL"]

app = Celery("bench", broker=URL, backend=URL)
app.conf.update(worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True)
noop = app.task(name="bench.noop")(number_in)


class CelerySide(Side):
    """A client that is a producer of Celery."""

    def submit(self, text: str) -> Any:
        """Puts one task into Redis."""
        return noop.delay(text)

    def result(self, handle: Any) -> int:
        """Waits for its result."""
        result: int = handle.get()
        return result

    def many(self, texts: list[str]) -> list[int]:
        """Gets all results together."""
        results: list[int] = ResultSet([noop.delay(text) for text in texts]).join_native()
        return results


if __name__ == "__main__":
    serve(CelerySide())
