"""What a caller that goes away leaves behind: nothing but the effect of what it asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from wired_master import WiredMaster, read, refusal, serving, succeeded, until

from pullwork.errors import DeadlineError, ShuttingDownError
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import registry_service_pb2, task_pb2, task_service_pb2
from pullwork_master.storage.memory import MemoryStorage

ID = "0198c0de-0000-7000-8000-00000000abcd"


class GatedStorage(MemoryStorage):
    """A storage whose commits wait at a gate, as those of a slow disk do."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def commit(self) -> int:
        self.waiting.set()
        assert self.gate.wait(20)
        return super().commit()


class Gated:
    """A master whose disk can be held up."""

    def __init__(self, master: WiredMaster, storage: GatedStorage) -> None:
        self.master = master
        self.storage = storage

    def hold(self) -> None:
        """Lets the next commit wait."""
        self.storage.waiting.clear()
        self.storage.gate.clear()

    async def held(self) -> None:
        """Returns when a commit waits."""
        await until(self.storage.waiting.is_set, "a commit waits")

    def release(self) -> None:
        """Lets commits go on."""
        self.storage.gate.set()


@pytest.fixture
async def gated() -> AsyncIterator[Gated]:
    storage = GatedStorage()
    async with serving(storage) as master:
        yield Gated(master, storage)
        storage.gate.set()


# --- streams that break --------------------------------------------------------------------


@pytest.mark.parametrize("by", [{"owner": "me"}, {"queue": "q"}, {"task_ids": []}])
@pytest.mark.parametrize("read_first", [True, False])
async def test_a_watch_that_breaks_leaves_no_watcher(
    master: WiredMaster, by: dict[str, Any], *, read_first: bool
) -> None:
    if "task_ids" in by:
        by = {"task_ids": await master.submit_many(3)}
    stream = master.watch(**by)
    if read_first:
        await read(stream)
    else:
        await until(lambda: stream.done() or master.watchers(), "the stream is opened")
    stream.cancel()
    await until(lambda: not master.watchers(), "the watcher is gone")


async def test_a_watch_that_breaks_while_it_writes_leaves_no_watcher(
    master: WiredMaster,
) -> None:
    stream, _ = await master.standing_watch(owner="me")
    worker = await master.worker(slots=30)
    await master.submit_many(30, owner="me")
    for ticket in await worker.request(max_tasks=30):
        await worker.report(succeeded(ticket, b"x" * 900_000))  # more than flow control lets out
    stream.cancel()
    await until(lambda: not master.watchers(), "the watcher is gone")


async def test_a_watch_by_ids_that_ended_leaves_no_watcher(master: WiredMaster) -> None:
    worker = await master.worker()
    stream, _ = await master.standing_watch(task_ids=await master.submit_many(2))
    await master.run_all(worker, 2)
    while await stream.read() is not grpc.aio.EOF:
        pass
    assert not master.watchers()


async def test_a_run_that_is_cancelled_leaves_no_watcher(master: WiredMaster) -> None:
    request = task_service_pb2.RunTaskRequest(task=task_pb2.TaskSpec(type="t"))
    call = master.tasks.RunTask(request)
    await until(master.watchers, "the call waits")
    call.cancel()
    await until(lambda: not master.watchers(), "the watcher is gone")


async def test_a_watch_of_the_registry_that_breaks_leaves_no_reader(master: WiredMaster) -> None:
    stream = master.registry.WatchRegistry(registry_service_pb2.WatchRegistryRequest())
    await read(stream)
    assert len(master.registry_readers()) == 1
    stream.cancel()
    await until(lambda: not master.registry_readers(), "the reader is gone")


async def test_a_worker_stream_that_breaks_leaves_no_mailbox_and_a_suspect(
    master: WiredMaster,
) -> None:
    worker = await master.worker()
    stream = await worker.listening()
    assert (master.mailboxes(), master.listening()) == (1, 1)
    stream.cancel()
    await until(lambda: not master.mailboxes() and not master.listening(), "nothing is left")
    (session,) = master.engine.core.book.sessions.values()
    assert session.contact.name == "SUSPECT"


async def test_a_worker_stream_that_breaks_before_it_stands_leaves_nothing(gated: Gated) -> None:
    master = gated.master
    worker = await master.worker()
    gated.hold()
    submitting = asyncio.create_task(master.submit())
    await gated.held()
    stream = worker.listen()  # waits for the step that is being committed
    await until(master.mailboxes, "the stream is being opened")
    stream.cancel()
    await until(lambda: not master.mailboxes(), "the mailbox is gone")
    gated.release()
    await submitting
    (session,) = master.engine.core.book.sessions.values()
    await until(lambda: session.contact.name == "SUSPECT", "the core heard of the break")
    assert not master.listening()


async def test_a_refused_worker_stream_leaves_no_mailbox(master: WiredMaster) -> None:
    await refusal(master.master.TaskIncoming(pb.TaskIncomingRequest(session_id="x")).read())
    assert not master.mailboxes()


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_a_parked_request_whose_caller_is_gone_takes_no_task(
    master: WiredMaster, how: str
) -> None:
    worker = await master.worker()
    request = pb.RequestTaskRequest(session_id=worker.session_id, max_tasks=1, wait={"seconds": 60})
    call = master.master.RequestTask(request, timeout=1.0 if how == "deadline" else None)
    await until(lambda: master.parked() == 1, "the request is parked")
    if how == "cancel":
        call.cancel()
    await until(lambda: master.parked() == 0, "the request is gone")
    (task_id,) = await master.submit()
    assert (await master.get(task_id)).state == task_pb2.TASK_STATE_QUEUED
    assert [ticket.task_id for ticket in await worker.request()] == [task_id]


# --- deadlines in the middle of a commit ---------------------------------------------------


async def test_a_submission_whose_caller_left_during_the_commit_stands(gated: Gated) -> None:
    tasks, request = (
        gated.master.tasks,
        task_service_pb2.SubmitTasksRequest(tasks=[{"type": "t", "task_id": ID}]),
    )
    gated.hold()
    late = asyncio.create_task(refusal(tasks.SubmitTasks(request, timeout=1.0)))
    await gated.held()
    assert isinstance(await late, DeadlineError)
    gated.release()
    (receipt,) = (await tasks.SubmitTasks(request)).receipts
    assert receipt.duplicate
    worker = await gated.master.worker()
    assert len(await worker.request()) == 1


async def test_a_report_whose_caller_left_during_the_commit_stands(gated: Gated) -> None:
    worker = await gated.master.worker(slots=1)
    _, next_id = await gated.master.submit_many(2)
    (ticket,) = await worker.request(max_tasks=1)
    request = pb.ReportResultRequest(
        session_id=worker.session_id,
        outcomes=[succeeded(ticket)],
        request_tasks=1,
        request_id="r",
    )
    gated.hold()
    call = gated.master.master.ReportResult(request)
    await gated.held()
    call.cancel()
    gated.release()
    again = await gated.master.master.ReportResult(request)
    assert again.verdicts == [pb.VERDICT_ACCEPTED]
    assert [each.task_id for each in again.tickets] == [next_id]
    assert (await gated.master.get(ticket.task_id)).attempt == 1


async def test_nothing_is_answered_or_told_before_its_commit(gated: Gated) -> None:
    master = gated.master
    worker = await master.worker()
    watching, _ = await master.standing_watch(owner="me", every_change=True)
    hearing = await worker.listening()
    gated.hold()
    submitting = asyncio.create_task(master.submit(owner="me", task_id=ID))
    reading = [asyncio.create_task(read(stream)) for stream in (watching, hearing)]
    await gated.held()
    # A round trip on the same connection: whatever was sent before it would be here by now.
    await refusal(master.get(ID))
    assert not submitting.done()
    assert not any(each.done() for each in reading)
    gated.release()
    await submitting
    await asyncio.gather(*reading)


# --- the end -------------------------------------------------------------------------------


async def test_stop_ends_open_streams_by_name_and_long_before_its_grace(
    master: WiredMaster,
) -> None:
    worker = await master.worker()
    streams = [
        await worker.listening(),
        (await master.standing_watch(owner="me"))[0],
        master.registry.WatchRegistry(registry_service_pb2.WatchRegistryRequest()),
    ]
    await read(streams[2])
    run = master.tasks.RunTask(task_service_pb2.RunTaskRequest(task={"type": "other"}))
    parked = asyncio.create_task(worker.request(wait={"seconds": 60}))
    await until(lambda: master.parked() == 1 and len(master.watchers()) == 2, "all wait")
    ends = [asyncio.create_task(refusal(stream.read())) for stream in streams]
    ends += [asyncio.create_task(refusal(call)) for call in (run, parked)]
    started = time.monotonic()
    await master.stop(grace_s=10)
    assert time.monotonic() - started < 5
    for end in ends:
        assert isinstance(await end, ShuttingDownError)
    assert not master.mailboxes()
    assert not master.watchers()
    assert not master.registry_readers()


async def test_stop_lets_a_commit_under_way_be_answered(gated: Gated) -> None:
    gated.hold()
    submitting = asyncio.create_task(gated.master.submit(task_id=ID))
    await gated.held()
    stopping = asyncio.create_task(gated.master.stop(grace_s=10))
    await asyncio.sleep(0)
    gated.release()
    assert await submitting == [ID]
    await stopping
