"""Bugs planted where services meet the port, each caught by the law that it breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc.aio
import pytest
import test_service_specs
import test_wire_instances
import test_wire_logs
import test_wire_logs_end
import test_wire_node_queues
import test_wire_services
import wired_master
from wired_master import WiredMaster, serving

from pullwork.v1 import node_service_pb2 as n
from pullwork.v1 import service_pb2
from pullwork_master.core.model import Task
from pullwork_master.orchestrator.roster import Roster
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.wire import (
    fields,
    log_relay,
    master_service,
    node_service,
    orchestrator_service,
    pages,
    service_logs,
    service_parts,
    service_specs,
    service_watch,
    streams,
)
from pullwork_master.wire.log_relay import Feed, Lines, LogRelay

Patch = pytest.MonkeyPatch
Law = Callable[[WiredMaster, Patch], Awaitable[None]]


def anybody_fills_the_queue_of_a_node(patch: Patch) -> None:
    """Names of queues are looked at, not whose they are."""
    patch.setattr(fields, "own_queue", fields.name)


def instances_are_tasks_like_others(patch: Patch) -> None:
    """Filters and retries know no instances."""
    patch.setattr(Task, "is_instance", False)


def anybody_serves_the_queue_of_a_node(patch: Patch) -> None:
    """A worker beside the node may be given its instances."""
    patch.setattr(master_service, "_check_node", lambda request: None)


def changes_are_added_to_what_was_there(patch: Patch) -> None:
    """An update adds to lists and maps instead of replacing them."""

    def added(current: service_pb2.ServiceSpec, changes: service_pb2.ServiceSpec) -> Any:
        made = service_pb2.ServiceSpec()
        made.MergeFrom(current)
        made.MergeFrom(changes)
        return made

    patch.setattr(service_specs, "merged", added)


def absent_is_another_than_empty(patch: Patch) -> None:
    """Resources that were said to be none make other instances than resources not spoken of."""
    patch.setattr(service_parts, "resources", lambda made: None)


def spans_kept_as_they_were_written(patch: Patch) -> None:
    """Two ways to write one duration make other instances."""
    span = service_parts.span

    def as_written(message: Any, name: str, place: str, bounds: Any) -> int:
        before = type(getattr(message, name))()
        before.CopyFrom(getattr(message, name))
        was_set = message.HasField(name)
        ms = span(message, name, place, bounds)
        if was_set:
            getattr(message, name).CopyFrom(before)
        return ms

    patch.setattr(service_parts, "span", as_written)


def discovery_before_nodes_are_back(patch: Patch) -> None:
    """After a start it is told at once what is known, which is nothing."""
    patch.setattr(Roster, "settled", True)


def parts_look_whole(patch: Patch) -> None:
    """Each part of a list looks like all of it."""
    parts = service_watch._parts

    def silent(generation: int, instances: list[service_pb2.Instance]) -> Any:
        for part in parts(generation, instances):
            part.more = False
            yield part

    patch.setattr(service_watch, "_parts", silent)


def lists_have_no_bound(patch: Patch) -> None:
    """All services go into one message."""
    patch.setattr(pages, "parts", lambda entries: iter([list(entries)]))


def each_change_is_a_message(patch: Patch) -> None:
    """Nothing is waited for between two messages."""

    class Hurried:
        """Stands for asyncio there."""

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

        async def sleep(self, delay_s: float) -> None:
            await asyncio.sleep(0)

    patch.setattr(service_watch, "asyncio", Hurried())


def places_without_a_number(patch: Patch) -> None:
    """All instances that wait for a place stand in one place."""
    patch.setattr(orchestrator_service, "count", lambda: iter(lambda: 0, 1))


def tokens_of_any_query(patch: Patch) -> None:
    """Page tokens do not know their query."""
    patch.setattr(pages, "_mark", lambda call, query: 0)


def lines_are_not_waited_for(patch: Patch) -> None:
    """What was not read yet is overwritten."""

    async def put(self: Feed, lines: Lines) -> None:
        self._lines = lines
        self._filled.set()

    patch.setattr(Feed, "put", put)


def nodes_send_to_nobody(patch: Patch) -> None:
    """The node's call goes on when its reader has left."""

    async def deaf(self: LogRelay, first: Any, messages: AsyncIterator[Any]) -> None:
        feed = self._feeds[first.log_id]
        feed.begun.set()
        await log_relay._pass_on(first, messages, feed)

    patch.setattr(LogRelay, "bring", deaf)


def unread_logs_are_remembered(patch: Patch) -> None:
    """A wish that nobody has any more is still told."""
    patch.setattr(streams.Streams, "log_unwanted", lambda self, session_id, log_id: None)


def anybody_answers(patch: Patch) -> None:
    """Lines are taken of any node."""
    bring = LogRelay.bring

    async def trusting(
        self: LogRelay, first: n.SendLogsRequest, messages: AsyncIterator[n.SendLogsRequest]
    ) -> None:
        if first.log_id in self._feeds:
            self._feeds[first.log_id].session_id = first.session_id
        await bring(self, first, messages)

    patch.setattr(LogRelay, "bring", trusting)


def lines_told_again(patch: Patch) -> None:
    """A log that is taken up again begins from its start."""
    patch.setattr(service_logs._Told, "fresh", lambda self, lines: list(lines))


def followers_hear_no_newcomers(patch: Patch) -> None:
    """Only those that were there at the start are followed."""
    begin = service_logs.Reading._begin

    def once(self: Any, found: Any, tail_lines: int) -> None:
        if not self._pumps:
            begin(self, found, tail_lines)

    patch.setattr(service_logs.Reading, "_begin", once)


def one_that_can_t_be_read_ends_all(patch: Patch) -> None:
    """A log that can't be read is refused although there are others."""
    init = service_logs.Reading.__init__

    def only(self: Any, *given: Any) -> None:
        init(self, *given)
        self._instance = self._instance or "web-1"

    patch.setattr(service_logs.Reading, "__init__", only)


def reports_are_not_looked_at(patch: Patch) -> None:
    """A report may say anything."""
    patch.setattr(node_service, "_check_instance", lambda each, place: None)


def alone(law: Callable[[WiredMaster], Awaitable[None]]) -> Law:
    """Makes a law of a test that takes nothing but a master."""
    return lambda master, _: law(master)


def pure(law: Callable[[], None]) -> Law:
    """Makes a law of a test that takes nothing."""

    async def judged(master: WiredMaster, patch: Patch) -> None:
        law()

    return judged


async def _restarted(master: WiredMaster, patch: Patch) -> None:
    law = test_wire_instances.test_after_a_restart_a_watch_tells_nothing_before_nodes_are_back
    await law(MemoryStorage())


async def _filled_by_others(master: WiredMaster, patch: Patch) -> None:
    law = test_wire_node_queues.test_only_services_change_what_is_in_the_queue_of_a_node
    await law(master, *test_wire_node_queues.CALLS[0])


async def _reported(master: WiredMaster, patch: Patch) -> None:
    made = await test_wire_logs.running(master)
    (report,) = made.has.values()
    report.state = service_pb2.INSTANCE_STATE_FAILED
    error = await wired_master.refusal(made.report())
    assert getattr(error, "field", "") == "instances[0].state"


PLANTED: list[tuple[Callable[[Patch], None], Law]] = [
    (anybody_fills_the_queue_of_a_node, _filled_by_others),
    (
        instances_are_tasks_like_others,
        alone(test_wire_node_queues.test_a_filter_chooses_no_instances),
    ),
    (
        instances_are_tasks_like_others,
        alone(test_wire_node_queues.test_an_instance_that_ended_is_not_retried),
    ),
    (
        anybody_serves_the_queue_of_a_node,
        alone(test_wire_node_queues.test_a_node_serves_its_own_queue_only_and_under_its_name),
    ),
    (
        changes_are_added_to_what_was_there,
        pure(test_service_specs.test_a_change_replaces_whole_what_it_names_and_nothing_else),
    ),
    (
        absent_is_another_than_empty,
        pure(test_service_specs.test_two_that_mean_the_same_are_made_of_the_same),
    ),
    (
        spans_kept_as_they_were_written,
        pure(test_service_specs.test_two_that_mean_the_same_are_made_of_the_same),
    ),
    (discovery_before_nodes_are_back, _restarted),
    (
        parts_look_whole,
        test_wire_instances.test_many_instances_come_in_parts_of_one_generation,
    ),
    (
        lists_have_no_bound,
        test_wire_services.test_many_services_come_in_parts,
    ),
    (
        each_change_is_a_message,
        test_wire_services.test_changes_that_come_together_are_told_together,
    ),
    (
        places_without_a_number,
        alone(
            test_wire_instances.test_pages_tell_each_instance_once_and_those_without_a_place_last
        ),
    ),
    (tokens_of_any_query, alone(test_wire_instances.test_a_token_is_of_its_own_query_only)),
    (
        lines_are_not_waited_for,
        alone(test_wire_logs.test_a_slow_reader_slows_the_node_and_costs_no_memory),
    ),
    (nodes_send_to_nobody, alone(test_wire_logs_end.test_who_leaves_ends_the_call_of_the_node)),
    (
        unread_logs_are_remembered,
        lambda master, patch: test_wire_logs_end.test_a_wish_that_is_over_is_not_told(),
    ),
    (
        anybody_answers,
        alone(test_wire_logs.test_lines_are_taken_of_the_node_that_was_asked_and_once),
    ),
    (
        lines_told_again,
        test_wire_logs.test_a_log_that_broke_off_goes_on_where_it_was,
    ),
    (
        followers_hear_no_newcomers,
        alone(test_wire_logs.test_a_reader_who_follows_hears_instances_that_are_made_meanwhile),
    ),
    (
        one_that_can_t_be_read_ends_all,
        alone(test_wire_logs.test_one_that_can_t_be_read_does_not_hide_the_others),
    ),
    (reports_are_not_looked_at, _reported),
]


@pytest.mark.parametrize(("plant", "law"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
async def test_a_planted_bug_is_caught(
    monkeypatch: Patch, plant: Callable[[Patch], None], law: Law
) -> None:
    # gRPC itself breaks off what is too large.
    caught = (AssertionError, TimeoutError, grpc.aio.AioRpcError, pytest.fail.Exception)
    with monkeypatch.context() as patch:
        patch.setattr(wired_master, "PATIENCE_S", 1.0)
        plant(patch)
        async with serving(MemoryStorage()) as master:
            with pytest.raises(caught):
                await asyncio.wait_for(law(master, patch), 20)
