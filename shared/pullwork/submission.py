"""What a submission may say beside its call, and how both become the contract's TaskSpec."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final, TypedDict

from pullwork.errors import InvalidFieldError
from pullwork.ids import checked_task_id, new_task_id
from pullwork.moments import to_duration, to_timestamp
from pullwork.payload import Encoded
from pullwork.settings.names import near
from pullwork.tasks import Call, Options, Retry
from pullwork.v1 import task_pb2


class SharedOptions(TypedDict, total=False):
    """What may be said of many tasks at once; what is left out is as the task's `@task` says.

    `delay` (seconds) or `not_before` (a datetime with a time zone) is when it may start;
    `timeout` bounds one attempt, `progress_timeout` the time between two signs of progress, in
    seconds, None is no bound; `retention` is for how many seconds the ended task is kept;
    `headers` are words that travel to the worker; `limit_key` is whose share of the queue's limits
    per key it takes.
    """

    queue: str
    priority: int
    delay: float | None
    not_before: datetime.datetime | None
    headers: Mapping[str, str] | None
    timeout: float | None
    progress_timeout: float | None
    retry: Retry | None
    max_worker_deaths: int | None
    retention: float | None
    limit_key: str | None


class SubmitOptions(SharedOptions, total=False):
    """What may be said of one task.

    `task_id` is a UUID that makes the submission safe to repeat, also from another process;
    while a task of one `unique_key` waits or runs in a queue, no second one is made.
    """

    task_id: str | None
    unique_key: str | None


_NAMES: Final = frozenset(SubmitOptions.__annotations__)


def make_spec(
    type: str, payload: Encoded, defaults: Options, given: Mapping[str, Any], owner: str
) -> task_pb2.TaskSpec:
    """Builds what is submitted; raises InvalidFieldError for what can't be packed."""
    if given and not given.keys() <= _NAMES:
        raise _unknown(given)
    task_id = given.get("task_id")
    delay, not_before = given.get("delay"), given.get("not_before")
    if delay is not None and not_before is not None:
        raise InvalidFieldError("say delay or not_before, not both", field="delay")
    spec = _packed(
        task_id=new_task_id() if task_id is None else checked_task_id(task_id),
        queue=given.get("queue") or defaults.queue,
        type=type,
        payload=payload.data,
        content_type=payload.content_type,
        priority=given.get("priority", defaults.priority),
        headers=given.get("headers"),
        max_worker_deaths=given.get("max_worker_deaths", defaults.max_worker_deaths) or 0,
        owner=owner,
        unique_key=given.get("unique_key") or "",
        limit_key=given.get("limit_key") or "",
    )
    if not_before is not None:
        spec.not_before.CopyFrom(to_timestamp(not_before, "not_before"))
    spans = {
        "delay": delay,
        "execution_timeout": given.get("timeout", defaults.timeout),
        "progress_timeout": given.get("progress_timeout", defaults.progress_timeout),
        "retention": given.get("retention", defaults.retention),
    }
    for name, span in spans.items():
        if span is not None:
            getattr(spec, name).CopyFrom(to_duration(span, name))
    retry = given.get("retry", defaults.retry)
    if retry is not None:
        if not isinstance(retry, Retry):
            raise InvalidFieldError(f"retry is {retry!r}; it must be a Retry(...)", field="retry")
        spec.retry.CopyFrom(_policy(retry))
    return spec


def _packed(**facts: Any) -> task_pb2.TaskSpec:
    try:
        return task_pb2.TaskSpec(**facts)
    except (TypeError, ValueError):
        for name, value in facts.items():  # which one it was, protobuf does not tell
            try:
                task_pb2.TaskSpec(**{name: value})
            except (TypeError, ValueError) as error:
                raise InvalidFieldError(f"{name} can't be {value!r}: {error}", field=name) from None
        raise


def _unknown(given: Mapping[str, Any]) -> InvalidFieldError:
    name = min(given.keys() - _NAMES)
    hint = near(name, set(_NAMES)) or f"; there are {', '.join(sorted(_NAMES))}"
    return InvalidFieldError(f"there is no option {name!r}{hint}", field=name)


def call_spec(call: Call[Any], given: Mapping[str, Any], owner: str) -> task_pb2.TaskSpec:
    """Builds the spec of a task's call."""
    if not isinstance(call, Call):
        raise InvalidFieldError(
            f"what is submitted is a call, made by task.with_args(...), got {call!r}", field="call"
        )
    return make_spec(call.task.type, call.payload, call.task.options, given, owner)


def _policy(retry: Retry) -> task_pb2.RetryPolicy:
    return task_pb2.RetryPolicy(
        max_attempts=retry.max_attempts,
        initial_backoff=to_duration(retry.initial_backoff, "retry.initial_backoff"),
        max_backoff=to_duration(retry.max_backoff, "retry.max_backoff"),
        multiplier=retry.multiplier,
    )
