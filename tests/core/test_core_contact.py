"""How long a worker is believed: after a clean break, after silence, after a pause of our own."""

from __future__ import annotations

from dataclasses import replace

import pytest
from world import LEASE_MS, POLICY, SILENCE_MS, Worker, World, refused, released, spec, success

from pullwork_master.core import commands as c
from pullwork_master.core.effects import DrainAsked, SessionEnded
from pullwork_master.core.explain import Explanation, Why
from pullwork_master.core.limits import ENDED_SESSIONS_REMEMBERED
from pullwork_master.core.model import AttemptEnd, Contact, Load, State
from pullwork_master.core.rejections import Reason

POLICY_OF_TWO = replace(POLICY, sessions_max=2)


def working(world: World, name: str = "w1") -> Worker:
    """Has a worker join and hold task 1."""
    worker = world.join(name)
    world.submit(spec(1))
    world.request(worker, 1)
    assert len(worker.held) == 1
    return worker


def keep_in_touch(world: World, worker: Worker, ms: int) -> None:
    for _ in range(ms // 500):
        world.pass_time(500)
        world.heartbeat(worker)


def test_a_worker_in_contact_keeps_its_lease_for_as_long_as_it_takes(world: World) -> None:
    worker = working(world)
    keep_in_touch(world, worker, 60_000)
    assert world.verdict(worker, success(worker.token)) is c.Verdict.ACCEPTED


def test_after_a_clean_break_leases_stand_for_the_grace_and_no_longer(world: World) -> None:
    worker = working(world)
    world.break_stream(worker)
    assert world.session(worker).contact is Contact.SUSPECT
    world.pass_time(POLICY.grace_ms - 1)
    assert world.task(1).state is State.RUNNING
    world.pass_time(1)
    assert world.task(1).state is State.QUEUED
    assert not world.alive(worker)
    assert world.task(1).deaths == 1


def test_a_stream_that_comes_back_in_time_costs_nothing(world: World) -> None:
    worker = working(world)
    world.break_stream(worker)
    world.pass_time(POLICY.grace_ms - 1)
    world.open_stream(worker)
    keep_in_touch(world, worker, 10_000)
    assert world.session(worker).contact is Contact.CONNECTED
    assert world.task(1).state is State.RUNNING
    assert world.task(1).history == ()


def test_the_break_of_a_stream_that_was_replaced_means_nothing(world: World) -> None:
    worker = working(world)
    first = worker.stream
    world.open_stream(worker)
    world.ask(c.StreamBroke(worker.session, first))
    assert world.session(worker).contact is Contact.CONNECTED
    world.ask(c.StreamBroke("no such session", first))


def test_silence_is_doubted_after_three_heartbeats_and_ends_after_its_longer_grace(
    world: World,
) -> None:
    worker = working(world)
    world.pass_time(SILENCE_MS - 1)
    assert world.session(worker).contact is Contact.CONNECTED
    world.pass_time(1)
    assert world.session(worker).contact is Contact.SUSPECT
    world.pass_time(POLICY.silence_grace_ms - 1)
    assert world.task(1).state is State.RUNNING
    world.pass_time(1)
    assert world.task(1).state is State.QUEUED
    (ended,) = world.news_of(worker, SessionEnded)
    assert ended.reason == f"silent for {SILENCE_MS} ms"


def test_a_silent_worker_that_is_heard_again_is_believed_again(world: World) -> None:
    worker = working(world)
    world.pass_time(SILENCE_MS + POLICY.silence_grace_ms - 1)
    world.heartbeat(worker)
    assert world.session(worker).contact is Contact.CONNECTED
    keep_in_touch(world, worker, 10_000)
    assert world.task(1).state is State.RUNNING


def test_a_break_after_silence_gets_the_grace_of_silence(world: World) -> None:
    worker = working(world)
    world.pass_time(2 * POLICY.heartbeat_ms + 1)
    world.break_stream(worker)
    world.pass_time(POLICY.silence_grace_ms - 1)
    assert world.alive(worker)
    world.pass_time(1)
    assert not world.alive(worker)


def test_a_connection_given_up_for_an_unanswered_ping_gets_the_grace_of_silence() -> None:
    policy = replace(POLICY, heartbeat_ms=5_000, silence_grace_ms=10_000)
    for silent_ms, grace_ms in ((4_999, policy.grace_ms), (5_000, policy.silence_grace_ms)):
        world = World(policy)
        worker = world.join()
        world.pass_time(silent_ms)
        world.break_stream(worker)
        world.pass_time(grace_ms - 1)
        assert world.alive(worker)
        world.pass_time(1)
        assert not world.alive(worker)


def test_a_break_while_silent_does_not_lengthen_the_doubt(world: World) -> None:
    worker = working(world)
    world.pass_time(SILENCE_MS + POLICY.silence_grace_ms - 100)
    world.break_stream(worker)
    world.pass_time(100)
    assert not world.alive(worker)


def test_a_worker_heard_without_its_stream_gets_a_little_longer_to_open_it(world: World) -> None:
    worker = working(world)
    world.break_stream(worker)
    world.pass_time(POLICY.grace_ms - 1)
    world.heartbeat(worker)
    assert world.session(worker).contact is Contact.SUSPECT
    world.pass_time(POLICY.grace_ms - 1)
    assert world.alive(worker)
    world.pass_time(1)
    assert not world.alive(worker)


def test_a_session_that_is_over_is_told_why(world: World) -> None:
    worker = working(world)
    world.break_stream(worker)
    world.pass_time(POLICY.grace_ms)
    for answer in (
        world.heartbeat(worker),
        world.request(worker, 1),
        world.report(worker, success(worker.token)),
        world.open_stream(worker),
    ):
        rejection = refused(answer, Reason.SESSION_LOST)
        assert rejection.metadata["why"] == "its stream broke"
    worker.session = "9-9-unknown"
    assert "does not know it" in refused(world.heartbeat(worker), Reason.SESSION_LOST).message


def test_another_process_of_the_same_name_replaces_the_first_at_once(world: World) -> None:
    first = working(world)
    second = world.join("w1", boot="another boot")
    assert not world.alive(first)
    assert world.task(1).state is State.QUEUED
    assert world.task(1).deaths == 1, "the former process is dead, and held it"
    world.request(second, 1)
    assert world.task(1).attempt == 2
    refused(world.report(first, success(first.token)), Reason.SESSION_LOST)


def test_the_same_process_moves_its_leases_to_its_new_session(world: World) -> None:
    worker = working(world)
    before = worker.session
    world.register(worker)
    assert worker.session != before
    assert len(worker.held) == 1, "KEEP"
    assert world.task(1).attempt == 1
    keep_in_touch(world, worker, 10_000)
    assert world.verdict(worker, success(worker.token)) is c.Verdict.ACCEPTED


def test_a_new_name_of_the_same_process_is_still_that_process(world: World) -> None:
    worker = working(world)
    worker.name = "renamed"
    world.register(worker)
    assert len(worker.held) == 1
    assert len(world.core.book.sessions) == 1


def test_what_a_process_does_not_list_when_it_registers_anew_never_reached_it(
    world: World,
) -> None:
    worker = working(world)
    token = worker.token
    worker.held.clear()
    world.register(worker)
    task = world.task(1)
    assert task.state is State.QUEUED
    assert (task.deaths, task.failures) == (0, 0)
    assert task.history[-1].end is AttemptEnd.UNDELIVERED
    assert world.verdict(worker, success(token)) is c.Verdict.STALE_LEASE


def test_a_lease_of_another_process_is_never_taken_over(world: World) -> None:
    first = working(world)
    thief = Worker("w2", "boot of w2", held=dict(first.held))
    world.workers.append(thief)
    world.register(thief)
    assert thief.held == {}, "ABANDON"
    assert world.session(first).held


def test_a_stream_that_broke_while_the_master_was_paused_gets_the_grace_of_silence(
    world: World,
) -> None:
    worker = working(world)
    world.freeze(30_000)
    world.break_stream(worker)
    world.pass_time(POLICY.silence_grace_ms - 1)
    assert world.alive(worker)
    world.pass_time(1)
    assert not world.alive(worker)
    later = world.join("later")
    world.break_stream(later)
    world.pass_time(POLICY.grace_ms)
    assert not world.alive(later)


def test_a_pause_of_the_master_itself_excuses_everyone(world: World) -> None:
    touched, suspect = working(world, "w1"), world.join("w2")
    world.submit(spec(2, execution_timeout_ms=1_000), spec(3, progress_timeout_ms=3_000))
    world.request(touched, 2)
    world.break_stream(suspect)
    world.freeze(LEASE_MS * 10)
    assert world.alive(touched)
    assert world.alive(suspect)
    assert {world.task(number).state for number in (1, 2, 3)} == {State.RUNNING}
    world.pass_time(POLICY.silence_grace_ms)
    assert world.alive(touched), "it has the whole time of silence again"
    assert not world.alive(suspect)


def test_a_look_that_is_late_by_less_than_the_bound_excuses_nobody(world: World) -> None:
    worker = working(world)
    for _ in range(3):
        world.freeze(POLICY.pause_ms)
    assert not world.alive(worker)


@pytest.mark.parametrize("jump_ms", [3_600_000, -3_600_000])
def test_a_jump_of_the_wall_clock_moves_no_lease(world: World, jump_ms: int) -> None:
    worker = working(world)
    world.submit(spec(2, execution_timeout_ms=1_000), spec(3, progress_timeout_ms=3_000))
    world.request(worker, 2)
    world.jump_wall(jump_ms)
    world.heartbeat(worker)
    assert {world.task(number).state for number in (1, 2, 3)} == {State.RUNNING}
    assert world.session(worker).contact is Contact.CONNECTED
    world.pass_time(SILENCE_MS - 1)
    assert world.session(worker).contact is Contact.CONNECTED
    world.pass_time(1 + POLICY.silence_grace_ms)
    assert not world.alive(worker)
    assert world.task(1).state is State.QUEUED
    assert [world.task(number).failures for number in (2, 3)] == [1, 1], "by their timeouts"


def test_a_draining_worker_gets_nothing_more_and_keeps_what_it_has(world: World) -> None:
    worker = working(world)
    world.submit(spec(2))
    world.ask(c.Drain("w1"))
    assert world.news_of(worker, DrainAsked)
    assert world.request(worker, 1) == ()
    assert world.heartbeat(worker) == c.HeartbeatAnswer((), True, POLICY.heartbeat_ms)
    answer = world.report(worker, success(worker.token), tasks=1)
    assert answer == c.Reported((c.Verdict.ACCEPTED,), ())


def test_a_draining_process_stays_so_when_it_registers_anew(world: World) -> None:
    worker = working(world)
    world.submit(spec(2))
    world.ask(c.Drain("w1"))
    world.register(worker)
    world.open_stream(worker)
    assert world.request(worker, 1) == ()
    answer = world.heartbeat(worker)
    assert isinstance(answer, c.HeartbeatAnswer)
    assert answer.drain


def test_a_worker_that_drains_by_its_own_wish_gets_nothing_more(world: World) -> None:
    worker = world.join("w1")
    assert world.request(worker, 1, wait_ms=60_000) is None
    answer = world.ask(c.Heartbeat(worker.session, (), Load(), draining=True))
    assert answer == c.HeartbeatAnswer((), True, POLICY.heartbeat_ms)
    assert [granted for _, granted in world.unparked] == [()], "its parked request is answered"
    world.submit(spec(1))
    assert world.request(worker, 1) == ()
    told = world.ask(c.Explain(spec(1).id))
    assert isinstance(told, Explanation)
    assert told.why is Why.WORKERS_LEAVING


def test_whoever_leaves_gives_everything_back_at_no_cost(world: World) -> None:
    worker = working(world)
    assert world.ask(c.Deregister(worker.session, "shutdown")) == 1
    task = world.task(1)
    assert (task.state, task.deaths, task.failures) == (State.QUEUED, 0, 0)
    assert task.history[-1].end is AttemptEnd.RELEASED
    assert world.ask(c.Deregister(worker.session)) == 0, "safe to repeat"


def test_an_evicted_worker_loses_its_session_and_its_tasks_lose_nothing(world: World) -> None:
    worker = working(world)
    assert world.ask(c.Evict("w1")) == 1
    assert not world.alive(worker)
    assert (world.task(1).state, world.task(1).deaths) == (State.QUEUED, 0)
    refused(world.ask(c.Evict("w1")), Reason.WORKER_NOT_FOUND)
    refused(world.ask(c.Drain("w1")), Reason.WORKER_NOT_FOUND)


def test_whoever_names_a_node_without_its_prefix_is_told_the_whole_name(world: World) -> None:
    world.join("pullwork.node/desk")
    told = refused(world.ask(c.Drain("desk")), Reason.WORKER_NOT_FOUND)
    assert "did you mean 'pullwork.node/desk'?" in str(told)
    stranger = refused(world.ask(c.Drain("chair")), Reason.WORKER_NOT_FOUND)
    assert "did you mean" not in str(stranger)


def test_a_worker_can_be_named_by_its_session(world: World) -> None:
    worker = world.join("w1")
    world.ask(c.Drain(worker.session))
    assert world.session(worker).draining


def test_a_parked_request_of_an_ended_session_is_refused_and_not_forgotten(world: World) -> None:
    worker = world.join("w1")
    assert world.request(worker, 1, wait_ms=60_000) is None
    world.ask(c.Evict("w1"))
    ((_, answer),) = world.unparked
    refused(answer, Reason.SESSION_LOST)


def test_there_is_room_for_a_bounded_number_of_sessions() -> None:
    world = World(POLICY_OF_TWO)
    first = world.join("w1")
    world.join("w2")
    rejection = refused(world.register(Worker("w3", "b3")), Reason.TOO_MANY_REQUESTS)
    assert rejection.retry_after_ms
    world.register(first)
    assert world.alive(first), "who is in already may begin anew"


def test_why_a_session_ended_is_remembered_for_a_bounded_number(world: World) -> None:
    worker = world.join("w1", stream=False)
    for _ in range(ENDED_SESSIONS_REMEMBERED + 5):
        world.register(worker)
    assert len(world.core.book.ended_sessions) == ENDED_SESSIONS_REMEMBERED


def test_a_released_lease_frees_its_slot_at_once(world: World) -> None:
    worker = world.join("w1", slots=1, look_ahead_max=0)
    world.submit(spec(1), spec(2))
    world.request(worker, 1)
    assert world.request(worker, 1) == ()
    answer = world.report(worker, released(worker.token), tasks=1)
    assert isinstance(answer, c.Reported)
    assert len(answer.grants) == 1


def test_a_stranger_is_refused_and_its_unpark_means_nothing(world: World) -> None:
    refused(world.ask(c.OpenStream("nobody")), Reason.SESSION_LOST)
    assert world.ask(c.Unpark("nobody", 1)) is None
