"""One WatchTasks stream: what is on disk since the cursor, then what is committed, gapless."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from pullwork.v1 import task_pb2
from pullwork.v1 import task_service_pb2 as pb
from pullwork_master.core.commands import Filter
from pullwork_master.core.model import State
from pullwork_master.views import Views
from pullwork_master.wire import convert
from pullwork_master.wire.watchers import Watcher, Watchers

PAGE_TASKS: Final = 500
# A message stays well under gRPC's 4 MiB; one task can't be larger than that.
MESSAGE_BYTES_MAX: Final = 2 * 1024 * 1024
NOT_ENDED: Final = (State.SCHEDULED, State.QUEUED, State.RUNNING)


async def watch(
    watcher: Watcher, watchers: Watchers, disk: Views, store_id: str, cursor: int | None
) -> AsyncIterator[pb.WatchTasksResponse]:
    """Yields messages until a watcher by ids has seen all its tasks end; else for ever.

    The watcher must have been added before: what is committed while the disk is read waits in
    its mailbox, and what both tell is told once.
    """
    stream = _Stream(watcher, watchers, disk, store_id)
    if watcher.task_ids:
        stream.told = cursor or 0
        async for message in stream.begin_with_ids():
            yield message
        if not stream.missing:
            return
    else:
        stream.told = watchers.revision if cursor is None else cursor
        yield stream.first_message()
        if cursor is not None:
            async for message in stream.catch_up():
                yield message
    while True:
        mail = await watcher.take()
        if watcher.overflown:
            watcher.overflown = False
            async for message in stream.catch_up():
                yield message
        for message in stream.messages(stream.news(mail)):
            yield message
        if watcher.task_ids and not stream.missing:
            return


class _Stream:
    """What one stream has told already."""

    def __init__(self, watcher: Watcher, watchers: Watchers, disk: Views, store_id: str) -> None:
        self._watcher = watcher
        self._watchers = watchers
        self._disk = disk
        self._store_id = store_id
        # All ends up to this revision that match were told.
        self.told = 0
        # Of a watcher by ids: those whose end was not told yet.
        self.missing: set[str] = set(watcher.task_ids)

    def _cursor(self) -> str:
        return f"{self._store_id}-{self.told}"

    def first_message(self) -> pb.WatchTasksResponse:
        """Says that the stream stands."""
        return pb.WatchTasksResponse(cursor=self._cursor())

    async def begin_with_ids(self) -> AsyncIterator[pb.WatchTasksResponse]:
        """Tells which of the tasks do not exist, and the present state of the others, less what
        was told up to the cursor."""
        found = await self._disk.get_many(sorted(self._watcher.task_ids))
        known = {kept.spec.id for kept in found}
        unknown = sorted(self._watcher.task_ids - known)
        self.missing &= known
        self.missing -= {kept.spec.id for kept in found if 0 < kept.revision <= self.told}
        yield pb.WatchTasksResponse(cursor=self._cursor(), unknown_task_ids=unknown)
        shown = [
            convert.task(kept)
            # A cursor behind one end says that all before it were told.
            for kept in sorted(found, key=lambda kept: kept.revision)
            if kept.state.ended or self._watcher.every_change
        ]
        for message in self.messages(self.news(shown)):
            yield message

    async def catch_up(self) -> AsyncIterator[pb.WatchTasksResponse]:
        """Tells from disk what was committed since, and what has not ended, if that is wanted;
        and whether retention deleted some of it before it could be told."""
        watcher = self._watcher
        lapse = False
        more = True
        while more:
            page = await self._disk.ends_after(self.told, watcher.owner, watcher.queue, PAGE_TASKS)
            if not lapse:
                # Asked after the reading, since a sweep during it counts too; told before the
                # ends, since who breaks off behind them would never hear of it.
                swept = await self._disk.swept_revision(watcher.owner, watcher.queue)
                lapse = swept > self.told
                if lapse:
                    yield pb.WatchTasksResponse(cursor=self._cursor(), lapse=True)
            more = page.more
            ends = [convert.task(kept) for kept in page.tasks]
            for message in self.messages(ends):
                yield message
            self.told = max(self.told, page.revision)
        if watcher.every_change:
            async for message in self._not_ended():
                yield message

    async def _not_ended(self) -> AsyncIterator[pb.WatchTasksResponse]:
        chosen = Filter(queue=self._watcher.queue, owner=self._watcher.owner, states=NOT_ENDED)
        before_seq = 0
        while True:
            found = await self._disk.list(chosen, before_seq, PAGE_TASKS)
            for message in self.messages([convert.task(kept, result=False) for kept in found]):
                yield message
            if len(found) < PAGE_TASKS:
                return
            before_seq = found[-1].seq

    def news(self, mail: list[task_pb2.Task]) -> list[task_pb2.Task]:
        """Leaves out ends that were told from disk already."""
        if self._watcher.task_ids:
            fresh = []
            for shown in mail:
                ended = State(shown.state).ended
                if not ended or shown.spec.task_id in self.missing:
                    fresh.append(shown)
                if ended:
                    self.missing.discard(shown.spec.task_id)
            return fresh
        return [
            shown for shown in mail if not State(shown.state).ended or shown.revision > self.told
        ]

    def messages(self, tasks: list[task_pb2.Task]) -> list[pb.WatchTasksResponse]:
        """Puts tasks into messages of bounded size, each with the cursor behind its last end."""
        made: list[pb.WatchTasksResponse] = []
        size = 0
        for shown in tasks:
            weight = shown.ByteSize()
            if not made or size + weight > MESSAGE_BYTES_MAX:
                made.append(pb.WatchTasksResponse())
                size = 0
            made[-1].tasks.append(shown)
            size += weight
            self.told = max(self.told, shown.revision)
            made[-1].cursor = self._cursor()
        return made
