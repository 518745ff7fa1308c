"""Ids that a client makes."""

from __future__ import annotations

import time
import uuid

from pullwork.ids import new_task_id


def test_an_id_is_a_uuid_of_version_7() -> None:
    for _ in range(1000):
        task_id = new_task_id()
        parsed = uuid.UUID(task_id)
        assert str(parsed) == task_id
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_an_id_begins_with_its_moment() -> None:
    before_ms = time.time_ns() // 1_000_000
    made_ms = uuid.UUID(new_task_id()).int >> 80
    assert before_ms <= made_ms <= time.time_ns() // 1_000_000


def test_ids_differ() -> None:
    assert len({new_task_id() for _ in range(10_000)}) == 10_000
