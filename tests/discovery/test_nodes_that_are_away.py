"""Callers are led to what a node runs that is away for a moment, and not to what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from orchestrated import POLICY, Bench
from placed_instances import ids_of, listing_of, placed

from pullwork_master.core import commands as c
from pullwork_master.core.model import Now
from pullwork_master.orchestrator.nodes import LINGER_MS, KnownNode
from pullwork_master.orchestrator.roster import Roster


async def test_the_instances_of_a_node_that_stays_away_are_not_there(bench: Bench) -> None:
    node, _ = await placed(bench)
    found = listing_of(bench)
    assert len(found.endpoints()) == 2
    await node.vanish()
    await bench.pass_time(LINGER_MS)
    bench.roster.look()
    assert found.endpoints() == []
    await node.join()
    await node.work()
    assert len(found.endpoints()) == 2


async def test_what_a_node_ran_is_there_until_its_worker_has_had_time_to_start_again(
    bench: Bench,
) -> None:
    node, _ = await placed(bench)
    found = listing_of(bench)
    await node.vanish()
    assert bench.shown()[0].disconnected, "that is told at once"
    assert len(found.endpoints()) == 2
    await bench.pass_time(LINGER_MS - 1)
    bench.roster.look()
    assert len(found.endpoints()) == 2
    await node.join()
    await node.work()
    await bench.pass_time(LINGER_MS)
    bench.roster.look()
    assert len(found.endpoints()) == 2


async def test_who_waits_is_woken_once_a_node_has_been_away_for_long(bench: Bench) -> None:
    node, _ = await placed(bench)
    found = listing_of(bench)
    await node.vanish()
    before = found.generation("web")
    waiting = asyncio.create_task(found.changed(before, "web"))
    assert bench.roster.look() == LINGER_MS, "the loop sleeps no longer"
    await bench.pass_time(LINGER_MS - 1)
    assert bench.roster.look() == 1
    assert found.generation("web") == before
    await bench.pass_time(1)
    assert bench.roster.look() == 0
    assert found.generation("web") > before
    await asyncio.wait_for(waiting, 20)
    assert found.endpoints() == []


async def test_what_a_node_ran_that_fell_silent_is_there_no_longer_than_its_session(
    bench: Bench,
) -> None:
    node, _ = await placed(bench)
    found = listing_of(bench)
    node.session = ""
    silence_ms = POLICY.silence_ms(POLICY.heartbeat_ms)
    await bench.pass_time(silence_ms + POLICY.silence_grace_ms)
    assert bench.shown()[0].disconnected
    assert found.endpoints() == []


async def test_a_worker_that_leaves_what_it_ran_to_the_next_one_leaves_no_gap(
    bench: Bench,
) -> None:
    node, _ = await placed(bench)
    found = listing_of(bench)
    await bench.engine.ask(c.Deregister(node.session))
    assert bench.shown()[0].disconnected
    assert len(found.endpoints()) == 2
    await node.join()
    await node.work()
    assert len(found.endpoints()) == 2


async def test_coming_and_going_without_a_word_of_what_runs_gains_no_time(bench: Bench) -> None:
    node, _ = await placed(bench)
    found = listing_of(bench)
    await node.vanish()
    await bench.pass_time(LINGER_MS - 1_000)
    await node.join()
    await node.vanish()
    await bench.pass_time(500)
    bench.roster.look()
    assert found.endpoints() == []


async def test_what_is_not_wanted_any_more_is_gone_at_once_also_from_a_node_that_is_away(
    bench: Bench,
) -> None:
    node, task_id = await placed(bench)
    found = listing_of(bench)
    await node.vanish()
    assert len(found.endpoints()) == 2
    bench.roster.stock.stopping((task_id,))
    await bench.engine.ask(c.Cancel(task_ids=(task_id,)))
    assert found.endpoints() == []


async def test_a_worker_that_starts_again_leaves_no_gap(bench: Bench) -> None:
    node, task_id = await placed(bench)
    found = listing_of(bench)
    await node.join()
    assert ids_of(found) == ["web-1:http", "web-1:metrics"]
    await node.work()
    assert ids_of(found) == ["web-1:http", "web-1:metrics"]
    await node.join()
    assert len(found.endpoints()) == 2
    # It was another machine after all.
    del node.has[task_id]
    node.report()
    assert ids_of(found) == []


async def test_what_was_away_is_not_there_before_it_has_reported(bench: Bench) -> None:
    node, _ = await placed(bench)
    await node.vanish()
    await bench.pass_time(LINGER_MS)
    bench.roster.look()
    await node.join()
    found = listing_of(bench)
    assert found.endpoints() == []
    await node.work()
    assert len(found.endpoints()) == 2


def believed_at_once(patch: pytest.MonkeyPatch) -> None:
    """What a node said before it went away is told as soon as it is back."""
    lose = KnownNode._lose

    def wrong(self: KnownNode, now: Now, *, silent: bool) -> None:
        self.gone_since_ms = 0
        lose(self, now, silent=silent)

    patch.setattr(KnownNode, "_lose", wrong)


def not_believed(patch: pytest.MonkeyPatch) -> None:
    """What a worker kept is taken away until it has started again."""
    patch.setattr(KnownNode, "lingers", False)


def believed_for_ever(patch: pytest.MonkeyPatch) -> None:
    """What a node ran that never comes back is told for ever."""
    patch.setattr(KnownNode, "lingered", lambda self, now: False)


def the_silent_are_believed(patch: pytest.MonkeyPatch) -> None:
    """A machine that is dead for long is waited for once more."""
    leave = KnownNode.leave
    patch.setattr(KnownNode, "leave", lambda self, now, silent: leave(self, now, silent=False))


def nobody_is_told_in_the_end(patch: pytest.MonkeyPatch) -> None:
    """Who waits for a change hears nothing when a node's time is over."""
    look = Roster.look

    def wrong(self: Roster) -> int:
        for node in self.nodes.values():
            node.lingered(self._now())
        return look(self)

    patch.setattr(Roster, "look", wrong)


def the_loop_sleeps_on(patch: pytest.MonkeyPatch) -> None:
    """Nobody looks when a node's time is over."""
    look = Roster.look

    def wrong(self: Roster) -> int:
        look(self)
        return 0

    patch.setattr(Roster, "look", wrong)


LAWS: list[tuple[Callable[[pytest.MonkeyPatch], None], Callable[[Bench], Any]]] = [
    (believed_at_once, test_what_was_away_is_not_there_before_it_has_reported),
    (believed_at_once, test_coming_and_going_without_a_word_of_what_runs_gains_no_time),
    (not_believed, test_a_worker_that_starts_again_leaves_no_gap),
    (not_believed, test_what_a_node_ran_is_there_until_its_worker_has_had_time_to_start_again),
    (not_believed, test_a_worker_that_leaves_what_it_ran_to_the_next_one_leaves_no_gap),
    (believed_for_ever, test_the_instances_of_a_node_that_stays_away_are_not_there),
    (
        the_silent_are_believed,
        test_what_a_node_ran_that_fell_silent_is_there_no_longer_than_its_session,
    ),
    (nobody_is_told_in_the_end, test_who_waits_is_woken_once_a_node_has_been_away_for_long),
    (the_loop_sleeps_on, test_who_waits_is_woken_once_a_node_has_been_away_for_long),
]


@pytest.mark.parametrize(("planted", "law"), LAWS, ids=lambda it: it.__name__)
async def test_a_planted_bug_is_caught(
    planted: Callable[[pytest.MonkeyPatch], None],
    law: Callable[[Bench], Any],
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted(monkeypatch)
    with pytest.raises(AssertionError):
        await law(bench)
    monkeypatch.undo()
