"""Tasks that the tests of the Python API submit; real workers import this module."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from pullwork import Retry, current, task


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.5
    tag: bytes = b""


@task(type="sample.add")
async def add(a: int, b: int = 1) -> int:
    return a + b


@task(type="sample.count_words")
def count_words(text: str) -> dict[str, int]:
    words: dict[str, int] = {}
    for word in text.split():
        words[word] = words.get(word, 0) + 1
    return words


@task(type="sample.move", executor="thread")
def move(point: Point, by: datetime.timedelta = datetime.timedelta(seconds=1)) -> Point:
    return Point(point.x + int(by.total_seconds()), point.y, point.tag)


@task(type="sample.reverse", content_type="text/plain")
async def reverse(data: bytes) -> bytes:
    return data[::-1]


@task(type="sample.later")
async def later(when: Timestamp) -> Timestamp:
    return Timestamp(seconds=when.seconds + 1)


@task(type="sample.fail")
async def fail(word: str) -> None:
    raise ValueError(word)


@task(type="sample.fail_until", retry=Retry(max_attempts=5, initial_backoff=0.01))
async def fail_until(attempt: int) -> int:
    if current().attempt < attempt:
        raise ValueError("not yet")
    return current().attempt


@task(type="sample.hold")
async def hold() -> None:
    current().progress(0.25, "holding")
    await asyncio.Event().wait()


@task(type="sample.wrong_result")
async def wrong_result() -> int:
    return "no number"  # type: ignore[return-value]
