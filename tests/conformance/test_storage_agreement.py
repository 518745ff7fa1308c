"""The engines can't be told apart: the same commits give the same views, whatever they are."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from storage_bench import Bench, a_queue, id_of, plain, plain_all, plain_found
from storage_engines import memory, sqlite
from storage_strategies import change, meeting_changes, meeting_specs, named

from pullwork_master.core.commands import Filter
from pullwork_master.core.effects import (
    Opened,
    PageWanted,
    SchedulePageWanted,
    Search,
    Wants,
    Writes,
)
from pullwork_master.core.model import Limits, ServiceRow, Spec, State, Task
from pullwork_master.storage.base import Reader, store

Changed = dict[str, Any]
chosen_filters = st.builds(
    Filter,
    queue=st.sampled_from(["", "a", "b"]),
    type=st.sampled_from(["", "t"]),
    owner=st.sampled_from(["", "x"]),
    states=st.lists(st.sampled_from(State), max_size=4, unique=True).map(tuple),
)
limits = st.integers(1, 6)
limits_of_queues = st.builds(Limits, *[st.integers(0, 3)] * 7, weight=st.integers(1, 9))
seq_bounds = st.integers(0, 30)


class Agreement(RuleBasedStateMachine):
    """Does the same to both engines and compares all that can be seen of them."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        self.benches = [Bench(memory(folder)), Bench(sqlite(folder))]
        self.readers = [bench.reader() for bench in self.benches]
        self.tasks: dict[int, Task] = {}
        self.seq = self.revision = self.given = 0

    def teardown(self) -> None:
        for bench in self.benches:
            bench.close()
        self._folder.cleanup()

    @rule(
        new=st.lists(st.tuples(meeting_specs, meeting_changes), max_size=4),
        changed=st.lists(st.tuples(st.integers(0, 50), meeting_changes), max_size=4),
        queue=st.none()
        | st.builds(
            a_queue,
            st.sampled_from("ab"),
            paused=st.booleans(),
            limits=limits_of_queues,
            created_ms=st.sampled_from((0, 7)),
        ),
        sweep=st.tuples(st.integers(0, 6), st.integers(1, 3)),
        services=st.dictionaries(st.sampled_from("xyz"), st.booleans(), max_size=2),
    )
    def commit(
        self,
        new: list[tuple[Spec, Changed]],
        changed: list[tuple[int, Changed]],
        queue: Any,
        sweep: tuple[int, int],
        services: dict[str, bool],
    ) -> None:
        writes = Writes(sweep_before_ms=sweep[0], sweep_tasks=sweep[1])
        for spec, fields in new:
            self.seq += 1
            task = Task(self.seq, named(spec, self.seq), State.QUEUED, 5)
            self._change(task, fields)
            writes.inserted[task.seq] = self.tasks[task.seq] = task
        for seq, fields in changed:
            if seq in self.tasks:
                self._change(self.tasks[seq], fields)
                writes.updated[seq] = self.tasks[seq]
        if queue is not None:
            # One that was made in a year that is not is gone.
            writes.queues[queue.name] = queue if queue.created_ms else None
        for name, gone in services.items():
            self.given += 1
            row = ServiceRow(name, self.given, 1, name.encode(), 5, self.given)
            writes.services[name] = None if gone else row
            writes.service_revision = self.given
        swept = [store(bench.storage, writes) for bench in self.benches]
        assert swept[0] == swept[1]

    @rule()
    def restart(self) -> None:
        for bench in self.benches:
            bench.restart()
        self.readers = [bench.reader() for bench in self.benches]
        self._compare_opened([bench.opened for bench in self.benches])

    @rule(
        seqs=st.lists(st.integers(1, 30), max_size=5),
        searches=st.lists(st.builds(Search, chosen_filters, limits, seq_bounds), max_size=3),
        page=st.tuples(st.integers(-2, 1), seq_bounds),
        scheduled=st.none() | st.tuples(st.integers(0, 3), seq_bounds),
        limit=limits,
        bytes_max=st.sampled_from([1, 2_100, 10_000]),
    )
    def find(
        self,
        seqs: list[int],
        searches: list[Search],
        page: tuple[int, int],
        scheduled: tuple[int, int] | None,
        limit: int,
        bytes_max: int,
    ) -> None:
        wants = Wants(
            known_ids=[id_of(seq) for seq in seqs],
            ids=[id_of(seq + 1) for seq in seqs],
            seqs=seqs,
            unique_keys=[("a", "k"), ("b", "l"), ("a", "")],
            searches=searches,
            pages=[
                PageWanted(queue, type_, flow, page, limit, bytes_max)
                for queue, type_, flow in (("a", "t", 0), ("a", "t", 1), ("b", "u", 0))
            ],
            schedule_page=scheduled and SchedulePageWanted(scheduled, limit, bytes_max),
        )
        found = [plain_found(bench.storage.find(wants)) for bench in self.benches]
        assert found[0] == found[1]

    @rule(
        chosen=chosen_filters,
        limit=limits,
        bound=seq_bounds,
        revision=st.integers(0, 60),
        owner=st.sampled_from(["", "x", "y"]),
        queue=st.sampled_from(["", "a"]),
    )
    def view(
        self, chosen: Filter, limit: int, bound: int, revision: int, owner: str, queue: str
    ) -> None:
        def seen(reader: Reader) -> Any:
            ends = reader.ends_after(revision, owner, queue, limit)
            task = reader.get(id_of(bound))
            many = reader.get_many([id_of(bound), id_of(bound + 1)])
            return (
                plain(task) if task else None,
                sorted(plain_all(many), key=lambda facts: int(facts["seq"])),
                plain_all(reader.list(chosen, bound, limit)),
                (plain_all(ends.tasks), ends.revision, ends.more),
                reader.swept_revision(owner, queue),
                reader.last_revision(),
                plain_all(reader.live(queue or "b")),
            )

        views = [seen(reader) for reader in self.readers]
        assert views[0] == views[1]

    @invariant()
    def the_same_start_would_follow(self) -> None:
        self._compare_opened([bench.storage.reload() for bench in self.benches])

    def _change(self, task: Task, fields: Changed) -> None:
        if fields["state"].ended:
            self.revision += 1
        change(task, fields, self.revision)

    def _compare_opened(self, both: list[Opened]) -> None:
        seen = [
            (
                opened.term,
                opened.next_seq,
                opened.next_revision,
                opened.queues,
                opened.queued,
                opened.scheduled,
                plain_all(opened.running),
                opened.services,
                opened.next_service_revision,
            )
            for opened in both
        ]
        assert seen[0] == seen[1]
        # An end that was taken back within its commit was never told to anybody.
        assert seen[0][1] == self.seq + 1
        assert seen[0][8] == self.given + 1
        assert seen[0][2] > max((task.revision for task in self.tasks.values()), default=0)


# A failure is told as it was found: to shrink it takes longer than a test may.
Agreement.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
TestTheEnginesAgree = Agreement.TestCase
