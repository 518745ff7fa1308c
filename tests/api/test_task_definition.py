"""Which functions can be tasks, and what is said of those that can't."""

from __future__ import annotations

import functools
import pickle
import runpy
import sys
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sample_tasks

from pullwork.errors import TaskDefinitionError
from pullwork.tasks import CoroutineTask, FunctionTask, Retry, Task, collect, task


def plain(path: str) -> int:
    """Counts."""
    return len(path)


def test_a_task_is_called_like_its_function() -> None:
    made = task(plain)
    assert made("abc") == 3
    assert made.__name__ == "plain"
    assert made.__doc__ == "Counts."


async def test_a_coroutine_task_is_awaited_like_its_function() -> None:
    assert await sample_tasks.add(1, b=2) == 3


def test_the_executor_follows_the_kind_of_function() -> None:
    assert task(plain).executor == "process"
    assert isinstance(task(plain), FunctionTask)
    assert sample_tasks.add.executor == "coroutine"
    assert isinstance(sample_tasks.add, CoroutineTask)
    assert sample_tasks.move.executor == "thread"


def test_the_type_is_module_and_function_unless_said() -> None:
    assert task(plain).type == f"{__name__}.plain"
    assert sample_tasks.add.type == "sample.add"


def test_a_scripts_tasks_have_the_type_by_which_workers_import_them(tmp_path: Path) -> None:
    script = tmp_path / "counting.py"
    script.write_text("from pullwork import task\n@task\ndef count(n: int) -> int: return n\n")
    as_script = runpy.run_path(str(script), run_name="__main__")["count"]
    sys.path.insert(0, str(tmp_path))
    try:
        as_module = runpy.run_module("counting")["count"]
    finally:
        sys.path.remove(str(tmp_path))
    assert as_script.type == as_module.type == "counting.count"


def test_a_task_is_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(sample_tasks.add)) is sample_tasks.add


def nested() -> Task[[], None]:
    @task
    def inside() -> None: ...

    return inside


def variadic(*paths: str) -> None: ...
def keywords(**options: str) -> None: ...
def generator(n: int) -> Iterator[int]:
    yield n


async def async_generator(n: int) -> AsyncIterator[int]:
    yield n


async def coroutine() -> None: ...


class Worker:
    def method(self, n: int) -> None: ...


REFUSED: list[tuple[Any, str]] = [
    (nested, "move it there, or choose executor='thread'"),
    (lambda: task(lambda n: n), "move it there, or choose executor='thread'"),
    (lambda: task(Worker.method), "not at the top of its module"),
    (lambda: task(variadic), r"takes \*paths.*take a list instead"),
    (lambda: task(keywords), r"takes \*\*options.*take a dict instead"),
    (lambda: task(generator), "yields, but a task gives one result"),
    (lambda: task(async_generator), "yields, but a task gives one result"),
    (lambda: task(len), "takes a function written with def"),
    (lambda: task(functools.partial(plain, "a")), "takes a function written with def"),
    (lambda: task(task(plain)), "is a task already"),
    (lambda: task(executor="coroutine")(plain), "can't run a def; write async def"),
    (lambda: task(executor="process")(coroutine), "can't run an async def"),
    (lambda: task(executor="fiber")(plain), "no executor 'fiber'"),  # type: ignore[call-overload]
    (lambda: task(type="has space")(plain), "is no usable type; pass type="),
    (lambda: task(queue="")(plain), "queue ''"),
    (lambda: task(priority=101)(plain), "priority must be from -100 to 100"),
    (lambda: task(timeout=0)(plain), "timeout must be more than 0"),
    (lambda: task(progress_timeout=-1)(plain), "progress_timeout must be more than 0"),
    (lambda: task(retention=-1)(plain), "retention must be 0 or more"),
    (lambda: task(max_worker_deaths=0)(plain), "max_worker_deaths must be from 1"),
    (lambda: Retry(max_attempts=0), "max_attempts must be from 1"),
    (lambda: Retry(initial_backoff=-1), "initial_backoff must be 0 or more"),
    (lambda: Retry(max_backoff=float("nan")), "max_backoff must be 0 or more"),
    (lambda: Retry(initial_backoff=600), "max_backoff, 300 s, is shorter than initial_backoff"),
    (lambda: Retry(multiplier=0.5), "multiplier must be from 1"),
]


@pytest.mark.parametrize(("define", "said"), REFUSED)
def test_what_can_be_no_task_is_refused_where_it_is_defined(define: Any, said: str) -> None:
    with pytest.raises(TaskDefinitionError, match=said):
        define()


def test_a_nested_function_may_be_a_task_in_a_thread() -> None:
    assert task(executor="thread", type="plus_one")(lambda n: n + 1).fn(1) == 2


def module_of(**names: object) -> types.ModuleType:
    module = types.ModuleType("made")
    vars(module).update(names)
    return module


def test_the_tasks_of_a_module_are_found_by_type() -> None:
    found = collect(sample_tasks)
    assert found["sample.add"] is sample_tasks.add
    assert set(found) == {value.type for value in vars(sample_tasks).values() if is_task(value)}


def is_task(value: object) -> bool:
    return isinstance(value, Task)


def test_a_task_under_two_names_is_one() -> None:
    assert len(collect(module_of(one=sample_tasks.add, other=sample_tasks.add))) == 1


def test_two_functions_of_one_type_are_refused_by_both_names() -> None:
    other = task(type="sample.add")(plain)
    with pytest.raises(TaskDefinitionError, match=r"sample_tasks\.add.*test_task_.*plain"):
        collect(module_of(one=sample_tasks.add, other=other))


class Strange:
    """Something that cannot travel."""


def takes_strange(it: Strange) -> None: ...
def returns_strange() -> Strange:
    return Strange()


def takes_unknown(it: NoSuchName) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("function", [takes_strange, returns_strange])
def test_an_annotation_that_cannot_travel_is_told_when_a_worker_starts(function: Any) -> None:
    with pytest.raises(TaskDefinitionError, match=r"can't travel: .*Strange.*Use JSON types"):
        collect(module_of(it=task(function)))


def test_an_annotation_that_cannot_be_resolved_is_told_by_name() -> None:
    made = task(takes_unknown)
    with pytest.raises(TaskDefinitionError, match="'NoSuchName' is not defined; import the names"):
        made.with_args(1)


def test_only_bytes_have_a_content_type_of_their_own() -> None:
    with pytest.raises(TaskDefinitionError, match="only a function whose one parameter is bytes"):
        collect(module_of(it=task(content_type="text/plain")(plain)))
