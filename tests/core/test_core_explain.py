"""The master says why a task is where it is: the true reason, in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from world import POLICY, RECONCILE_MS, World, failure, refused, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.explain import Explanation, Why
from pullwork_master.core.limits import AHEAD_COUNTED_MAX
from pullwork_master.core.model import Failure, FailureKind, Retry
from pullwork_master.core.rejections import Reason


def explained(world: World, number: int = 1) -> tuple[Why, str]:
    answer = world.ask(c.Explain(spec(number).id))
    assert isinstance(answer, Explanation), answer
    assert "\n" not in answer.sentence
    assert answer.sentence.endswith(".")
    return answer.why, answer.sentence


def submit(world: World, *which: int, **more: Any) -> None:
    world.submit(*(spec(number, **more) for number in which))


def test_no_worker_at_all(world: World) -> None:
    submit(world, 1)
    why, sentence = explained(world)
    assert why is Why.NO_WORKER
    assert sentence == "No worker is connected, so none knows type 'a'."


def test_no_worker_that_knows_the_type(world: World) -> None:
    world.join("w1", types=("b",))
    world.join("w2", types=("c",))
    submit(world, 1)
    assert explained(world) == (
        Why.NO_WORKER,
        "No connected worker, of 2, knows type 'a'.",
    )


def test_whoever_knows_the_type_serves_other_queues(world: World) -> None:
    world.join("w1", queues=("mail", "late"))
    submit(world, 1)
    why, sentence = explained(world)
    assert why is Why.NO_WORKER
    assert sentence == (
        "No connected worker for type 'a' serves queue 'default'; those that know the "
        "type serve late, mail."
    )


def test_the_ghosts_of_a_restart_are_no_workers(world: World) -> None:
    worker = world.join("w1")
    submit(world, 1)
    world.request(worker, 1)
    world.restart()
    submit(world, 2)
    assert explained(world, 2)[0] is Why.NO_WORKER
    why, sentence = explained(world, 1)
    assert why is Why.RECONCILING
    assert sentence == (
        "It ran on worker 'w1' before the master's restart; the master waits for that worker "
        f"for another {RECONCILE_MS / 1000:.1f} s."
    )


def test_all_workers_are_busy(world: World) -> None:
    worker = world.join("w1", slots=1)
    submit(world, 1, 2, 3)
    world.request(worker, 1)
    why, sentence = explained(world, 3)
    assert why is Why.ALL_BUSY
    assert sentence.startswith("Every slot is busy: 1 worker with 1 slot for type 'a' in queue")
    assert "; 1 task before it in its line." in sentence


def test_its_queue_is_paused(world: World) -> None:
    submit(world, 1)
    world.ask(c.SetPaused("default", True))
    assert explained(world) == (
        Why.QUEUE_PAUSED,
        "Queue 'default' is paused; resume it to let its tasks go on.",
    )


def test_it_is_delayed(world: World) -> None:
    world.submit(spec(1), delay_ms=90_000)
    world.pass_time(500)
    assert explained(world) == (Why.DELAYED, "It is delayed and becomes ready in 89.5 s.")


@pytest.mark.parametrize(
    ("delay_ms", "words"),
    [
        (119_900, "119.9 s"),
        (3_599_000, "59 min 59 s"),
        (9_000_000, "2 h 30 min"),
        (47 * 3_600_000, "47 h 0 min"),
        (49 * 3_600_000, "2 d 1 h"),
    ],
)
def test_a_long_wait_is_told_in_its_two_largest_units(
    world: World, delay_ms: int, words: str
) -> None:
    world.submit(spec(1), delay_ms=delay_ms)
    assert explained(world) == (Why.DELAYED, f"It is delayed and becomes ready in {words}.")


def test_it_is_backing_off(world: World) -> None:
    worker = world.join("w1")
    submit(world, 1, retry=Retry(5, initial_ms=60_000))
    world.request(worker, 1)
    told = Failure(FailureKind.APPLICATION, "E", "no such file.\nTraceback: ...")
    world.report(worker, c.Outcome(worker.token, told, b"d"))
    why, sentence = explained(world)
    assert why is Why.BACKING_OFF
    assert sentence.startswith("Attempt 1 failed (no such file); the next may start in 5")
    assert sentence.endswith("s, with 1 of 5 attempts used.")


def test_it_is_in_line(world: World) -> None:
    world.join("w1")
    submit(world, 1, 2, 3)
    submit(world, 4, priority=1)
    assert explained(world, 2) == (
        Why.IN_LINE,
        "It is in line: 2 tasks before it in its line, and 1 worker for all.",
    )
    assert explained(world, 4)[1].startswith("It is in line: 0 tasks before it in its line")


def test_those_before_it_on_disk_alone_are_a_lower_bound(world: World) -> None:
    world.join("w1")
    submit(world, *range(1, 100))
    answer = world.ask(c.Explain(spec(99).id))
    assert isinstance(answer, Explanation)
    assert 0 < answer.ahead <= min(98, AHEAD_COUNTED_MAX)


def test_every_worker_that_could_is_leaving_or_out_of_contact(world: World) -> None:
    leaving, lost = world.join("w1"), world.join("w2")
    world.ask(c.Drain(leaving.session))
    world.break_stream(lost)
    submit(world, 1)
    assert explained(world) == (
        Why.WORKERS_LEAVING,
        "Every worker for type 'a' in queue 'default' is draining or out of contact (w1, w2).",
    )


def test_it_is_running(world: World) -> None:
    worker = world.join("w1")
    submit(world, 1)
    world.request(worker, 1)
    world.pass_time(1_500)
    why, sentence = explained(world)
    assert why is Why.NOT_WAITING
    assert sentence == "It is running on worker 'w1' as attempt 1 for 1.5 s."


def test_its_worker_is_out_of_contact(world: World) -> None:
    worker = world.join("w1")
    submit(world, 1)
    world.request(worker, 1)
    world.break_stream(worker)
    why, sentence = explained(world)
    assert why is Why.NOT_WAITING
    assert "out of contact (its stream broke)" in sentence
    assert "goes back to its queue in 0.5 s unless it returns" in sentence


def test_it_is_quarantined(world: World) -> None:
    worker = world.join("w1")
    submit(world, 1, max_worker_deaths=1)
    world.request(worker, 1)
    world.report(worker, failure(worker.token, FailureKind.WORKER_LOST))
    assert explained(world) == (
        Why.QUARANTINED,
        "It is quarantined: 1 workers or executors died with it, as many as it may cost; "
        "the last: it broke.",
    )


def test_it_failed(world: World) -> None:
    worker = world.join("w1")
    submit(world, 1)
    world.request(worker, 1)
    world.report(worker, failure(worker.token))
    assert explained(world) == (
        Why.NOT_WAITING,
        "It failed after 1 of 1 attempts, as APPLICATION: it broke.",
    )


def test_it_succeeded_or_was_cancelled(world: World) -> None:
    worker = world.join("w1")
    submit(world, 1, 2)
    world.request(worker, 1)
    world.report(worker, success(worker.token))
    world.cancel(spec(2).id)
    assert explained(world, 1) == (
        Why.NOT_WAITING,
        "It succeeded in attempt 1 on worker 'w1'.",
    )
    assert explained(world, 2) == (Why.NOT_WAITING, "It was cancelled.")


def test_an_unknown_task_is_refused(world: World) -> None:
    refused(world.ask(c.Explain(spec(1).id)), Reason.TASK_NOT_FOUND)


def test_to_explain_changes_nothing(world: World) -> None:
    submit(world, *range(1, 30))
    before = dict(world.storage.tasks)
    for number in range(1, 30):
        explained(world, number)
    assert world.storage.tasks == before
    assert len(world.core.book.tasks) <= 2 * POLICY.window_tasks
