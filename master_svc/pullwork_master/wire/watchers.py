"""Who watches tasks, and how each change reaches them once, in order, at a bounded cost.

A watcher's mailbox holds what was committed and not yet sent. When it overflows it is
emptied, and the stream reads from disk what it missed: a slow reader costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from operator import attrgetter
from typing import Final

from pullwork.v1 import task_pb2
from pullwork_master.core.effects import Effects
from pullwork_master.core.model import Task
from pullwork_master.core.rejections import shutting_down
from pullwork_master.wire import convert

_revision = attrgetter("revision")

MAILBOX_TASKS_MAX: Final = 5_000  # more than one watcher may name by id


class Watcher:
    """One reader's mailbox: the latest state of each task that changed, in order of change."""

    def __init__(
        self,
        *,
        task_ids: Iterable[str] = (),
        owner: str = "",
        queue: str = "",
        every_change: bool = False,
    ) -> None:
        self.task_ids = frozenset(task_ids)
        self.owner = owner
        self.queue = queue
        self.every_change = every_change
        self.overflown = False
        self._mail: dict[str, task_pb2.Task] = {}
        self._bell = asyncio.Event()
        self._stopped = False

    def put(self, shown: task_pb2.Task) -> None:
        """Leaves a change; a later one of the same task takes the earlier one's place."""
        task_id = shown.spec.task_id
        self._mail.pop(task_id, None)
        if len(self._mail) >= MAILBOX_TASKS_MAX:
            self._mail.clear()
            self.overflown = True
        else:
            self._mail[task_id] = shown
        self._bell.set()

    @property
    def has_mail(self) -> bool:
        """Whether `take` would return at once."""
        return bool(self._mail)

    def stop(self) -> None:
        """Lets the reader hear that the master stops."""
        self._stopped = True
        self._bell.set()

    async def take(self) -> list[task_pb2.Task]:
        """Waits for mail and takes all of it. Errors: SHUTTING_DOWN."""
        await self._bell.wait()
        if self._stopped and not self._mail:
            raise shutting_down()
        if not self._stopped:
            self._bell.clear()
        mail, self._mail = self._mail, {}
        return list(mail.values())


class Watchers:
    """All watchers, found by what they watch."""

    def __init__(self, revision: int) -> None:
        # Of the last end that was told.
        self.revision = revision
        self._by_id: dict[str, set[Watcher]] = {}
        self._by_owner: dict[str, set[Watcher]] = {}
        self._by_queue: dict[str, set[Watcher]] = {}
        # How many want every change: while nobody does, only ends are looked at.
        self._curious = 0

    def add(self, watcher: Watcher) -> Watcher:
        """Lets a watcher hear all that is committed from now on."""
        self._curious += watcher.every_change
        for index, key in self._places(watcher):
            index.setdefault(key, set()).add(watcher)
        return watcher

    def remove(self, watcher: Watcher) -> None:
        """Forgets a watcher."""
        self._curious -= watcher.every_change
        for index, key in self._places(watcher):
            members = index.get(key)
            if members is not None:
                members.discard(watcher)
                if not members:
                    del index[key]

    def stop(self) -> None:
        """Ends every stream, once it has told what is in its mailbox."""
        for index in (self._by_id, self._by_owner, self._by_queue):
            for members in index.values():
                for watcher in members:
                    watcher.stop()

    def _places(self, watcher: Watcher) -> list[tuple[dict[str, set[Watcher]], str]]:
        places = [(self._by_id, task_id) for task_id in watcher.task_ids]
        if watcher.owner:
            places.append((self._by_owner, watcher.owner))
        if watcher.queue:
            places.append((self._by_queue, watcher.queue))
        return places

    def tell(self, effects: Effects) -> None:
        """Leaves a committed step's changes with those who watch them, ends in their order:
        a cursor behind one end says that all before it were told."""
        changed: Iterable[Task] = effects.changed.values()
        if not self._curious:
            changed = [kept for kept in changed if kept.revision]
        for kept in sorted(changed, key=_revision):
            ended = kept.revision != 0
            if ended:
                self.revision = max(self.revision, kept.revision)
            shown = None
            for watcher in self._of(kept):
                if ended or watcher.every_change:
                    shown = convert.task(kept) if shown is None else shown
                    watcher.put(shown)

    def _of(self, kept: Task) -> Iterable[Watcher]:
        spec = kept.spec
        yield from self._by_id.get(spec.id, ())
        if spec.owner:
            yield from self._by_owner.get(spec.owner, ())
        yield from self._by_queue.get(spec.queue, ())
