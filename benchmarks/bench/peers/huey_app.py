"""Huey on Redis: results are announced, so that a client need not poll for them."""

from __future__ import annotations

import os
from typing import Any, Final

from huey import RedisHuey

from bench.peers.side import Side, number_in, serve

PATIENCE_S: Final = 60.0

huey = RedisHuey("bench", url=os.environ["BENCH_URL"], notify_result=True)
noop = huey.task()(number_in)


class Huey(Side):
    """A client that is a producer of Huey."""

    def submit(self, text: str) -> Any:
        """Puts one task into Redis."""
        return noop(text)

    def result(self, handle: Any) -> int:
        """Waits for its result."""
        result: int = handle.get(blocking=True, timeout=PATIENCE_S)
        return result


if __name__ == "__main__":
    serve(Huey())
