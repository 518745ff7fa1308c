"""Decide, commit, speak: nobody hears of what is not on the disk."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from running_engine import PATIENCE_S, Clock, SlowStorage, running
from world import spec

from pullwork_master.core import commands as c
from pullwork_master.core.effects import Effects, SessionEnded
from pullwork_master.core.explain import Explanation
from pullwork_master.core.limits import Policy
from pullwork_master.core.model import State
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.engine import BATCH_MAX, LAST_BYTES, SLOW_DISK_MS, SLOW_TIMES, Engine


async def until(true: Callable[[], bool]) -> None:
    """Lets others run until a condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - the condition is of another's making
            await asyncio.sleep(0.001)


def submit(*numbers: int, **more: Any) -> c.Submit:
    specs = [spec(number, **more) for number in numbers]
    return c.Submit(tuple(c.NewTask(each) for each in specs), tuple(each.id for each in specs))


async def join(engine: Engine, slots: int = 5) -> str:
    answer = await engine.ask(c.Register("w1", "boot", ("default",), ("a",), slots))
    await engine.ask(c.OpenStream(answer.session.id))
    return str(answer.session.id)


async def state_of(engine: Engine, number: int) -> State:
    answer = await engine.ask(c.Explain(spec(number).id))
    assert isinstance(answer, Explanation)
    return answer.task.state


async def test_the_loop_waits_for_a_quick_disk_itself_and_for_a_slow_one_in_a_thread() -> None:
    storage = SlowStorage()
    storage.clock = clock = Clock()
    async with running(storage, clock, quick_commit_ms=5) as engine:
        storage.threads.clear()

        async def commits_here(number: int) -> bool:
            await engine.ask(submit(number))
            return storage.threads[-1] == threading.get_ident()

        assert await commits_here(1)
        storage.takes_ms = 5
        assert await commits_here(2)
        storage.takes_ms = 6
        assert await commits_here(3), "it was not known to be slow"
        storage.takes_ms = 1
        assert not await commits_here(4)
        clock.ms += SLOW_DISK_MS - 2
        assert not await commits_here(5), "a while is not over"
        storage.takes_ms = 2_000
        assert await commits_here(6), "a while is over"
        clock.ms += SLOW_TIMES * 2_000 - 1
        assert not await commits_here(7), "a disk that takes so long is left alone for longer"
        assert await commits_here(8)


async def test_who_comes_while_commits_are_quick_is_heard() -> None:
    """Full batches one after the other, with nothing to wait for, leave the loop to others."""
    storage = SlowStorage()
    async with running(storage, quick_commit_ms=60_000) as engine:
        for number in range(4 * BATCH_MAX):
            engine.tell(submit(number))
        await asyncio.sleep(0)  # the engine's turn
        await asyncio.sleep(0)
        before = storage.commits
        await engine.look()
        assert before < 3


async def test_an_answer_comes_after_its_commit_and_not_before() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        storage.hold()
        asked = asyncio.create_task(engine.ask(submit(1)))
        await storage.held()
        await asyncio.sleep(0)
        assert not asked.done()
        assert storage.by_id == {}
        storage.gate.set()
        assert await asked == (c.Receipt(spec(1).id, False),)
        assert spec(1).id in storage.by_id


async def test_what_arrives_during_a_commit_is_gathered_into_the_next() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        storage.hold()
        asked = [asyncio.create_task(engine.ask(submit(1)))]
        await storage.held()
        asked += [asyncio.create_task(engine.ask(submit(number))) for number in range(2, 52)]
        await asyncio.sleep(0)
        storage.gate.set()
        await asyncio.gather(*asked)
        assert storage.stored == [1, 50]


async def test_news_are_told_after_their_commit() -> None:
    storage = SlowStorage()
    seen: list[bool] = []

    def listen(effects: Effects) -> None:
        seen.extend(task.spec.id in storage.by_id for task in effects.changed.values())

    async with running(storage) as engine:
        engine.listen(listen)
        await engine.ask(submit(1, 2, 3))
    assert seen == [True, True, True]


async def test_a_refusal_reaches_its_caller_and_nobody_else() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        answers = await asyncio.gather(
            engine.ask(submit(1)),
            engine.ask(c.Cancel((spec(9).id,))),
            engine.ask(submit(2)),
            return_exceptions=True,
        )
        assert isinstance(answers[1], Rejection)
        assert answers[1].reason is Reason.TASK_NOT_FOUND
        assert len(storage.by_id) == 2


async def test_more_commands_than_a_step_takes_are_all_answered() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        asked = (engine.ask(submit(number)) for number in range(BATCH_MAX * 2 + 10))
        await asyncio.gather(*asked)
        assert max(storage.stored) <= BATCH_MAX
        assert sum(storage.stored) == BATCH_MAX * 2 + 10


async def test_a_cancelled_caller_loses_the_answer_and_not_the_effect() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        storage.hold()
        asked = asyncio.create_task(engine.ask(submit(1)))
        await storage.held()
        asked.cancel()
        storage.gate.set()
        assert await state_of(engine, 1) is State.QUEUED


async def test_a_parked_caller_that_goes_away_is_given_nothing() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        session = await join(engine)
        parked = asyncio.create_task(engine.ask(c.Request(session, 1, wait_ms=60_000)))
        await until(lambda: engine.core.book.sessions[session].parked is not None)
        parked.cancel()
        await until(lambda: engine.core.book.sessions[session].parked is None)
        await engine.ask(submit(1))
        assert await state_of(engine, 1) is State.QUEUED
        (grant,) = await engine.ask(c.Request(session, 1))
        assert grant.attempt == 1


async def test_a_parked_caller_is_answered_when_a_task_comes() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        session = await join(engine)
        parked = asyncio.create_task(engine.ask(c.Request(session, 1, wait_ms=60_000)))
        await until(lambda: engine.core.book.sessions[session].parked is not None)
        await engine.ask(submit(1))
        (grant,) = await parked
        assert storage.by_id[grant.spec.id].attempt == 1, "granted leases are on disk"


async def test_a_moment_comes_without_any_command() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        session = await join(engine)
        new = (c.NewTask(spec(1), delay_ms=30),)
        await engine.ask(c.Submit(new))
        (grant,) = await engine.ask(c.Request(session, 1, wait_ms=10_000))
        assert grant.spec.id == spec(1).id


async def test_time_is_the_clock_that_was_given() -> None:
    storage, clock = SlowStorage(), Clock()
    async with running(storage, clock) as engine:
        await engine.ask(c.Submit((c.NewTask(spec(1), delay_ms=3_600_000),)))
        clock.ms += 3_599_999
        assert await state_of(engine, 1) is State.SCHEDULED
        clock.ms += 1
        engine.tell(c.Unpark("nobody", 0))
        assert await state_of(engine, 1) is State.QUEUED


async def test_a_stop_decides_what_is_in_and_refuses_the_rest() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        session = await join(engine)
        parked = asyncio.create_task(engine.ask(c.Request(session, 1, wait_ms=60_000)))
        await until(lambda: engine.core.book.sessions[session].parked is not None)
        asked = asyncio.create_task(engine.ask(submit(1, type="b")))
        await asyncio.sleep(0)
        engine.stop()
        assert await asked == (c.Receipt(spec(1).id, False),)
        for refused in (parked, engine.ask(submit(2))):
            with pytest.raises(Rejection) as rejection:
                await refused
            assert rejection.value.reason is Reason.SHUTTING_DOWN
    assert list(storage.by_id) == [spec(1).id]


async def test_a_failed_commit_ends_the_run_and_nobody_hears_of_it() -> None:
    storage = SlowStorage()
    told: list[Effects] = []
    async with running(storage) as engine:
        engine.listen(told.append)
        storage.broken = True
        for _ in range(2):
            with pytest.raises(Rejection) as rejection:
                await engine.ask(submit(1))
            assert rejection.value.reason is Reason.SHUTTING_DOWN
    assert not [effects for effects in told if effects.changed]
    assert storage.by_id == {}


async def test_a_full_disk_is_refused_by_name_and_work_goes_on_when_there_is_room() -> None:
    storage = SlowStorage(tasks_max=2)
    told: list[Effects] = []
    async with running(storage) as engine:
        engine.listen(told.append)
        session = await join(engine)
        await engine.ask(submit(1, 2))
        (grant,) = await engine.ask(c.Request(session, 1))
        term = engine.term
        with pytest.raises(Rejection) as rejection:
            await engine.ask(submit(3))
        assert rejection.value.reason is Reason.DISK_FULL
        assert rejection.value.retry_after_ms
        assert engine.term == term, "it is the same master"
        assert len(storage.by_id) == 2
        ended = SessionEnded("the master's disk was full")
        await until(lambda: any((session, ended) in effects.news for effects in told))
        with pytest.raises(Rejection) as lost:
            await engine.ask(c.Heartbeat(session, (), c.Load()))
        assert lost.value.reason is Reason.SESSION_LOST
        held = (c.Held(grant.token, True),)
        again = await engine.ask(c.Register("w1", "boot", ("default",), ("a",), 5, held=held))
        assert again.kept == (True,)
        assert again.session.id != session, "no session id repeats within a term"
        storage.tasks_max = None
        await engine.ask(submit(3))
        outcome = c.Outcome(grant.token, c.Success(b"", ""), b"d")
        answer = await engine.ask(c.Report(again.session.id, (outcome,)))
        assert answer.verdicts == (c.Verdict.ACCEPTED,)


async def test_what_a_full_disk_refused_is_taken_when_it_is_sent_again() -> None:
    storage = SlowStorage(tasks_max=0)
    async with running(storage) as engine:
        for _ in range(3):
            with pytest.raises(Rejection):
                await engine.ask(submit(1))
        storage.tasks_max = None
        assert await engine.ask(submit(1)) == (c.Receipt(spec(1).id, False),)


async def test_the_last_room_of_a_disk_is_kept_for_what_is_under_way() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        session = await join(engine)
        await engine.ask(submit(1, 2))
        await engine.ask(c.Cancel((spec(2).id,)))
        (grant,) = await engine.ask(c.Request(session, 1))
        storage.room_bytes = 2 * LAST_BYTES
        for command in (submit(3), c.Retry((spec(2).id,))):
            with pytest.raises(Rejection) as rejection:
                await engine.ask(command)
            assert rejection.value.reason is Reason.DISK_FULL
        outcome = c.Outcome(grant.token, c.Success(b"", ""), b"d")
        answer = await engine.ask(c.Report(session, (outcome,)))
        assert answer.verdicts == (c.Verdict.ACCEPTED,)


async def test_a_disk_without_any_room_costs_nobody_a_session() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        session = await join(engine)
        await engine.ask(submit(1, 2))
        (grant,) = await engine.ask(c.Request(session, 1))
        storage.room_bytes = 0
        outcome = c.Outcome(grant.token, c.Success(b"", ""), b"d")
        commits = storage.commits
        for command in (
            c.Report(session, (outcome,)),
            c.Request(session, 1),
            c.Cancel((spec(2).id,)),
            c.SetPaused("default", True),
            c.PurgeStep("default"),
        ):
            with pytest.raises(Rejection) as rejection:
                await engine.ask(command)
            assert rejection.value.reason is Reason.DISK_FULL
        answer = await engine.ask(c.Heartbeat(session, (c.Held(grant.token, True),), c.Load()))
        assert answer == c.HeartbeatAnswer((), False, Policy().heartbeat_ms), (
            "what needs no room goes on"
        )
        assert storage.commits == commits, "nothing was tried in vain"
        storage.room_bytes = None
        reported = await engine.ask(c.Report(session, (outcome,)))
        assert reported.verdicts == (c.Verdict.ACCEPTED,)


async def test_a_master_that_stood_still_finds_its_workers_where_they_were() -> None:
    storage, clock = SlowStorage(), Clock()
    async with running(storage, clock) as engine:
        session = await join(engine)
        clock.ms += 3_600_000
        answer = await engine.ask(c.Heartbeat(session, (), c.Load()))
        assert answer == c.HeartbeatAnswer((), False, Policy().heartbeat_ms)
