"""What instances write reaches who reads it, in its order, at the reader's pace, and no longer."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from log_reading import KIB, all_lines, logs, relay
from node_by_hand import HandNode, create, get, node, place, running, texts
from wired_master import WiredMaster, read, refusal, until

from pullwork.errors import (
    InstanceNotFoundError,
    InvalidFieldError,
    NodeUnreachableError,
    SessionLostError,
    TooManyRequestsError,
)
from pullwork.v1 import node_service_pb2 as n
from pullwork.v1 import orchestrator_service_pb2 as o
from pullwork.v1 import service_pb2
from pullwork_master.core.commands import Submit
from pullwork_master.orchestrator import instances
from pullwork_master.reconciler.model import Exit, Start
from pullwork_master.wire import log_relay, service_logs


async def test_the_last_lines_of_all_instances_come_each_in_its_order(master: WiredMaster) -> None:
    made = await running(master, 3)
    stream = logs(master, tail_lines=7)
    reading = asyncio.create_task(all_lines(stream))
    answers = []
    for _ in range(3):
        wanted = await made.wanted_log()
        assert (wanted.tail_lines, wanted.follow) == (7, False)
        lines = [f"{wanted.task_id} {number}" for number in range(4)]
        answers.append(made.send_logs(wanted.log_id, lines[:1], lines[1:]))
    for answer in answers:
        await answer
    told = await reading
    ids = {report.instance_id: task_id for task_id, report in made.has.items()}
    assert told == {
        id_: [f"{task_id} {number}" for number in range(4)] for id_, task_id in ids.items()
    }
    assert await stream.code() is grpc.StatusCode.OK
    assert not len(relay(master))


async def test_without_a_word_the_last_hundred_lines_are_asked_for(master: WiredMaster) -> None:
    made = await running(master)
    stream = logs(master, instance="web-1")
    wanted = await made.wanted_log()
    assert (wanted.tail_lines, wanted.follow) == (100, False)
    assert wanted.task_id in made.has
    await made.send_logs(wanted.log_id, ["a", "ü"])
    assert await all_lines(stream) == {"web-1": ["a", "ü"]}


async def test_a_slow_reader_slows_the_node_and_costs_no_memory(master: WiredMaster) -> None:
    made = await running(master)
    stream = logs(master, follow=True)
    wanted = await made.wanted_log()
    sent = 0

    async def flood() -> Any:
        nonlocal sent
        yield n.SendLogsRequest(session_id=made.session_id, log_id=wanted.log_id)
        line = o.LogLine(text="x" * 16 * KIB)
        for _ in range(400):
            yield n.SendLogsRequest(lines=[line] * 16)
            sent += 1

    answer = master.nodes.SendLogs(flood())
    ahead = []
    for counted in range(1, 401):
        await read(stream)
        for _ in range(4):  # it takes its time: the node could send all of it meanwhile
            await get(master)
        ahead.append(sent - counted)
    await answer
    # Only what the connections between hold, however much there is: a quarter of a MiB each.
    assert max(ahead) < 100
    assert sent == 400
    stream.cancel()


async def test_a_node_that_does_not_listen_is_unreachable(master: WiredMaster) -> None:
    made = await running(master)
    made.news.cancel()
    await until(lambda: not master.mailboxes(), "the stream is gone")
    error = await refusal(read(logs(master, instance="web-1")))
    assert isinstance(error, NodeUnreachableError)
    assert "web-1" in str(error)
    assert "'n1'" in str(error)
    assert isinstance(await refusal(read(logs(master))), NodeUnreachableError)
    await made.worker.leave()
    error = await refusal(read(logs(master, instance="web-1", follow=True)))
    assert isinstance(error, NodeUnreachableError)


async def test_a_node_that_does_not_answer_is_unreachable(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_relay, "ANSWER_S", 0.2)
    await running(master)
    error = await refusal(read(logs(master, instance="web-1")))
    assert isinstance(error, NodeUnreachableError)
    assert "did not answer" in str(error)
    assert not len(relay(master))


async def test_a_log_that_can_t_be_read_says_why_if_it_is_the_only_one(master: WiredMaster) -> None:
    made = await running(master)
    stream = logs(master, instance="web-1")
    wanted = await made.wanted_log()
    await made.send_logs(wanted.log_id, problem="its engine keeps no logs")
    error = await refusal(read(stream))
    assert isinstance(error, NodeUnreachableError)
    assert "its engine keeps no logs" in str(error)


async def test_who_follows_one_that_begins_waits_for_its_first_line(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_logs, "RESUME_S", 0.01)
    await create(master)
    made = await node(master)
    await place(master, "n1")
    await made.take(state=service_pb2.INSTANCE_STATE_PULLING)
    await made.report()
    stream = logs(master, instance="web-1", follow=True)
    await made.send_logs((await made.wanted_log()).log_id, problem="it has no log yet")
    made.send_logs((await made.wanted_log()).log_id, ["a"], hold=asyncio.Event())
    assert texts(await read(stream)) == ["a"]
    stream.cancel()


async def test_one_that_can_t_be_read_does_not_hide_the_others(master: WiredMaster) -> None:
    made = await running(master, 2)
    stream = logs(master)
    first = await made.wanted_log()
    second = await made.wanted_log()
    await made.send_logs(first.log_id, problem="no")
    await made.send_logs(second.log_id, ["a"])
    assert list((await all_lines(stream)).values()) == [["a"]]


async def test_where_none_can_be_read_it_says_why(master: WiredMaster) -> None:
    made = await running(master, 2)
    stream = logs(master)
    for _ in range(2):
        await made.send_logs((await made.wanted_log()).log_id, problem="the engine is away")
    error = await refusal(read(stream))
    assert isinstance(error, NodeUnreachableError)
    assert "the engine is away" in str(error)


async def test_a_reader_who_follows_hears_instances_that_are_made_meanwhile(
    master: WiredMaster,
) -> None:
    made = await running(master)
    stream = logs(master, follow=True, tail_lines=1)
    wanted = await made.wanted_log()
    made.send_logs(wanted.log_id, ["a"], hold=asyncio.Event())
    assert texts(await read(stream)) == ["a"]
    await place(master, "n1", 2)
    await made.take()
    await made.report()
    newer = await made.wanted_log()
    # All that it has said since it began, not only its last line.
    assert newer.tail_lines == service_logs.TAIL_MAX
    made.send_logs(newer.log_id, ["b"], hold=asyncio.Event())
    message = await read(stream)
    assert (message.instance, texts(message)) == ("web-2", ["b"])
    stream.cancel()


async def test_a_log_that_broke_off_goes_on_where_it_was(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_logs, "RESUME_S", 0.01)
    made = await running(master)
    stream = logs(master, follow=True)
    wanted = await made.wanted_log()
    # The clock of the node may go back; all of it is told.
    broken = master.nodes.SendLogs(_timed(made, wanted.log_id, [5, 1, 2, 3]))
    assert texts(await read(stream)) == ["5", "1", "2", "3"]
    broken.cancel()
    again = await made.wanted_log()
    assert (again.task_id, again.log_id != wanted.log_id) == (wanted.task_id, True)
    master.nodes.SendLogs(_timed(made, again.log_id, [1, 2, 3], [3, 4]))
    assert texts(await read(stream)) == ["3", "4"]
    stream.cancel()


async def _timed(made: HandNode, log_id: str, *parts: list[int]) -> Any:
    for numbers in parts:
        lines = [o.LogLine(text=str(number), time=Timestamp(seconds=number)) for number in numbers]
        yield n.SendLogsRequest(session_id=made.session_id, log_id=log_id, lines=lines)
    await asyncio.Event().wait()


async def test_one_that_waits_for_its_next_start_tells_its_last_words(
    master: WiredMaster,
) -> None:
    await create(master)
    made = await node(master)
    kept = master.orchestrator.roster.services["web"]
    start = Start(
        "web-1",
        "web",
        1,
        "n1",
        kept.service.wanted.template,
        kept.service.wanted.runner,
        not_before_ms=master.clock.wall_ms + 60_000,
        last_exit=Exit("it ended with exit code 3", 3, master.clock.wall_ms, "a\nb\nlast\n"),
    )
    await master.engine.ask(Submit((instances.new_task(start),)))
    assert await all_lines(logs(master, tail_lines=2)) == {"web-1": ["b", "last"]}
    assert await all_lines(logs(master, instance="web-1")) == {"web-1": ["a", "b", "last"]}
    assert made.has == {}


async def test_an_instance_that_is_not_there_is_refused(master: WiredMaster) -> None:
    await running(master)
    for follow in (False, True):
        error = await refusal(read(logs(master, instance="web-2", follow=follow)))
        assert isinstance(error, InstanceNotFoundError)
        assert "'web-2'" in str(error)


async def test_a_service_without_instances_has_an_empty_log(master: WiredMaster) -> None:
    await create(master)
    assert await all_lines(logs(master)) == {}


async def test_lines_are_taken_of_the_node_that_was_asked_and_once(master: WiredMaster) -> None:
    made = await running(master)
    other = await node(master, "n2")
    stream = logs(master, follow=True)
    wanted = await made.wanted_log()
    for bad, field in (
        (other.send_logs(wanted.log_id, ["forged"]), "log_id"),
        (made.send_logs(""), "log_id"),
        (master.nodes.SendLogs(_messages(n.SendLogsRequest(log_id="x"))), "session_id"),
        (master.nodes.SendLogs(_messages()), "session_id"),
    ):
        error = await refusal(bad)
        assert isinstance(error, InvalidFieldError)
        assert error.field == field
    lost = n.SendLogsRequest(session_id="9-9-9", log_id=wanted.log_id)
    assert isinstance(await refusal(master.nodes.SendLogs(_messages(lost))), SessionLostError)
    made.send_logs(wanted.log_id, ["a"], hold=asyncio.Event())
    assert texts(await read(stream)) == ["a"]
    error = await refusal(made.send_logs(wanted.log_id, ["twice"]))
    assert isinstance(error, InvalidFieldError)
    stream.cancel()


async def _messages(*messages: n.SendLogsRequest) -> Any:
    for message in messages:
        yield message


async def test_a_message_that_is_too_large_is_refused(master: WiredMaster) -> None:
    made = await running(master)
    stream = logs(master, instance="web-1")
    wanted = await made.wanted_log()
    error = await refusal(made.send_logs(wanted.log_id, ["x" * KIB * KIB]))
    assert isinstance(error, InvalidFieldError)
    assert error.field == "lines"
    assert isinstance(await refusal(read(stream)), NodeUnreachableError)


async def test_there_is_a_bound_on_the_logs_that_are_read_at_once(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_relay, "FEEDS_MAX", 1)
    made = await running(master)
    first = logs(master, follow=True)
    await made.wanted_log()
    error = await refusal(read(logs(master)))
    assert isinstance(error, TooManyRequestsError)
    first.cancel()


async def test_many_logs_are_read_a_few_at_a_time(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_logs, "AT_ONCE_MAX", 2)
    made = await running(master, 5)
    stream = logs(master)
    reading = asyncio.create_task(all_lines(stream))
    for _ in range(5):
        wanted = await made.wanted_log()
        assert len(relay(master)) <= 2
        await made.send_logs(wanted.log_id, ["a"])
    assert len(await reading) == 5
