"""Bugs planted in the wire layer and the engine, each caught by the law that it breaks."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

import grpc.aio
import pytest
import test_wire_errors
import test_wire_hygiene
import test_wire_lists
import test_wire_registry
import test_wire_registry_pages
import test_wire_run
import test_wire_task_incoming
import test_wire_tickets
import test_wire_watch
import test_wire_watch_resume
import wired_master
from test_wire_hygiene import Gated, GatedStorage
from wired_master import WiredMaster, serving

from pullwork.errors import InternalError
from pullwork.v1 import task_pb2
from pullwork.v1.task_service_pb2 import GetTaskRequest
from pullwork_master.core.commands import StreamBroke, Unpark
from pullwork_master.core.dispatch import Dispatch
from pullwork_master.core.effects import Effects, MemberChange
from pullwork_master.core.model import Session
from pullwork_master.engine import Engine
from pullwork_master.storage.memory import MemoryReader
from pullwork_master.wire import convert, pages, refusals, registry_service, watch, watchers
from pullwork_master.wire.registry_service import Registry
from pullwork_master.wire.streams import Mailbox, Streams

Patch = pytest.MonkeyPatch
Law = Callable[[WiredMaster, Patch], Awaitable[None]]


def cursor_before_its_ends(patch: Patch) -> None:
    """A message's cursor says that the next messages were told too."""
    messages = watch._Stream.messages

    def ahead(self: Any, tasks: list[task_pb2.Task]) -> Any:
        self.told = max([self.told, *(task.revision for task in tasks)])
        return messages(self, tasks)

    patch.setattr(watch._Stream, "messages", ahead)


def ends_told_from_disk_and_mailbox(patch: Patch) -> None:
    """What was read from disk is told again from the mailbox."""
    patch.setattr(watch._Stream, "news", lambda self, mail: mail)


def cursor_not_heeded_by_ids(patch: Patch) -> None:
    """Who resumes by ids hears all again."""
    begin = watch._Stream.begin_with_ids

    def from_the_start(self: Any) -> Any:
        self.told = 0
        return begin(self)

    patch.setattr(watch._Stream, "begin_with_ids", from_the_start)


def watcher_not_removed(patch: Patch) -> None:
    """Who broke off is remembered for ever."""
    patch.setattr(watchers.Watchers, "remove", lambda self, watcher: None)


def overflow_forgotten(patch: Patch) -> None:
    """A mailbox that was emptied does not say so."""
    put = watchers.Watcher.put

    def silent(self: Any, shown: task_pb2.Task) -> None:
        put(self, shown)
        self.overflown = False

    patch.setattr(watchers.Watcher, "put", silent)


def lapse_not_told(patch: Patch) -> None:
    """Nobody looks for what retention deleted."""
    patch.setattr(MemoryReader, "swept_revision", lambda self, owner, queue: 0)


def watch_begins_too_late(patch: Patch) -> None:
    """A run's watcher is added after the answer to its submission, and hears nothing of it."""
    add = watchers.Watchers.add
    patch.setattr(
        watchers.Watchers,
        "add",
        lambda self, watcher: watcher if watcher.task_ids else add(self, watcher),
    )


def commit_not_awaited(patch: Patch) -> None:
    """The engine speaks while the commit is on its way."""
    commit = Engine._commit
    begun = []

    async def hurried(self: Engine, effects: Effects) -> None:
        begun.append(asyncio.create_task(commit(self, effects)))

    patch.setattr(Engine, "_commit", hurried)


def refused_by(ignored: type) -> Callable[[Patch], None]:
    """Makes a bug in which the core is not told something."""

    def plant(patch: Patch) -> None:
        tell = Engine.tell

        def deaf(self: Engine, command: Any) -> None:
            if not isinstance(command, ignored):
                tell(self, command)

        patch.setattr(Engine, "tell", deaf)

    plant.__name__ = f"{ignored.__name__}_not_told"
    return plant


def first_stream_goes_on(patch: Patch) -> None:
    """A second stream does not end the first."""
    patch.setattr(Mailbox, "replace", lambda self: None)


def second_stream_loses_its_mailbox(patch: Patch) -> None:
    """The end of the first stream takes the second one's mailbox away."""
    patch.setattr(Streams, "close", lambda self, session, box: self._boxes.pop(session, None))


def stop_waits_for_streams(patch: Patch) -> None:
    """Streams are not ended when the master stops."""
    patch.setattr(Streams, "stop", lambda self: None)


def request_id_not_heeded(patch: Patch) -> None:
    """A repeated request is a new one."""
    patch.setattr(Dispatch, "recall", lambda self, session, request_id: None)


def page_token_of_any_query(patch: Patch) -> None:
    """Page tokens do not know their query."""
    patch.setattr(pages, "_mark", lambda call, query: 0)


def page_begins_with_the_last_one(patch: Patch) -> None:
    """The worker at a token's place is told again."""
    sessions = registry_service.Registry.sessions

    def again(self: Registry, after: tuple[str, str] = ("", "")) -> list[Session]:
        return [each for each in sessions(self) if (each.name, each.id) >= after]

    patch.setattr(registry_service.Registry, "sessions", again)


def bytes_not_counted(patch: Patch) -> None:
    """Pages and parts have no bound but the number asked for."""
    patch.setattr(pages, "parts", lambda entries: iter([list(entries)]))


def parts_do_not_say_that_more_comes(patch: Patch) -> None:
    """Each part of a snapshot looks like a whole one."""
    snapshot = registry_service.Registry._snapshot

    def silent(self: Registry) -> Any:
        for part in snapshot(self):
            part.more = False
            yield part

    patch.setattr(registry_service.Registry, "_snapshot", silent)


def progress_not_shown(patch: Patch) -> None:
    """Lists show what is on disk alone."""
    patch.setattr(convert, "with_progress", lambda shown, book: shown)


def bug_tells_its_text(patch: Patch) -> None:
    """A bug's own words go to the caller."""
    patch.setattr(refusals, "bug", lambda method: InternalError(str(sys.exc_info()[1])))


def reader_never_behind(patch: Patch) -> None:
    """A reader of the registry that falls behind loses changes without a word."""

    def put(self: Any, change: MemberChange) -> None:
        if len(self._changes) >= registry_service.CHANGES_MAX:
            self._changes.clear()
        self._changes.append(change)
        self._bell.set()

    patch.setattr(registry_service._Reader, "put", put)


def _resumed(master: WiredMaster, patch: Patch) -> Awaitable[None]:
    law = test_wire_watch_resume.test_two_thousand_ends_are_told_once_each_over_streams_that_break
    return law(master, {"owner": "me"}, 7, patch)


def _turned(master: WiredMaster, patch: Patch) -> Awaitable[None]:
    law = test_wire_registry_pages.test_pages_of_every_size_tell_each_node_once_and_in_order
    return law(master, 3)


def of_bounded_messages(law: Callable[[WiredMaster], Awaitable[None]]) -> Law:
    """Makes a law of a test that gRPC itself breaks off when a message is too large."""

    async def judged(master: WiredMaster, patch: Patch) -> None:
        try:
            await law(master)
        except grpc.aio.AioRpcError as error:
            raise AssertionError("gRPC refused it") from error

    return judged


def _parked(master: WiredMaster, patch: Patch) -> Awaitable[None]:
    law = test_wire_hygiene.test_a_parked_request_whose_caller_is_gone_takes_no_task
    return law(master, "cancel")


def _watch_breaks(master: WiredMaster, patch: Patch) -> Awaitable[None]:
    law = test_wire_hygiene.test_a_watch_that_breaks_leaves_no_watcher
    return law(master, {"owner": "me"}, read_first=True)


def _bug(master: WiredMaster, patch: Patch) -> Awaitable[None]:
    law = test_wire_errors.test_a_bug_tells_an_id_that_is_in_the_log_and_nothing_else
    log = cast(pytest.LogCaptureFixture, None)  # it breaks before it looks there
    return law(master, patch, log, "GetTask", GetTaskRequest(task_id=test_wire_errors.ID))


def _committed(master: WiredMaster, patch: Patch) -> Awaitable[None]:
    storage = master.storage
    assert isinstance(storage, GatedStorage)
    law = test_wire_hygiene.test_nothing_is_answered_or_told_before_its_commit
    return law(Gated(master, storage))


def alone(law: Callable[[WiredMaster], Awaitable[None]]) -> Law:
    """Makes a law of a test that takes nothing but a master."""
    return lambda master, _: law(master)


def at_once(law: Callable[[WiredMaster], Awaitable[None]]) -> Law:
    """Makes a law of a test that would wait for ever."""
    return lambda master, _: asyncio.wait_for(law(master), 0.5)


def patching(law: Callable[[WiredMaster, Patch], Awaitable[None]]) -> Law:
    """Makes a law of a test that patches by itself."""
    return law


PLANTED: list[tuple[Callable[[Patch], None], Law]] = [
    (cursor_before_its_ends, _resumed),
    (ends_told_from_disk_and_mailbox, _resumed),
    (overflow_forgotten, _resumed),
    (
        cursor_not_heeded_by_ids,
        alone(test_wire_watch.test_by_ids_resumed_tells_each_end_once),
    ),
    (watcher_not_removed, _watch_breaks),
    (
        lapse_not_told,
        alone(
            test_wire_watch_resume.test_a_lapse_is_told_once_when_retention_deleted_ends_in_between
        ),
    ),
    (
        watch_begins_too_late,
        at_once(test_wire_run.test_run_waits_for_the_end_and_brings_the_result),
    ),
    (commit_not_awaited, _committed),
    (refused_by(Unpark), _parked),
    (
        refused_by(StreamBroke),
        alone(test_wire_hygiene.test_a_worker_stream_that_breaks_leaves_no_mailbox_and_a_suspect),
    ),
    (
        first_stream_goes_on,
        alone(test_wire_task_incoming.test_a_second_stream_ends_the_first_and_hears_the_news),
    ),
    (
        second_stream_loses_its_mailbox,
        alone(test_wire_task_incoming.test_a_second_stream_ends_the_first_and_hears_the_news),
    ),
    (
        stop_waits_for_streams,
        alone(test_wire_hygiene.test_stop_ends_open_streams_by_name_and_long_before_its_grace),
    ),
    (
        request_id_not_heeded,
        alone(test_wire_tickets.test_a_repeated_request_gets_the_same_tickets),
    ),
    (page_token_of_any_query, alone(test_wire_lists.test_a_token_is_of_its_own_query_only)),
    (
        page_token_of_any_query,
        alone(test_wire_registry_pages.test_a_token_of_nodes_is_of_its_own_query_only),
    ),
    (page_begins_with_the_last_one, _turned),
    (
        bytes_not_counted,
        of_bounded_messages(
            test_wire_registry_pages.test_pages_of_a_large_fleet_stay_below_the_largest_message
        ),
    ),
    (
        bytes_not_counted,
        of_bounded_messages(
            test_wire_registry_pages.test_a_large_fleets_snapshot_comes_in_parts_whole_and_in_order
        ),
    ),
    (
        parts_do_not_say_that_more_comes,
        patching(test_wire_registry_pages.test_what_changes_within_a_snapshot_is_told_behind_it),
    ),
    (
        progress_not_shown,
        alone(test_wire_lists.test_lists_leave_out_payload_and_result_and_show_progress),
    ),
    (bug_tells_its_text, _bug),
    (
        reader_never_behind,
        patching(test_wire_registry.test_a_reader_that_fell_behind_gets_a_snapshot_again),
    ),
]


@pytest.mark.parametrize(("plant", "law"), PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
async def test_a_planted_bug_is_caught(
    monkeypatch: Patch, plant: Callable[[Patch], None], law: Law
) -> None:
    caught = (AssertionError, TimeoutError, ExceptionGroup, pytest.fail.Exception)
    with monkeypatch.context() as patch:
        patch.setattr(wired_master, "PATIENCE_S", 0.5)
        plant(patch)
        storage = GatedStorage()
        async with serving(storage) as master:
            with pytest.raises(caught):
                await asyncio.wait_for(law(master, patch), 20)
            storage.gate.set()
