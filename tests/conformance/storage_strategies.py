"""Tasks as hypothesis makes them: every field, every kind of value that the wire lets through."""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import strategies as st
from storage_bench import id_of

from pullwork_master.core.model import (
    Attempt,
    AttemptEnd,
    Failure,
    FailureKind,
    Retry,
    Spec,
    State,
    Task,
)

# What protobuf calls a string: any text but lone surrogates.
texts = st.text(st.characters(codec="utf-8"), max_size=12)
names = st.sampled_from(["", "a", "ä", "naïve ☃", "'; DROP TABLE tasks; --", "\0", "%", "A"])
moments = st.integers(0, 2**53)
counts = st.integers(0, 2**31 - 1)
blobs = st.binary(max_size=40)

failures = st.builds(
    Failure, st.sampled_from(FailureKind), texts, texts, texts, retryable=st.booleans()
)
attempts = st.builds(
    Attempt,
    number=counts,
    worker=texts,
    session=texts,
    started_ms=moments,
    ended_ms=moments,
    end=st.sampled_from(AttemptEnd),
    failure=st.none() | failures,
    digest=blobs,
)
retries = st.builds(
    Retry, counts, moments, moments, st.floats(0, 1e6, allow_nan=False, allow_infinity=False)
)
specs = st.builds(
    Spec,
    id=st.uuids().map(str),
    queue=texts,
    type=texts,
    payload=blobs,
    content_type=texts,
    headers=st.dictionaries(texts, texts, max_size=3).map(lambda headers: tuple(headers.items())),
    priority=st.integers(-100, 100),
    not_before_ms=moments,
    execution_timeout_ms=moments,
    progress_timeout_ms=moments,
    retry=retries,
    max_worker_deaths=counts,
    owner=texts,
    retention_ms=moments,
    unique_key=texts,
    digest=blobs,
    limit_key=texts,
    flow=st.integers(0, 1_023),
)
# All that may change, in any combination: more than the core ever makes.
changing: dict[str, st.SearchStrategy[Any]] = {
    "state": st.sampled_from(State),
    "attempt": counts,
    "failures": counts,
    "deaths": counts,
    "ready_ms": moments,
    "started_ms": moments,
    "ended_ms": moments,
    "session": texts,
    "worker": texts,
    "history": st.lists(attempts, max_size=3).map(tuple),
    "result": st.none() | blobs,
    "result_content_type": texts,
    "failure": st.none() | failures,
    "checkpoint": blobs,
    "digest": blobs,
}
tasks = st.builds(
    Task,
    seq=st.integers(1, 2**62),
    spec=specs,
    created_ms=moments,
    expires_ms=moments,
    revision=moments,
    **changing,
)
# The fields that storage looks at, from few values, so that tasks meet.
meeting_specs = st.builds(
    # Of a tuple's class hypothesis would make up the fields that are left out here.
    lambda **fields: Spec(**fields),  # noqa: PLW0108
    id=st.just(str(uuid.UUID(int=0))),
    queue=st.sampled_from(["a", "b"]),
    type=st.sampled_from(["t", "u"]),
    owner=st.sampled_from(["", "x", "y"]),
    unique_key=st.sampled_from(["", "", "k", "l"]),
    priority=st.integers(-1, 1),
    flow=st.integers(0, 1),
    payload=blobs,
    digest=blobs,
)
meeting_changes = st.fixed_dictionaries(
    {
        "state": st.sampled_from(State),
        "ready_ms": st.integers(0, 3),
        "expires_ms": st.integers(0, 6),
        "attempt": st.integers(0, 3),
        "result": st.none() | blobs,
        "failure": st.none() | failures,
        "checkpoint": blobs,
    }
)


def change(task: Task, fields: dict[str, Any], revision: int) -> None:
    """Brings a task to other values; one that has ended gets its place in the order of ends."""
    for name, value in fields.items():
        setattr(task, name, value)
    task.revision = revision if task.state.ended else 0
    if not task.state.ended:
        task.expires_ms = 0


def named(spec: Spec, seq: int) -> Spec:
    """Gives a spec the id that goes with a seq."""
    return spec._replace(id=id_of(seq))
