"""The checker finds each way in which a task can be lost or doubled, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fault_harness.checker import Seen, check
from fault_harness.executions import Execution, ExecutionLog, read_executions
from fault_harness.history import End, History

DONE = End("t", "SUCCEEDED", 1, 7, "1:50:1")
RAN = Execution("t", 1, 50, 1, 10.0, 11.0)


def well() -> Seen:
    """Returns a history in which one task went its way."""
    seen = Seen(attempted={"t"}, acknowledged={"t"}, executions=[RAN])
    seen.ends["t"].add(DONE)
    seen.kept["t"] = replace(DONE, result=None)
    return seen


def test_a_history_without_harm_has_no_problem() -> None:
    account = check(well())
    assert account.problems == ()
    assert (account.tasks, account.recovered, account.over_one) == (1, 0, 0)


def test_a_task_that_the_master_does_not_know_is_lost() -> None:
    seen = well()
    del seen.kept["t"]
    assert "the master does not know it" in check(seen).lost[0]


@pytest.mark.parametrize("state", ["QUEUED", "RUNNING", "SCHEDULED"])
def test_a_task_that_never_ended_is_lost(state: str) -> None:
    seen = well()
    seen.ends.clear()
    seen.kept["t"] = replace(DONE, state=state)
    assert state in check(seen).lost[0]
    assert check(seen, over=False).lost == ()


def test_an_end_that_was_never_told_is_lost() -> None:
    seen = well()
    seen.ends.clear()
    assert "never told" in check(seen).lost[0]


@pytest.mark.parametrize(
    "other", [replace(DONE, revision=8), replace(DONE, result="1:50:2"), replace(DONE, attempt=2)]
)
def test_two_ends_of_a_task_are_one_too_many(other: End) -> None:
    seen = well()
    seen.ends["t"].add(other)
    assert check(seen).accepted_twice


def test_another_end_than_the_one_told_is_one_too_many() -> None:
    seen = well()
    seen.kept["t"] = replace(DONE, revision=9)
    assert check(seen).accepted_twice


def test_a_result_of_an_attempt_whose_lease_did_not_stand_is_one_too_many() -> None:
    seen = well()
    seen.ends["t"] = {replace(DONE, attempt=2)}
    seen.kept["t"] = replace(DONE, attempt=2)
    assert "stale lease" in check(seen).accepted_twice[0]


def test_an_end_of_what_nobody_submitted_is_unexpected() -> None:
    seen = well()
    seen.attempted.clear()
    assert check(seen).unexpected


@pytest.mark.parametrize("ran", [[], [replace(RAN, ended=None)], [replace(RAN, serial=2)]])
def test_a_result_that_no_execution_returned_is_unexpected(ran: list[Execution]) -> None:
    seen = well()
    seen.executions = ran
    assert check(seen).unexpected


def test_what_was_never_acknowledged_may_be_there_or_not() -> None:
    seen = well()
    seen.acknowledged.clear()
    assert (check(seen).problems, check(seen).recovered) == ((), 1)
    seen = Seen(attempted={"t"})
    assert (check(seen).problems, check(seen).recovered) == ((), 0)


def test_executions_over_one_are_counted_and_allowed() -> None:
    seen = well()
    seen.executions += [replace(RAN, attempt=2, serial=2), replace(RAN, attempt=3, serial=3)]
    assert (check(seen).problems, check(seen).over_one) == ((), 2)


def test_the_files_tell_what_was_written(tmp_path: Path) -> None:
    log, history = ExecutionLog(tmp_path), History(tmp_path)
    history.attempted(["t", "u"])
    history.acknowledged(["t"])
    serial = log.start("t", 1)
    log.start("u", 4)
    end = replace(DONE, result=log.end(serial, 1))
    history.ended(end)
    history.close()
    seen = Seen.read(history.path, [end])
    assert (seen.attempted, seen.acknowledged) == ({"t", "u"}, {"t"})
    assert seen.ends == {"t": {end}}
    ran = {it.task_id: it for it in read_executions(tmp_path)}
    assert ran["u"].ended is None
    assert ran["t"].result == end.result
    assert check(seen).problems == ()
