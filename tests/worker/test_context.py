"""What a task may say of itself, and what it is told when it says something else."""

from __future__ import annotations

import pytest

from pullwork import context
from pullwork.context import CHECKPOINT_BYTES_MAX, NoTaskError, TaskContext
from pullwork.errors import InvalidFieldError, TaskCancelledError


class Heard:
    """A channel that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []
        self.is_cancelled = False

    def tell(self, fraction: float | None, message: str | None, checkpoint: bytes | None) -> None:
        self.said.append((fraction, message, checkpoint))

    def cancelled(self) -> bool:
        return self.is_cancelled


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def here(heard: Heard) -> TaskContext:
    return TaskContext("id", 1, "type", "queue", "owner", {}, b"", heard)


def test_there_is_no_context_outside_of_a_task() -> None:
    with pytest.raises(NoTaskError, match="inside a task only"):
        context.current()


def test_a_context_is_there_as_long_as_its_task_runs(here: TaskContext) -> None:
    set_before = context.running.set(lambda: here)
    assert context.current() is here
    context.running.reset(set_before)
    with pytest.raises(NoTaskError):
        context.current()


def test_progress_goes_out_as_said(here: TaskContext, heard: Heard) -> None:
    here.progress(1, "done")
    here.save_checkpoint(bytearray(b"x"))
    assert heard.said == [(1.0, "done", None), (None, None, b"x")]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_fraction_is_a_share(here: TaskContext, heard: Heard, fraction: float) -> None:
    with pytest.raises(InvalidFieldError, match="from 0 to 1"):
        here.progress(fraction)
    assert not heard.said


def test_progress_says_something(here: TaskContext) -> None:
    with pytest.raises(InvalidFieldError, match="fraction, a message, or both"):
        here.progress()


def test_a_checkpoint_is_bounded_bytes(here: TaskContext, heard: Heard) -> None:
    with pytest.raises(InvalidFieldError, match="at most"):
        here.save_checkpoint(bytes(CHECKPOINT_BYTES_MAX + 1))
    with pytest.raises(InvalidFieldError, match="bytes, got str"):
        here.save_checkpoint("text")  # type: ignore[arg-type]
    assert not heard.said


def test_a_cancelled_task_is_told(here: TaskContext, heard: Heard) -> None:
    here.raise_if_cancelled()
    heard.is_cancelled = True
    assert here.cancelled
    with pytest.raises(TaskCancelledError):
        here.raise_if_cancelled()
