"""What the measured workers do: next to nothing, so that all that remains is Pullwork's cost.

The result says which task it is the result of, so that every one of them can be checked.
"""

from __future__ import annotations

from typing import Any

from pullwork import task
from pullwork.tasks import Task

DIGITS = 8
TYPES_MAX = 100


@task(type="bench.coroutine")
async def in_coroutine(text: str) -> int:
    """Runs on the worker's own loop."""
    return int(text[:DIGITS])


@task(type="bench.process")
def in_process(text: str) -> int:
    """Runs in a child process of the worker."""
    return int(text[:DIGITS])


def text_of(number: int, size: int) -> str:
    """Returns what is sent as task `number`: about `size` bytes once packed."""
    packing = len('{"text":""}')
    return f"{number:0{DIGITS}}".ljust(size - packing, ".")


def _one_of_many(number: int) -> Task[..., Any]:
    async def in_coroutine_of_many(text: str) -> int:
        return int(text[:DIGITS])

    return task(type=f"bench.many-{number}")(in_coroutine_of_many)


MANY = [_one_of_many(number) for number in range(TYPES_MAX)]


def sent_to_queue(queue: str) -> Task[..., int]:
    """Returns the coroutine task as a client has it that sends it to another queue."""
    made: Task[..., int] = task(type=in_coroutine.type, queue=queue)(in_coroutine.fn)
    return made
