"""Bugs planted in how often workers are to speak, and in what each is judged by."""

from __future__ import annotations

import pytest
import test_core_pacing as pacing_laws
from planting import Garden

from pullwork_master.core import pacing
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import Session, Task
from pullwork_master.core.sessions import Sessions

GARDEN = Garden()
caught_by = GARDEN.caught_by


@caught_by(pacing_laws.test_who_was_told_a_long_interval_is_judged_by_it_though_the_fleet_shrank)
def judges_by_the_new_interval_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: Sessions, session: Session) -> int:
        policy = self._book.policy
        return policy.silence_ms(policy.interval_ms(len(self._book.sessions)))

    monkeypatch.setattr(Sessions, "_silence_ms", wrong)


@caught_by(
    pacing_laws.test_an_interval_follows_the_fleet_by_a_factor_of_two_an_answer_at_the_most,
    pacing_laws.test_two_answers_in_a_row_may_be_lost_while_the_interval_shrinks,
    pacing_laws.test_two_answers_in_a_row_may_be_lost_while_the_interval_grows,
)
def interval_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pacing, "next_ms", lambda policy, workers, last_ms: policy.interval_ms(workers)
    )


@caught_by(pacing_laws.test_two_answers_in_a_row_may_be_lost_while_the_interval_shrinks)
def believes_that_every_answer_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "beat_within_ms", property(lambda self: self.interval_ms))


@caught_by(pacing_laws.test_two_answers_in_a_row_may_be_lost_while_the_interval_grows)
def ticks_as_slowly_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Session, "tick_within_ms", property(lambda self: 2 * max(self.interval_ms, 1))
    )


@caught_by(pacing_laws.test_the_shorter_interval_binds_once_two_answers_told_it)
def nobody_looks_earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sessions.pace

    def wrong(self: Sessions, session: Session) -> int:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Sessions, "_watch", lambda *_: None)
            return real(self, session)

    monkeypatch.setattr(Sessions, "pace", wrong)


@caught_by(pacing_laws.test_what_was_told_stands_for_an_interval_however_often_the_worker_beats)
def each_beat_changes_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sessions.pace

    def wrong(self: Sessions, session: Session) -> int:
        session.paced_ms = -session.beat_within_ms
        return real(self, session)

    monkeypatch.setattr(Sessions, "pace", wrong)


@caught_by(pacing_laws.test_those_who_come_at_once_do_not_beat_at_once)
def all_beat_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pacing, "first_ms", lambda policy, workers, number: policy.interval_ms(workers)
    )


@caught_by(pacing_laws.test_a_start_waits_longer_for_more_workers)
def a_start_knows_no_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Policy, "reconcile_ms", lambda self, workers: 2 * self.heartbeat_ms)


@caught_by(pacing_laws.test_a_session_that_only_the_disk_knows_is_ticked_as_in_a_small_fleet)
def ghosts_have_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sessions._ghost

    def wrong(self: Sessions, task: Task, reconcile_ms: int) -> Session:
        ghost = real(self, task, reconcile_ms)
        ghost.interval_ms = ghost.former_interval_ms = 0
        return ghost

    monkeypatch.setattr(Sessions, "_ghost", wrong)
