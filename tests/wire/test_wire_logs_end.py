"""A log that nobody reads any more, or whose instance is gone, ends on both sides."""

from __future__ import annotations

import asyncio

import pytest
import wired_master
from log_reading import KIB, logs, relay
from node_by_hand import create, get, running, texts
from wired_master import WiredMaster, ended, read, refusal, until

from pullwork.errors import ShuttingDownError
from pullwork.log import is_news
from pullwork.v1 import node_service_pb2 as n
from pullwork.v1.task_service_pb2 import CancelTasksRequest
from pullwork_master.wire import streams
from pullwork_master.wire.log_relay import LogRelay


async def test_who_leaves_ends_the_call_of_the_node(master: WiredMaster) -> None:
    made = await running(master)
    stream = logs(master, follow=True)
    wanted = await made.wanted_log()
    assert wanted.follow
    never = asyncio.Event()
    answer = made.send_logs(wanted.log_id, ["a"], hold=never)
    assert texts(await read(stream)) == ["a"]
    stream.cancel()
    assert await asyncio.wait_for(answer, wired_master.PATIENCE_S) == n.SendLogsResponse()
    assert not len(relay(master))


async def test_who_left_before_the_answer_is_not_sent_anything(master: WiredMaster) -> None:
    made = await running(master)
    stream = logs(master, follow=True)
    wanted = await made.wanted_log()
    stream.cancel()
    await until(lambda: not len(relay(master)), "the reader is gone")
    answer = made.send_logs(wanted.log_id, ["a"], hold=asyncio.Event())
    assert await asyncio.wait_for(answer, wired_master.PATIENCE_S) == n.SendLogsResponse()


async def test_a_wish_that_is_over_is_not_told() -> None:
    mailbox = streams.Mailbox()
    boxes = streams.Streams()
    boxes._boxes["s"] = mailbox
    log = LogRelay(boxes).read("s", "task", 1, follow=False)
    waiting = asyncio.create_task(anext(log))
    await until(lambda: mailbox._news.logs, "it is asked for")
    waiting.cancel()
    await asyncio.wait({waiting})
    assert not mailbox._news.logs


async def test_who_leaves_while_lines_wait_for_him_leaves_nothing_behind(
    master: WiredMaster, caplog: pytest.LogCaptureFixture
) -> None:
    made = await running(master, 2)
    before = len(asyncio.all_tasks())
    stream = logs(master, follow=True)
    # One reads nothing: the lines of both fill what stands between, and wait.
    answers = []
    for _ in range(2):
        wanted = await made.wanted_log()
        parts = [["x" * 16 * KIB] * 32] * 100
        answers.append(made.send_logs(wanted.log_id, *parts, hold=asyncio.Event()))
    await read(stream)
    for _ in range(20):
        await get(master)
    stream.cancel()
    for answer in answers:
        await asyncio.wait_for(answer, wired_master.PATIENCE_S)
    await until(lambda: not len(relay(master)), "the logs are gone")
    await until(lambda: len(asyncio.all_tasks()) <= before, "all of it is gone")
    # gRPC tells it as an error of the call; the master's own log has none of that.
    assert not [each for each in caplog.records if each.levelname == "ERROR" and is_news(each)]


async def test_a_stop_ends_logs_by_name_on_both_sides(master: WiredMaster) -> None:
    made = await running(master)
    stream = logs(master, follow=True)
    wanted = await made.wanted_log()
    answer = made.send_logs(wanted.log_id, ["a"], hold=asyncio.Event())
    await read(stream)
    await master.stop(grace_s=10)
    assert isinstance(await refusal(stream.read()), ShuttingDownError)
    await asyncio.wait_for(answer, wired_master.PATIENCE_S)


async def test_a_stop_ends_a_reader_who_waits_for_instances(master: WiredMaster) -> None:
    await create(master)
    stream = logs(master, follow=True)
    waits = master.orchestrator.roster.generations._bells
    await until(lambda: "web" in waits, "the reader waits")
    await master.stop(grace_s=10)
    assert isinstance(await refusal(stream.read()), ShuttingDownError)


async def test_a_log_that_is_not_read_leaves_nothing_behind(master: WiredMaster) -> None:
    made = await running(master, 3)
    before = len(asyncio.all_tasks())
    stream = logs(master, follow=True)
    wanted = await made.wanted_log()
    answer = made.send_logs(wanted.log_id, ["a"])
    await read(stream)
    stream.cancel()
    await answer
    await until(lambda: len(asyncio.all_tasks()) <= before, "all of it is gone")
    assert not len(relay(master))


async def test_a_reader_who_follows_one_instance_ends_with_it(master: WiredMaster) -> None:
    made = await running(master)
    stream = logs(master, instance="web-1", follow=True)
    wanted = await made.wanted_log()
    end = asyncio.Event()
    answer = made.send_logs(wanted.log_id, ["a"], hold=end)
    assert texts(await read(stream)) == ["a"]
    await master.tasks.CancelTasks(CancelTasksRequest(task_ids=[wanted.task_id]))
    made.has.clear()
    await made.report()
    # The reconciler would do this: nobody wants the one that ended any more.
    master.orchestrator.roster.followed([wanted.task_id])
    end.set()
    await answer
    await ended(stream)
