"""WatchTasks resumed: nothing is missed and nothing comes twice, whatever breaks in between."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from wired_master import WiredMaster, ids_of, read, read_ids, refusal, serving, succeeded

from pullwork.errors import InvalidFieldError
from pullwork_master.storage.sqlite import SqliteStorage
from pullwork_master.wire import watch, watchers

TASKS = 2_000


async def _read_with_breaks(
    master: WiredMaster, by: dict[str, str], cursor: str, chance: random.Random
) -> tuple[list[int], int]:
    """Reads all ends over streams that break at any moment; returns their revisions."""
    told: list[int] = []
    breaks = 0
    while len(told) < TASKS:
        stream = master.watch(**by, cursor=cursor)
        for _ in range(chance.randint(0, 6)):
            message = await read(stream)
            assert not message.lapse
            told += [task.revision for task in message.tasks]
            cursor = message.cursor
            if len(told) >= TASKS:
                break
        stream.cancel()
        breaks += 1
    return told, breaks


@pytest.mark.parametrize(
    ("by", "mailbox"),
    [({"owner": "me"}, 7), ({"queue": "q"}, watchers.MAILBOX_TASKS_MAX)],
    ids=["by owner, overflowing", "by queue"],
)
async def test_two_thousand_ends_are_told_once_each_over_streams_that_break(
    stored: WiredMaster, by: dict[str, str], mailbox: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchers, "MAILBOX_TASKS_MAX", mailbox)
    monkeypatch.setattr(watch, "MESSAGE_BYTES_MAX", 4_000)  # some twenty tasks in a message
    chance = random.Random(f"{by}{mailbox}")
    stream, first = await stored.standing_watch(**by)
    stream.cancel()
    await stored.submit_many(TASKS, owner="me", queue="q")
    async with asyncio.TaskGroup() as group:
        group.create_task(_work_in("q", stored, chance))
        reading = group.create_task(_read_with_breaks(stored, by, first.cursor, chance))
    told, breaks = reading.result()
    assert told == list(range(1, TASKS + 1))
    assert breaks > 10


async def _work_in(queue: str, master: WiredMaster, chance: random.Random) -> None:
    """Ends all tasks, in reports of any size."""
    worker = await master.worker(slots=200, queues=[queue])
    done = 0
    while done < TASKS:
        tickets = await worker.request(max_tasks=chance.randint(1, 200))
        while tickets:
            part = chance.randint(1, min(40, len(tickets)))
            await worker.report(*[succeeded(each) for each in tickets[:part]])
            done += part
            tickets = tickets[part:]


async def test_a_cursor_holds_over_a_restart_of_the_master(tmp_path: Path) -> None:
    async with serving(SqliteStorage(tmp_path)) as master:
        stream, _ = await master.standing_watch(owner="me")
        worker = await master.worker()
        task_ids = await master.submit_many(4, owner="me")
        await master.run_all(worker, 2)
        cursor = (await read(stream)).cursor
        await master.run_all(worker, 1)
    async with serving(SqliteStorage(tmp_path)) as master:
        stream, _ = await master.standing_watch(owner="me", cursor=cursor)
        assert await read_ids(stream, 1) == [task_ids[2]]
        worker = await master.worker()
        await master.run_all(worker, 1)
        assert await read_ids(stream, 1) == [task_ids[3]]


async def test_a_lapse_is_told_once_when_retention_deleted_ends_in_between(
    stored: WiredMaster,
) -> None:
    stream, first = await stored.standing_watch(owner="me")
    stream.cancel()
    worker = await stored.worker()
    await stored.submit(owner="me", retention={"seconds": 1})
    await stored.submit(owner="you", retention={"seconds": 9})
    (kept,) = await stored.submit(owner="me")
    await stored.run_all(worker, 3)
    await stored.advance(1_000 + 2 * stored.policy.sweep_every_ms)
    for _ in range(2):  # who breaks off behind the lapse, and before the ends, hears it again
        stream, message = await stored.standing_watch(owner="me", cursor=first.cursor)
        message = await read(stream)
        assert (message.lapse, message.cursor) == (True, first.cursor)
    message = await read(stream)
    assert (ids_of(message.tasks), message.lapse) == ([kept], False)
    (last,) = await stored.submit(owner="me")
    await stored.run_all(worker, 1)
    stream, _ = await stored.standing_watch(owner="me", cursor=message.cursor)
    message = await read(stream)
    assert (ids_of(message.tasks), message.lapse) == ([last], False)


async def test_what_was_told_before_it_was_deleted_is_no_lapse(stored: WiredMaster) -> None:
    stream, _ = await stored.standing_watch(queue="default")
    worker = await stored.worker()
    await stored.submit(retention={})
    await stored.run_all(worker, 1)
    told = await read(stream)
    await stored.advance(2 * stored.policy.sweep_every_ms)
    (after,) = await stored.submit()
    await stored.run_all(worker, 1)
    stream, _ = await stored.standing_watch(queue="default", cursor=told.cursor)
    message = await read(stream)
    assert (ids_of(message.tasks), message.lapse) == ([after], False)


async def test_a_new_stream_knows_no_lapse(stored: WiredMaster) -> None:
    worker = await stored.worker()
    await stored.submit(retention={})
    await stored.run_all(worker, 1)
    await stored.advance(2 * stored.policy.sweep_every_ms)
    stream, first = await stored.standing_watch(queue="default")
    (after,) = await stored.submit()
    await stored.run_all(worker, 1)
    message = await read(stream)
    assert (ids_of(message.tasks), first.lapse or message.lapse) == ([after], False)


async def test_a_cursor_of_another_folder_is_refused(master: WiredMaster, tmp_path: Path) -> None:
    async with serving(SqliteStorage(tmp_path)) as other:
        _, first = await other.standing_watch(owner="me")
    refused = await refusal(master.watch(owner="me", cursor=first.cursor).read())
    assert isinstance(refused, InvalidFieldError)
    assert refused.field == "cursor"
    assert "another master's data folder" in str(refused)
