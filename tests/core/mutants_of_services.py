"""Bugs planted in how services are kept and told apart."""

from __future__ import annotations

from typing import Any

import pytest
import test_core_queues_dropped as queue_laws
import test_core_services as laws
from planting import Garden

from pullwork_master import engine
from pullwork_master.core import services
from pullwork_master.core.book import Book
from pullwork_master.core.clients import Clients
from pullwork_master.core.commands import DropQueue, PutService, SetLimits, Submit
from pullwork_master.core.effects import Writes
from pullwork_master.core.model import Queue, ServiceRow
from pullwork_master.core.services import Services
from pullwork_master.storage.memory import MemoryStorage

GARDEN = Garden()
caught_by = GARDEN.caught_by
WANDER = laws.test_in_any_order_nothing_told_is_lost_and_no_revision_comes_again


@caught_by(WANDER, laws.test_nobody_overwrites_what_he_has_not_seen)
def the_last_word_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Services._expected

    def wrong(self: Services, command: PutService) -> ServiceRow | None:
        return real(self, command if not command.expect_revision else _anywhere(command))

    monkeypatch.setattr(Services, "_expected", wrong)


def _anywhere(command: PutService) -> PutService:
    return PutService(command.name, command.record, -1, command.version)


@caught_by(laws.test_a_name_is_made_once)
def whoever_makes_it_twice_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Services._expected

    def wrong(self: Services, command: PutService) -> ServiceRow | None:
        return self._book.services.get(command.name) or real(self, command)

    monkeypatch.setattr(Services, "_expected", wrong)


@caught_by(laws.test_no_revision_is_given_out_twice_whatever_was_deleted)
def the_counter_is_that_of_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    real = MemoryStorage.stage

    def wrong(self: MemoryStorage, writes: Writes) -> None:
        kept = [row.revision for row in writes.services.values() if row is not None]
        writes.service_revision = max(kept, default=0)
        real(self, writes)

    monkeypatch.setattr(MemoryStorage, "stage", wrong)


@caught_by(laws.test_a_version_is_a_new_one_or_the_one_that_is_told)
def each_change_is_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Services.put

    def wrong(self: Services, command: PutService) -> ServiceRow:
        return real(self, PutService(command.name, command.record, command.expect_revision))

    monkeypatch.setattr(Services, "put", wrong)


@caught_by(WANDER, laws.test_a_deleted_service_is_answered_as_it_was_and_gone)
def a_deletion_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Services.delete

    def wrong(self: Services, command: Any) -> ServiceRow:
        row = real(self, command)
        del self._book.effects.writes.services[row.name]
        return row

    monkeypatch.setattr(Services, "delete", wrong)


@caught_by(laws.test_there_are_only_so_many_services)
def a_full_master_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "ANY", 0)


@caught_by(laws.test_with_the_last_room_of_a_disk_no_service_is_made_but_one_is_changed)
def services_need_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.needed_bytes

    def wrong(command: Any, reserve_bytes: int) -> int:
        if isinstance(command, PutService):
            command = SetLimits(command.name, {})
        return real(command, reserve_bytes)

    monkeypatch.setattr(engine, "needed_bytes", wrong)


@caught_by(laws.test_what_keeps_services_up_may_use_the_room_that_others_may_not)
def a_restart_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    real = engine.needed_bytes

    def wrong(command: Any, reserve_bytes: int) -> int:
        if isinstance(command, Submit):
            command = Submit(command.tasks)
        return real(command, reserve_bytes)

    monkeypatch.setattr(engine, "needed_bytes", wrong)


@caught_by(queue_laws.test_what_nobody_uses_is_forgotten_in_memory_and_on_disk)
def a_queue_of_ended_tasks_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Clients.drop_queue

    def wrong(self: Clients, command: DropQueue) -> bool:
        self.searches[0].clear()
        return real(self, command)

    monkeypatch.setattr(Clients, "drop_queue", wrong)


@caught_by(
    queue_laws.test_one_that_a_worker_serves_stays,
    queue_laws.test_a_task_of_the_same_step_keeps_it_or_brings_it_back,
)
def a_queue_in_use_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Book.drop_queue

    def wrong(self: Book, queue: Queue) -> bool:
        gates, self.gates = self.gates, {}
        answer = real(self, queue)
        self.gates = gates
        return answer

    monkeypatch.setattr(Book, "drop_queue", wrong)
