"""Every field of every task comes back as it was, whatever its value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_bench import Bench, plain, plain_all
from storage_engines import memory, sqlite
from storage_strategies import changing, tasks

from pullwork_master.core.effects import Wants, Writes
from pullwork_master.core.model import Task
from pullwork_master.storage.base import store
from pullwork_master.storage.sqlite_rows import changes, read, spec_row, task_row

CHANGED = st.fixed_dictionaries(changing)


@pytest.fixture(scope="module", params=[memory, sqlite], ids=lambda engine: engine.__name__)
def standing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """One store for all examples: to make one for each would be most of the work."""
    folder: Path = tmp_path_factory.mktemp("round-trip")
    made = Bench(request.param(folder))
    yield made
    made.close()


@settings(max_examples=150, deadline=None)
@given(task=tasks, changed=CHANGED)
def test_a_task_comes_back_as_it_was_inserted_and_as_it_was_changed(
    standing: Bench, task: Task, changed: dict[str, Any]
) -> None:
    if standing.by_seq(task.seq) or standing.storage.find(Wants(ids=[task.spec.id])).tasks:
        return
    store(standing.storage, Writes(inserted={task.seq: task}))
    assert plain_all(standing.by_seq(task.seq)) == [plain(task)]
    for name, value in changed.items():
        setattr(task, name, value)
    standing.update(task)
    assert plain_all(standing.by_seq(task.seq)) == [plain(task)]
    shown = standing.reader().get(task.spec.id)
    assert shown is not None
    assert plain(shown) == plain(task)


@given(task=tasks)
def test_a_row_is_read_as_the_task_that_it_was_made_of(task: Task) -> None:
    assert plain(read((*task_row(task), *spec_row(task)[1:]))) == plain(task)


def test_every_field_that_can_change_is_written_by_an_update() -> None:
    names = {field.name for field in fields(Task)} - {"seq", "spec", "created_ms", "lease"}
    assert names == changing.keys() | {"expires_ms", "revision"}
    assert len(changes(Task(1, None, 1, 1))) == len(names) + 1  # type: ignore[arg-type]
