"""What the wire promises over a restart of the master on the same folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from wired_master import WiredMaster, WireWorker, held, refusal, serving, succeeded

from pullwork.errors import SessionLostError
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import task_pb2, task_service_pb2
from pullwork_master.storage.sqlite import SqliteStorage


@asynccontextmanager
async def _another_life(folder: Path, *former: WireWorker) -> AsyncIterator[WiredMaster]:
    """Runs a master on the folder; workers of the former one speak to it."""
    async with serving(SqliteStorage(folder)) as master:
        for worker in former:
            worker.master = master
        yield master


async def test_a_ticket_outlives_the_master_if_its_worker_comes_back(tmp_path: Path) -> None:
    async with _another_life(tmp_path) as master:
        worker = await master.worker()
        (task_id,) = await master.submit()
        (ticket,) = await worker.request()
        term = worker.registered.term
    async with _another_life(tmp_path, worker) as master:
        assert isinstance(await refusal(worker.report(succeeded(ticket))), SessionLostError)
        shown = await master.get(task_id)
        assert shown.state == task_pb2.TASK_STATE_RUNNING
        told = await master.tasks.ExplainTask(task_service_pb2.ExplainTaskRequest(task_id=task_id))
        assert told.reason == task_service_pb2.WAIT_REASON_RECONCILING
        again = await master.worker(held=[held(ticket)])
        assert again.registered.term > term
        (verdict,) = again.registered.held_verdicts
        assert verdict.decision == pb.HELD_DECISION_KEEP
        assert (await again.report(succeeded(ticket))).verdicts == [pb.VERDICT_ACCEPTED]
        assert (await master.get(task_id)).attempt == 1


async def test_a_ticket_whose_worker_does_not_come_back_is_given_to_another(
    tmp_path: Path,
) -> None:
    async with _another_life(tmp_path) as master:
        worker = await master.worker("gone")
        (task_id,) = await master.submit(owner="me")
        (ticket,) = await worker.request()
    async with _another_life(tmp_path) as master:
        other = await master.worker("other")
        assert await other.request() == []
        await master.advance(master.policy.reconcile_ms(1))
        (again,) = await other.request()
        assert (again.task_id, again.attempt, again.owner) == (task_id, 2, "me")
        assert (await other.report(succeeded(ticket))).verdicts == [pb.VERDICT_STALE_LEASE]
        late = await master.worker("gone", held=[held(ticket)])
        (verdict,) = late.registered.held_verdicts
        assert verdict.decision == pb.HELD_DECISION_ABANDON


async def test_an_accepted_report_is_accepted_again_and_changes_nothing(tmp_path: Path) -> None:
    async with _another_life(tmp_path) as master:
        worker = await master.worker()
        (task_id,) = await master.submit()
        (ticket,) = await worker.request()
        await worker.report(succeeded(ticket))
        before = await master.get(task_id)
    async with _another_life(tmp_path) as master:
        again = await master.worker()
        assert (await again.report(succeeded(ticket))).verdicts == [pb.VERDICT_ACCEPTED]
        assert (await again.report(succeeded(ticket, b"x"))).verdicts == [pb.VERDICT_CONFLICT]
        assert await master.get(task_id) == before


async def test_page_tokens_outlive_the_master(tmp_path: Path) -> None:
    async with _another_life(tmp_path) as master:
        task_ids = await master.submit_many(3)
        page = await master.tasks.ListTasks(task_service_pb2.ListTasksRequest(page_size=2))
    async with _another_life(tmp_path) as master:
        rest = await master.tasks.ListTasks(
            task_service_pb2.ListTasksRequest(page_token=page.next_page_token)
        )
        assert [task.spec.task_id for task in rest.tasks] == task_ids[:1]
