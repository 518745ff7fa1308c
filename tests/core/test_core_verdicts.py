"""The master's word on a report: acceptance of a result is exactly once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from world import POLICY, Worker, World, failure, released, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.commands import Verdict
from pullwork_master.core.leases import NUMBER_CHARS_MAX, parse_token
from pullwork_master.core.limits import ATTEMPTS_KEPT
from pullwork_master.core.model import FailureKind, Retry, State

RETRIED = Retry(max_attempts=100, initial_ms=0, max_ms=0)


def holding(world: World, **more: object) -> Worker:
    """Has a worker hold the first attempt of task 1."""
    worker = world.join("w1")
    world.submit(spec(1, **{"retry": RETRIED, "max_worker_deaths": 100, **more}))
    world.request(worker, 1)
    return worker


def hold_again(world: World, worker: Worker) -> str:
    """Has the next attempt granted; returns its token."""
    world.pass_time(1)
    worker.held.clear()
    world.request(worker, 1)
    return worker.token


OUTCOMES = [success, failure, released]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_an_outcome_is_accepted_and_its_repeat_as_well(world: World, outcome: object) -> None:
    worker = holding(world)
    told = outcome(worker.token)  # type: ignore[operator]
    assert world.verdict(worker, told) is Verdict.ACCEPTED
    after = world.task(1)
    for _ in range(3):
        assert world.verdict(worker, told) is Verdict.ACCEPTED
    assert world.task(1) is after, "a repeat writes nothing"


@pytest.mark.parametrize("second", OUTCOMES)
@pytest.mark.parametrize("first", OUTCOMES)
def test_another_outcome_under_an_accepted_lease_is_a_conflict(
    world: World, first: object, second: object
) -> None:
    worker = holding(world)
    token = worker.token
    world.verdict(worker, first(token))  # type: ignore[operator]
    after = world.task(1)
    other = second(token)._replace(digest=b"of other content")  # type: ignore[operator]
    assert world.verdict(worker, other) is Verdict.CONFLICT
    assert world.task(1) is after, "the one that was accepted stands"


@pytest.mark.parametrize("outcome", [failure, released])
def test_a_repeat_is_accepted_also_after_the_next_attempt_was_granted(
    world: World, outcome: object
) -> None:
    worker = holding(world)
    first = outcome(worker.token)  # type: ignore[operator]
    world.verdict(worker, first)
    token = hold_again(world, worker)
    held = worker.held
    assert world.verdict(worker, first) is Verdict.ACCEPTED
    assert world.verdict(worker, success(first.token)) is Verdict.CONFLICT
    assert world.task(1).attempt == 2
    assert world.task(1).state is State.RUNNING
    assert token in held
    assert world.verdict(worker, success(token)) is Verdict.ACCEPTED


def test_a_stale_lease_never_completes_a_task(world: World) -> None:
    first = holding(world)
    stale = success(first.token, b"too late")
    world.ask(c.Evict("w1"))
    second = world.join("w2")
    world.request(second, 1)
    world.register(first)
    assert world.verdict(first, stale) is Verdict.STALE_LEASE
    assert world.task(1).state is State.RUNNING
    assert world.verdict(second, success(second.token, b"in time")) is Verdict.ACCEPTED
    assert world.task(1).result == b"in time"
    assert world.verdict(first, stale) is Verdict.STALE_LEASE


def test_the_lease_of_another_session_is_never_accepted(world: World) -> None:
    holder = holding(world)
    thief = world.join("w2")
    assert world.verdict(thief, success(holder.token)) is Verdict.STALE_LEASE
    assert world.task(1).state is State.RUNNING


def test_a_result_is_accepted_once_whoever_reports_it(world: World) -> None:
    holder = holding(world)
    token = holder.token
    assert world.verdict(holder, success(token, b"one")) is Verdict.ACCEPTED
    assert world.verdict(holder, success(token, b"two")) is Verdict.CONFLICT
    assert world.verdict(holder, failure(token)) is Verdict.CONFLICT
    assert world.task(1).result == b"one"


def test_one_report_with_the_same_lease_twice_takes_the_first(world: World) -> None:
    worker = holding(world)
    token = worker.token
    answer = world.report(worker, success(token, b"one"), success(token, b"two"))
    assert isinstance(answer, c.Reported)
    assert answer.verdicts == (Verdict.ACCEPTED, Verdict.CONFLICT)


def test_verdicts_stand_in_the_order_of_the_outcomes(world: World) -> None:
    worker = holding(world)
    token = worker.token
    answer = world.report(worker, success("99.1.nobody"), success(token), failure(token))
    assert isinstance(answer, c.Reported)
    assert answer.verdicts == (Verdict.UNKNOWN_TASK, Verdict.ACCEPTED, Verdict.CONFLICT)


def test_a_report_after_a_timeout_is_stale_whatever_became_of_the_task(world: World) -> None:
    worker = holding(world, execution_timeout_ms=1_000)
    token = worker.token
    for _ in range(4):
        world.pass_time(1_000)
        world.heartbeat(worker, (token,))
    assert world.task(1).failures == 1
    assert world.verdict(worker, success(token)) is Verdict.STALE_LEASE
    hold_again(world, worker)
    assert world.verdict(worker, success(token)) is Verdict.STALE_LEASE


def test_a_report_after_a_cancellation_is_stale(world: World) -> None:
    worker = holding(world)
    world.cancel(spec(1).id)
    assert world.verdict(worker, success(worker.token)) is Verdict.STALE_LEASE
    assert world.task(1).state is State.CANCELLED


def test_a_task_that_retention_deleted_is_unknown(world: World) -> None:
    worker = holding(world, retention_ms=1)
    done = success(worker.token)
    assert world.verdict(worker, done) is Verdict.ACCEPTED
    world.pass_time(2 * POLICY.sweep_every_ms)
    assert world.verdict(worker, done) is Verdict.UNKNOWN_TASK


def test_a_kept_lease_is_reported_under_the_new_session_and_its_repeat_under_the_next(
    world: World,
) -> None:
    worker = holding(world)
    done = success(worker.token)
    world.register(worker)
    assert world.verdict(worker, done) is Verdict.ACCEPTED
    world.register(worker)
    assert world.verdict(worker, done) is Verdict.ACCEPTED, "a session lost costs no answer"
    assert world.verdict(worker, failure(done.token)) is Verdict.CONFLICT


def test_a_repeat_is_accepted_after_a_restart_of_the_master(world: World) -> None:
    worker = holding(world)
    done = success(worker.token)
    world.verdict(worker, done)
    world.restart()
    world.register(worker)
    assert world.verdict(worker, done) is Verdict.ACCEPTED
    assert world.verdict(worker, success(done.token, b"other")) is Verdict.CONFLICT


def test_a_retried_task_forgets_its_end_and_keeps_its_story(world: World) -> None:
    worker = holding(world, retry=Retry(max_attempts=1))
    broke = failure(worker.token)
    world.verdict(worker, broke)
    world.retry(spec(1).id)
    assert world.verdict(worker, broke) is Verdict.ACCEPTED
    token = hold_again(world, worker)
    assert world.verdict(worker, broke) is Verdict.ACCEPTED
    assert world.verdict(worker, success(token)) is Verdict.ACCEPTED
    assert world.task(1).attempt == 2


def test_a_story_is_bounded_and_what_left_it_is_stale(world: World) -> None:
    worker = holding(world)
    first = failure(worker.token)
    world.verdict(worker, first)
    for _ in range(ATTEMPTS_KEPT):
        world.verdict(worker, failure(hold_again(world, worker)))
    assert len(world.task(1).history) == ATTEMPTS_KEPT
    assert [line.number for line in world.task(1).history] == list(range(2, ATTEMPTS_KEPT + 2))
    assert world.verdict(worker, first) is Verdict.STALE_LEASE


def test_attempt_numbers_never_repeat(world: World) -> None:
    worker = holding(world)
    numbers = [world.task(1).attempt]
    for outcome in (released, failure, released, failure):
        world.verdict(worker, outcome(worker.token))
        hold_again(world, worker)
        numbers.append(world.task(1).attempt)
    world.restart()
    world.register(worker)
    world.report(worker, failure(worker.token, FailureKind.WORKER_LOST))
    hold_again(world, worker)
    numbers.append(world.task(1).attempt)
    assert numbers == [1, 2, 3, 4, 5, 6]


@settings(deadline=None)
@given(st.text(max_size=60) | st.from_regex(r"[0-9]{0,30}\.[0-9]{0,30}\.[0-9a-f-]{0,20}"))
def test_whatever_claims_to_be_a_token_is_read_or_refused_and_fits_on_disk(token: str) -> None:
    parsed = parse_token(token)
    if parsed is not None:
        seq, attempt, _ = parsed
        assert 0 <= seq < 2**63
        assert 0 <= attempt < 2**63


def test_a_token_of_any_length_harms_nobody(world: World) -> None:
    assert parse_token("9" * 10_000 + ".1.x") is None
    assert parse_token("1." + "9" * 10_000 + ".x") is None
    worker = holding(world)
    far = "9" * NUMBER_CHARS_MAX
    assert world.verdict(worker, success(f"{far}.{far}.x")) is Verdict.UNKNOWN_TASK
    answer = world.heartbeat(worker, ("9" * 10_000 + ".1.x", "what?", worker.token))
    assert isinstance(answer, c.HeartbeatAnswer)
    assert len(answer.abandon) == 2
