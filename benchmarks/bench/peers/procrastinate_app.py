"""Procrastinate on PostgreSQL. It keeps jobs but no results: that one succeeded is its result."""

from __future__ import annotations

import os
import time
from typing import Any, Final

import psycopg
from procrastinate import App, PsycopgConnector

from bench.peers.side import Side, number_in, serve

URL = os.environ["BENCH_URL"]
TOGETHER: Final = 1000
PAUSE_S: Final = 0.01

app = App(connector=PsycopgConnector(conninfo=URL))


async def in_coroutine(text: str) -> int:
    """Runs on the worker's loop."""
    return number_in(text)


noop = app.task(name="noop")(in_coroutine)


class Procrastinate(Side):
    """A client that defers jobs and looks when they have succeeded."""

    def __init__(self) -> None:
        app.open()
        self._task: Any = noop
        self._looks = psycopg.connect(URL, autocommit=True)

    def submit(self, text: str) -> tuple[int, str]:
        """Stores one job."""
        return self._task.defer(text=text), text

    def result(self, handle: tuple[int, str]) -> int:
        """Waits until its job has succeeded."""
        job, text = handle
        looked = "SELECT status FROM procrastinate_jobs WHERE id = %s"
        while self._looks.execute(looked, (job,)).fetchone() != ("succeeded",):
            time.sleep(PAUSE_S / 20)
        return number_in(text)

    def many(self, texts: list[str]) -> list[int]:
        """Stores jobs together, then looks now and then how many are left."""
        jobs: list[int] = []
        for first in range(0, len(texts), TOGETHER):
            part = texts[first : first + TOGETHER]
            jobs += self._task.batch_defer(*({"text": text} for text in part))
        looked = (
            "SELECT count(*) FROM procrastinate_jobs "
            "WHERE id BETWEEN %s AND %s AND status = 'succeeded'"
        )
        while self._looks.execute(looked, (jobs[0], jobs[-1])).fetchone() != (len(jobs),):
            time.sleep(PAUSE_S)
        return [number_in(text) for text in texts]


if __name__ == "__main__":
    serve(Procrastinate())
