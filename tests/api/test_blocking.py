"""The blocking client: the same calls, without asyncio."""

from __future__ import annotations

import inspect
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sample_tasks

import pullwork
from pullwork import (
    Change,
    DeadlineError,
    PullworkError,
    QueueNotFoundError,
    TaskCancelledError,
    TaskFailedError,
    TaskFilter,
    TaskState,
    UnavailableError,
    WaitReason,
    blocking,
)


@pytest.fixture
def worked(staffed: str) -> Iterator[blocking.Client]:
    """A client of the master with a worker."""
    with blocking.Client(staffed, deadline=10) as client:
        yield client


@pytest.fixture
def still(alone: str) -> Iterator[blocking.Client]:
    """A client of the master without workers."""
    with blocking.Client(alone, deadline=10) as client:
        yield client


PAIRS: list[tuple[type, type]] = [
    (pullwork.Client, blocking.Client),
    (pullwork.Handle, blocking.Handle),
    (pullwork.Queues, blocking.Queues),
]


@pytest.mark.parametrize(("asynchronous", "twin"), PAIRS)
def test_the_twin_has_every_method_with_the_same_parameters(asynchronous: type, twin: type) -> None:
    def methods(of: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(method).parameters)
            for name, method in vars(of).items()
            if inspect.isfunction(method) and not name.startswith("_")
        }

    assert methods(twin) == methods(asynchronous)


def test_results_come_back(worked: blocking.Client) -> None:
    handle = worked.submit(sample_tasks.add.with_args(1, b=2))
    assert handle.result(timeout=30) == 3
    assert handle.done()
    assert handle.status().state is TaskState.SUCCEEDED
    assert worked.run(sample_tasks.reverse.with_args(b"ab")) == b"ba"
    assert worked.submit_raw("sample.add", b'{"a": 1}').result(30) == 2
    many = worked.submit_many([sample_tasks.add.with_args(n) for n in range(20)])
    assert [it.result(30) for it in many] == list(range(1, 21))
    assert worked.handle(handle.id, sample_tasks.add).result(30) == 3


def test_map_is_a_plain_iterator(worked: blocking.Client) -> None:
    results = {it.item: it.result() for it in worked.map(sample_tasks.add, range(300))}
    assert results == {n: n + 1 for n in range(300)}
    calls = [sample_tasks.add.with_args(n) for n in range(10)]
    assert [it.result() for it in worked.map_calls(calls, ordered=True)] == list(range(1, 11))


def test_a_loop_that_is_left_leaves_nothing_behind(worked: blocking.Client) -> None:
    for ended in worked.map(sample_tasks.add, range(1000), window=10):
        assert ended.result() == ended.item + 1
        break
    assert worked.run(sample_tasks.add.with_args(1)) == 2


def test_failures_are_raised_here(worked: blocking.Client) -> None:
    with pytest.raises(TaskFailedError, match="boo"):
        worked.run(sample_tasks.fail.with_args("boo"))


def test_threads_may_share_a_client(worked: blocking.Client) -> None:
    results: list[int] = []

    def work(number: int) -> None:
        results.append(worked.run(sample_tasks.add.with_args(number)))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(1, 21))


def test_an_iterable_that_uses_the_client_is_told_so(worked: blocking.Client) -> None:
    def items() -> Iterator[int]:
        yield worked.run(sample_tasks.add.with_args(1))

    with pytest.raises(PullworkError, match="can't be used from within its own calls"):
        list(worked.map(sample_tasks.add, items()))


def test_tasks_are_watched_cancelled_and_retried(still: blocking.Client, queue: str) -> None:
    watch = still.watch(queue=queue).open()
    handle = still.submit(sample_tasks.add.with_args(1), queue=queue)
    assert handle.explain().reason is WaitReason.NO_WORKER
    assert still.explain(handle.id).task.id == handle.id
    assert [task.id for task in still.list(queue=queue)] == [handle.id]
    with pytest.raises(DeadlineError):
        handle.result(timeout=0.05)
    handle.cancel()
    with pytest.raises(TaskCancelledError):
        handle.result(timeout=10)
    assert next(watch).id == handle.id
    assert watch.cursor is not None
    watch.close()
    assert handle.wait().state is TaskState.CANCELLED
    assert still.retry(handle.id) == [handle.id]
    assert still.cancel(handle.id) == [handle.id]
    assert still.retry_all(TaskFilter(queue=queue, states=[TaskState.CANCELLED])) == 1
    assert still.cancel_all(TaskFilter(queue=queue)) == 1
    assert still.get(handle.id).state is TaskState.CANCELLED
    assert handle.progress() is None


def test_queues_and_nodes_are_seen(still: blocking.Client, queue: str) -> None:
    still.submit(sample_tasks.add.with_args(1), queue=queue)
    assert still.queues.pause(queue).paused
    assert not still.queues.resume(queue).paused
    assert queue in [it.name for it in still.queues.list()]
    assert still.queues.get(queue).waiting == 1
    assert still.queues.set_limits(queue, concurrency=2).limits.concurrency == 2
    assert still.queues.purge(queue) == 1
    with pytest.raises(QueueNotFoundError):
        still.queues.get("never-used")
    assert still.workers() == []
    assert len(still.members()) == 1
    changes = still.watch_registry()
    assert next(changes).change is Change.SNAPSHOT
    changes.close()


def test_nobody_hangs_where_no_master_is(free_port: int) -> None:
    with (
        blocking.Client(f"127.0.0.1:{free_port}", deadline=0.3) as client,
        pytest.raises(UnavailableError, match="no master answered"),
    ):
        client.submit(sample_tasks.add.with_args(1))


def test_the_address_is_a_setting(monkeypatch: pytest.MonkeyPatch, alone: str) -> None:
    monkeypatch.setenv("PULLWORK_ADDRESS", alone)
    with blocking.Client() as client:
        assert client.address == alone
        assert len(client.members()) == 1
    assert pullwork.Client("127.0.0.1:1").address == "127.0.0.1:1"
    first, second = blocking.Client(alone), blocking.Client(alone)
    assert first.owner != second.owner
    assert blocking.Client(alone, owner="me").owner == "me"


def test_a_handle_says_which_task_it_is(still: blocking.Client) -> None:
    task_id = str(uuid.uuid4())
    handle: blocking.Handle[Any] = still.handle(task_id)
    assert task_id in repr(handle)


def test_a_client_is_used_inside_with(alone: str) -> None:
    client = blocking.Client(alone)
    with pytest.raises(PullworkError, match="use it as `with Client"):
        client.members()
    with client:
        listed = client.list()
        client.submit(sample_tasks.add.with_args(1))
        next(listed)
    listed.close()
    with pytest.raises(PullworkError, match="not any more"):
        client.members()
    with pytest.raises(PullworkError, match="a client is used once"):
        client.__enter__()
