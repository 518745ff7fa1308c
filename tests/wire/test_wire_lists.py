"""ListTasks: pages, filters, and what a page leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from wired_master import WiredMaster, failed, held, ids_of, refusal, succeeded

from pullwork.channel import MESSAGE_BYTES_MAX
from pullwork.errors import InvalidFieldError
from pullwork.v1 import task_pb2
from pullwork.v1 import task_service_pb2 as pb


async def _list(master: WiredMaster, **request: Any) -> pb.ListTasksResponse:
    return await master.tasks.ListTasks(pb.ListTasksRequest(**request))


async def _all(master: WiredMaster, **request: Any) -> list[str]:
    """Follows the pages to their end."""
    found: list[str] = []
    token = ""
    while True:
        page = await _list(master, page_token=token, **request)
        found += ids_of(page.tasks)
        token = page.next_page_token
        if not token:
            return found


async def test_pages_of_every_size_tell_each_task_once_newest_first(stored: WiredMaster) -> None:
    task_ids = await stored.submit_many(10)
    for size in (1, 3, 5, 9, 10, 11, 1_000, 0):
        assert await _all(stored, page_size=size) == task_ids[::-1]


async def test_a_full_last_page_has_no_next(stored: WiredMaster) -> None:
    await stored.submit_many(4)
    page = await _list(stored, page_size=2)
    page = await _list(stored, page_size=2, page_token=page.next_page_token)
    assert (len(page.tasks), page.next_page_token) == (2, "")


async def test_the_default_page_is_a_hundred(master: WiredMaster) -> None:
    await master.submit_many(101)
    page = await _list(master)
    assert len(page.tasks) == 100
    assert page.next_page_token


async def test_what_comes_between_two_pages_is_on_neither(stored: WiredMaster) -> None:
    task_ids = await stored.submit_many(4)
    page = await _list(stored, page_size=2)
    await stored.submit_many(3)
    rest = await _list(stored, page_size=100, page_token=page.next_page_token)
    assert ids_of([*page.tasks, *rest.tasks]) == task_ids[::-1]


@pytest.mark.parametrize("size", [2, 100])
async def test_each_filter_and_all_together_choose_what_matches(
    stored: WiredMaster, size: int
) -> None:
    kinds = [(q, t, o) for q in ("q1", "q2") for t in ("t", "u") for o in ("", "me")]
    made = {}
    for queue, type_, owner in kinds:
        for delay in ({}, {"seconds": 60}):
            (task_id,) = await stored.submit(queue=queue, type=type_, owner=owner, delay=delay)
            state = "SCHEDULED" if delay else "QUEUED"
            made[task_id] = {"queue": queue, "type": type_, "owner": owner, "state": state}
    for chosen in (
        {"queue": "q1"},
        {"type": "u"},
        {"owner": "me"},
        {"state": "QUEUED"},
        {"state": "RUNNING"},
        {"queue": "q2", "type": "t"},
        {"queue": "q2", "owner": "me", "state": "SCHEDULED"},
        {"queue": "q1", "type": "t", "owner": "me", "state": "QUEUED"},
        {"queue": "unknown"},
    ):
        wanted = [key for key, has in made.items() if chosen.items() <= has.items()]
        asked: dict[str, Any] = {k: v for k, v in chosen.items() if k != "state"}
        if "state" in chosen:
            asked["states"] = [f"TASK_STATE_{chosen['state']}"]
        assert await _all(stored, filter=asked, page_size=size) == wanted[::-1], chosen


async def test_several_states_are_any_of_them(master: WiredMaster) -> None:
    worker = await master.worker()
    await master.submit_many(3)
    done, broken, running = await worker.request(max_tasks=3)
    await worker.report(succeeded(done), failed(broken))
    states = ["TASK_STATE_FAILED", "TASK_STATE_SUCCEEDED", "TASK_STATE_FAILED"]
    found = await _all(master, filter={"states": states})
    assert sorted(found) == sorted([done.task_id, broken.task_id])
    assert running.task_id not in found


async def test_lists_leave_out_payload_and_result_and_show_progress(stored: WiredMaster) -> None:
    worker = await stored.worker()
    await stored.submit_many(2, payload=b"secret", content_type="a/b")
    done, running = await worker.request()
    await worker.report(succeeded(done))
    await worker.heartbeat(held(running, fraction=0.75, message="soon"))
    runs, ended = (await _list(stored)).tasks
    assert (runs.spec.payload, ended.spec.payload, runs.spec.content_type) == (b"", b"", "a/b")
    assert not ended.HasField("result")
    assert (runs.progress.fraction, runs.progress.message) == (0.75, "soon")
    assert not ended.HasField("progress")


async def test_a_page_of_long_failures_stays_below_the_largest_message(
    master: WiredMaster,
) -> None:
    worker = await master.worker(slots=200)
    task_ids = await master.submit_many(200)
    tickets = await worker.request(max_tasks=200)
    for start in range(0, 200, 50):
        await worker.report(
            *[failed(each, details="x" * 32_000) for each in tickets[start : start + 50]]
        )
    page = await _list(master, page_size=1_000)
    assert 0 < len(page.tasks) < 200
    assert page.ByteSize() < MESSAGE_BYTES_MAX
    assert await _all(master, page_size=1_000) == task_ids[::-1]


async def test_a_token_is_of_its_own_query_only(master: WiredMaster) -> None:
    await master.submit_many(3, owner="me")
    token = (await _list(master, page_size=1)).next_page_token
    again = await _list(master, page_size=2, page_token=token)
    assert len(again.tasks) == 2
    refused = await refusal(_list(master, page_token=token, filter={"owner": "me"}))
    assert isinstance(refused, InvalidFieldError)
    assert refused.field == "page_token"
    assert "another query" in str(refused)


async def test_states_in_another_order_are_the_same_query(master: WiredMaster) -> None:
    await master.submit_many(3)
    states = [task_pb2.TASK_STATE_QUEUED, task_pb2.TASK_STATE_FAILED]
    token = (await _list(master, page_size=1, filter={"states": states})).next_page_token
    rest = await _list(master, filter={"states": states[::-1]}, page_token=token)
    assert len(rest.tasks) == 2
