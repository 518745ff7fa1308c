"""A client that is cut off with its namespace: how long does each of its calls take?

    python -m fault_harness.cut_client DEADLINE_S

A line of JSON for each call, until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from fault_harness.late import until_cancelled
from fault_harness.work import mark
from pullwork import Client
from pullwork.errors import PullworkError
from pullwork.ids import new_task_id


async def _call(deadline_s: float) -> None:
    async with Client(deadline=deadline_s) as client:
        while True:
            task_id = new_task_id()
            began = time.monotonic()
            error = ""
            try:
                await client.submit(mark.with_args(0.0), task_id=task_id)
                await client.get(task_id)
            except PullworkError as failure:
                error = type(failure).__name__
            line = {"t": began, "took_s": time.monotonic() - began, "error": error, "id": task_id}
            print(json.dumps(line), flush=True)
            await until_cancelled(0.2)


if __name__ == "__main__":
    asyncio.run(_call(float(sys.argv[1])))
