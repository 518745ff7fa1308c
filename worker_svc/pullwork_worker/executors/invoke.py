"""How a function is called with a payload, and what becomes of what it returns or raises.

The same in a child process, in a thread and on the loop.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Final

from pullwork.context import Channel, TaskContext, running
from pullwork.errors import PayloadError
from pullwork.payload import decode_args, encode_result
from pullwork.tasks import Task
from pullwork_worker.executors.work import Work
from pullwork_worker.outcome import Blame, Failure, Outcome, Success

AnyTask = Task[..., Any]

# The contract's bounds in bytes, in characters of at most four.
_TYPE_CHARS_MAX: Final = 64
_MESSAGE_CHARS_MAX: Final = 1024
_DETAILS_CHARS_MAX: Final = 8 * 1024


def context_of(work: Work, channel: Channel) -> TaskContext:
    """Returns what the function gets from `pullwork.context.current()`."""
    return TaskContext(
        task_id=work.task_id,
        attempt=work.attempt,
        type=work.type,
        queue=work.queue,
        owner=work.owner,
        headers=work.headers,
        checkpoint=work.checkpoint,
        channel=channel,
    )


def call(task: AnyTask, work: Work, make_context: Callable[[], TaskContext]) -> Outcome:
    """Calls a function and returns how it ended; lets MemoryError through."""
    try:
        args, kwargs = decode_args(task, work.payload, work.content_type)
    except PayloadError as error:
        return rejected(error)
    before = running.set(make_context)
    try:
        value = task.fn(*args, **kwargs)
    except MemoryError:
        raise
    except BaseException as error:  # SystemExit too: a task ends, not its executor
        return failure_of(error)
    finally:
        running.reset(before)
    return packed(task, value)


def packed(task: AnyTask, value: object) -> Outcome:
    """Returns the success of a function, or the failure of one whose result can't travel."""
    try:
        data, content_type = encode_result(task, value)
    except PayloadError as error:
        return unusable_result(str(error))
    return Success(data, content_type)


def rejected(error: PayloadError) -> Failure:
    """Returns the failure of a task whose payload its function can't take."""
    message = str(error)[:_MESSAGE_CHARS_MAX]
    return Failure(Blame.REJECTED, name_of(error), message, retryable=False)


def unusable_result(message: str) -> Failure:
    """Returns the failure of a task whose result can't travel; another try would give the same."""
    message = message[:_MESSAGE_CHARS_MAX]
    return Failure(Blame.APPLICATION, "pullwork.errors.PayloadError", message, retryable=False)


def failure_of(error: BaseException) -> Failure:
    """Returns the failure for what a function raised; its traceback begins in the function.

    An exception with an attribute `retryable` that is False is not tried again.
    """
    trace = error.__traceback__
    trace = trace.tb_next if trace is not None else None
    details = "".join(traceback.format_exception(type(error), error, trace, limit=-50))
    return Failure(
        Blame.APPLICATION,
        name_of(error),
        str(error)[:_MESSAGE_CHARS_MAX] or name_of(error),
        details[-_DETAILS_CHARS_MAX:],
        getattr(error, "retryable", True) is not False,
    )


def name_of(error: BaseException) -> str:
    """Returns an error's name as failures carry it, e.g. `builtins.ValueError`."""
    kind = type(error)
    return f"{kind.__module__}.{kind.__qualname__}"[-_TYPE_CHARS_MAX * 4 :]
