"""Strangers whose submissions travel in one call: each gets its own answer, whatever the others."""

from __future__ import annotations

import asyncio
import uuid
from typing import Final

import sample_tasks
from hypothesis import given, settings
from hypothesis import strategies as st

from pullwork import Client, InvalidFieldError, TaskIdConflictError

ADD = sample_tasks.add.with_args(1)
OTHER = sample_tasks.add.with_args(2)
LARGE = sample_tasks.reverse.with_args(bytes(1024 * 1024 + 1))
KNOWN: Final = str(uuid.uuid4())

EXPECTED: Final[dict[str, type]] = {
    "good": str,
    "again": str,
    "conflict": TaskIdConflictError,
    "priority": InvalidFieldError,
    "queue": InvalidFieldError,
    "large": InvalidFieldError,
}


async def submit(client: Client, kind: str) -> str:
    if kind == "again":
        handle = await client.submit(ADD, task_id=KNOWN)
        assert handle.duplicate
    elif kind == "conflict":
        handle = await client.submit(OTHER, task_id=KNOWN)
    elif kind == "priority":
        handle = await client.submit(ADD, priority=101)
    elif kind == "queue":
        handle = await client.submit(ADD, queue="has space")
    elif kind == "large":
        handle = await client.submit(LARGE)
    else:
        handle = await client.submit(ADD)
        assert not handle.duplicate
    return handle.id


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(list(EXPECTED)), min_size=1, max_size=40))
def test_each_caller_gets_the_answer_to_its_own_task(alone: str, kinds: list[str]) -> None:
    async def scenario() -> None:
        async with Client(alone) as client:
            await client.submit(ADD, task_id=KNOWN)
            answers = await asyncio.gather(
                *(submit(client, kind) for kind in kinds), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [EXPECTED[kind] for kind in kinds]
            for kind, answer in zip(kinds, answers, strict=True):
                if isinstance(answer, InvalidFieldError):
                    assert answer.field == ("payload" if kind == "large" else kind)
            stored = {task.id async for task in client.list(owner=client.owner)}
            told = {answer for answer in answers if isinstance(answer, str)}
            assert stored - {KNOWN} == told - {KNOWN}

    asyncio.run(scenario())
