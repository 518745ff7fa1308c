"""Finds tasks by filter in order of `seq`, along the index that fits the filter.

Waiting, running and dead tasks have indexes of their own; succeeded ones are the bulk and are
found by owner, by queue or by walking over all.
"""

from __future__ import annotations

from typing import NamedTuple

import apsw

from pullwork_master.core.commands import Filter
from pullwork_master.core.model import NODE_PREFIX, State, Task
from pullwork_master.storage import sqlite_queries as sql
from pullwork_master.storage.sqlite_rows import Row, read

_WAITING = (State.SCHEDULED, State.QUEUED)
_DEAD = (State.FAILED, State.CANCELLED)
# An expression, so that no index is chosen for it.
_NO_INSTANCE = f"substr(t.queue, 1, {len(NODE_PREFIX)}) <> '{NODE_PREFIX}'"


class _Part(NamedTuple):
    """How to reach some of the rows, and what must hold for them."""

    access: str
    where: str
    # It walks one queue at a time, since its index is in order of `seq` only within a queue.
    each_queue: bool = False


def search(
    connection: apsw.Connection,
    filter: Filter,
    before_seq: int,
    limit: int,
    columns: str,
    *,
    newest_first: bool,
) -> list[Task]:
    """Runs each part up to the limit and merges them."""
    rows: list[Row] = []
    for part in _parts(filter):
        text, values = _query(part, filter, before_seq, columns, newest_first)
        if part.each_queue:
            queues = connection.execute(sql.WAITING_QUEUES).fetchall()
            for queue in queues:
                rows += connection.execute(text, (*values, *queue, limit)).fetchall()
        else:
            rows += connection.execute(text, (*values, limit)).fetchall()
    rows.sort(key=lambda row: row[0], reverse=newest_first)
    return [read(row) for row in rows[:limit]]


def _query(
    part: _Part, filter: Filter, before_seq: int, columns: str, newest_first: bool
) -> tuple[str, tuple[str | int, ...]]:
    chosen: list[tuple[str, str | int]] = [
        (text, value)
        for text, value in (
            ("t.queue = ?", filter.queue),
            ("t.type = ?", filter.type),
            ("t.owner = ?", filter.owner),
            ("t.seq < ?", before_seq),
        )
        if value
    ]
    where = [part.where, *(text for text, _ in chosen)]
    if filter.but_instances:
        where.append(_NO_INSTANCE)
    if part.each_queue:
        where.append("t.queue = ?")
    text = sql.SEARCH.format(
        columns=columns,
        access=part.access,
        where=" AND ".join(where),
        order="DESC" if newest_first else "ASC",
    )
    return text, tuple(value for _, value in chosen)


def _parts(filter: Filter) -> list[_Part]:
    bulk = "NOT INDEXED"
    if filter.owner:
        bulk = "INDEXED BY tasks_by_owner"
    elif filter.queue:
        bulk = "INDEXED BY tasks_by_queue"
    if not filter.states:
        return [_Part(bulk, "TRUE")]
    if State.SUCCEEDED in filter.states:
        return [_Part(bulk, _one_of(filter.states))]
    parts = []
    if waiting := [state for state in filter.states if state in _WAITING]:
        where = f"t.state <= 2 AND {_one_of(waiting)}"
        if filter.owner and not filter.queue:
            parts.append(_Part(bulk, where))
        else:
            parts.append(_Part("INDEXED BY tasks_waiting_age", where, not filter.queue))
    if State.RUNNING in filter.states:
        parts.append(_Part("INDEXED BY tasks_running", "t.state = 3"))
    if dead := [state for state in filter.states if state in _DEAD]:
        parts.append(_Part("INDEXED BY tasks_dead", f"t.state >= 5 AND {_one_of(dead)}"))
    return parts


def _one_of(states: tuple[State, ...] | list[State]) -> str:
    numbers = sorted({int(state) for state in states})
    # The plus keeps the planner from taking this for a way to reach rows.
    return f"+t.state IN ({', '.join(map(str, numbers))})"
