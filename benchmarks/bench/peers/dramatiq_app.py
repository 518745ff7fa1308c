"""Dramatiq on Redis."""

from __future__ import annotations

import os
from typing import Any, Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.peers.side import Side, number_in, serve

URL = os.environ["BENCH_URL"]
PATIENCE_MS: Final = 60_000

broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL)))
dramatiq.set_broker(broker)
noop = dramatiq.actor(number_in, actor_name="noop", store_results=True)


class Dramatiq(Side):
    """A client that is a producer of Dramatiq."""

    def submit(self, text: str) -> Any:
        """Puts one message into Redis."""
        return noop.send(text)

    def result(self, handle: Any) -> int:
        """Waits for its result."""
        result: int = handle.get_result(block=True, timeout=PATIENCE_MS)
        return result


if __name__ == "__main__":
    serve(Dramatiq())
