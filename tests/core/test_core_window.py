"""A window shows the next of what waits, in order, however much of it is on disk alone."""

from __future__ import annotations

from bisect import insort

from hypothesis import given, settings
from hypothesis import strategies as st
from world import spec

from pullwork_master.core.model import State, Task
from pullwork_master.core.window import Key, Window, weigh


def made(seq: int, priority: int = 0) -> Task:
    return Task(seq, spec(seq, priority=priority), State.QUEUED, created_ms=0)


class Model:
    """A window beside a plain sorted list of all that waits, which plays the disk."""

    def __init__(self, limit: int, bytes_max: int = 1_000_000) -> None:
        self.window = Window(limit, bytes_max)
        self.waiting: list[Key] = []
        self.tasks: dict[int, Task] = {}
        self.seq = 0

    def add(self, task: Task) -> None:
        insort(self.waiting, task.key)
        self.tasks[task.seq] = task
        before = set(self.window.tasks) | {task.seq}
        gone = {each.seq for each in self.window.add(task, task.key)}
        assert set(self.window.tasks) == before - gone, "what is spilled is told"
        self.check()

    def submit(self, priority: int) -> None:
        self.seq += 1
        self.add(made(self.seq, priority))

    def take(self, seq: int) -> Task:
        task = self.tasks.pop(seq)
        self.waiting.remove(task.key)
        self.window.remove(task)
        self.check()
        return task

    def page(self) -> None:
        """Reads the next page, if one is due, as storage would."""
        if not self.window.low(len(self.waiting)):
            return
        limit, horizon = self.window.limit, self.window.horizon
        rest = [key for key in self.waiting if horizon is None or key > horizon][:limit]
        more = horizon is not None and len(rest) == limit
        self.window.page([(self.tasks[seq], (first, seq)) for first, seq in rest], more=more)
        self.check()

    def check(self) -> None:
        window = self.window
        inside = [key for key in self.waiting if window.horizon is None or key <= window.horizon]
        assert sorted(task.key for task in window.tasks.values()) == inside
        assert window.head() == (inside[0] if inside else None)
        assert len(window) <= 2 * window.limit
        assert window.weight == sum(map(weigh, window.tasks.values()))
        assert window.weight <= 2 * window.bytes_max or len(window) <= 1


@settings(max_examples=80, deadline=None)
@given(st.data(), st.integers(1, 4), st.sampled_from((1_000, 3_000, 1_000_000)))
def test_a_window_is_the_head_of_all_that_waits(
    data: st.DataObject, limit: int, bytes_max: int
) -> None:
    model = Model(limit, bytes_max)
    taken: list[Task] = []
    for _ in range(data.draw(st.integers(1, 40))):
        action = data.draw(st.sampled_from(("submit", "submit", "take", "return", "page")))
        if action == "submit":
            model.submit(data.draw(st.integers(-2, 2)))
        elif action == "take" and model.tasks:
            taken.append(model.take(data.draw(st.sampled_from(sorted(model.tasks)))))
        elif action == "return" and taken:
            model.add(taken.pop())
        else:
            model.page()
    order = list(model.waiting)
    drawn = []
    while model.waiting:
        model.page()
        first = model.window.head()
        assert first is not None, "what waits on disk comes in once a page was read"
        drawn.append(model.take(first[1]).key)
    assert drawn == order, "what waits is drawn in order"


def test_what_comes_before_the_horizon_enters_and_what_comes_after_it_stays_on_disk() -> None:
    model = Model(2)
    for _ in range(3):
        model.submit(0)
    assert model.window.horizon == (0, 2)
    model.submit(1)
    assert sorted(model.window.tasks) == [1, 2, 4]
    model.submit(-1)
    assert sorted(model.window.tasks) == [1, 2, 4]


def test_a_full_window_spills_its_tail_to_the_disk() -> None:
    window = Window(2, 1_000_000)
    for seq in (1, 2, 3):
        window.add(made(seq), made(seq).key)
    for seq in (4, 5):
        assert window.add(made(seq, priority=1), made(seq, priority=1).key) == []
    gone = window.add(made(6, priority=1), made(6, priority=1).key)
    assert [task.seq for task in gone] == [2, 1, 6]
    assert sorted(window.tasks) == [4, 5]
    assert window.horizon == (-1, 5)


def test_a_short_page_ends_the_horizon() -> None:
    window = Window(2, 1_000_000)
    window.horizon = (0, 1)
    window.page([(made(2), (0, 2))], more=False)
    assert window.horizon is None


def test_a_horizon_with_nothing_behind_it_is_forgotten_without_a_page() -> None:
    window = Window(2, 1_000_000)
    window.horizon = (0, 9)
    assert not window.low(waiting=0)
    assert window.horizon is None


def test_tasks_that_come_and_go_behind_a_waiting_head_leave_nothing_in_memory() -> None:
    window = Window(4, 1_000_000)
    window.add(made(1, priority=9), made(1, priority=9).key)
    for seq in range(2, 1_000):
        window.add(made(seq), made(seq).key)
        window.remove(made(seq))
    assert len(window) == 1
    assert len(window._heap) < 20
