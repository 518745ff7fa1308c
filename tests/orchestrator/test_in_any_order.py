"""Whatever happens in whatever order: once the world is kind again, what is wanted is what runs."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from pathlib import Path

import pytest
from orchestrated import HEALTHY, STARTING, UNHEALTHY, Bench, Node, make_storages, spec

from pullwork_master.core import commands as c
from pullwork_master.core.rejections import Rejection
from pullwork_master.storage.memory import MemoryStorage

SEEDS = 20
STEPS = 60
NODES = ("n1", "n2", "n3")
NAMES = ("web", "db")


class Wanderer:
    """Does anything that may happen to a master's services; the same seed does the same."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.dice = random.Random(seed)
        self.bench = Bench(make_storages(folder, "memory"))
        # What was acknowledged last: by service, how many and of which make; None: deleted.
        self.account: dict[str, tuple[int, str] | None] = {}
        self.generation = 0

    async def wander(self) -> None:
        await self.bench.start()
        try:
            for name in NODES:
                await self.bench.node(name, slots=20)
            moves = (self.want, self.want, self.time, self.act, self.act, self.act, self.nodes)
            rare = (self.crash, self.exits, self.illness, self.disk, self.cancel)
            for _ in range(STEPS):
                move = self.dice.choice(moves if self.dice.random() < 0.7 else rare)
                try:
                    await move()
                except Rejection:
                    await self.bench.engine.look()
                self.check()
            await self.kind()
        finally:
            await self.bench.kill()

    # --- what may happen ------------------------------------------------------------------

    async def want(self) -> None:
        dice, services = self.dice, self.bench.services
        name, number, make = dice.choice(NAMES), dice.randrange(5), dice.choice("abc")
        wanted = spec(number, env={"MAKE": make})
        here = self.account.get(name)
        if here is None:
            await services.create(name, wanted)
            self.account[name] = (number, make)
        elif dice.random() < 0.15:
            await services.delete(name)
            self.account[name] = None
        elif dice.random() < 0.5:
            await services.scale(name, number)
            self.account[name] = (number, here[1])
        else:
            await services.update(name, lambda _: wanted)
            self.account[name] = (number, make)

    async def time(self) -> None:
        await self.bench.pass_time(self.dice.choice((100, 1_000, 3_000, 12_000, 40_000)))

    async def act(self) -> None:
        await self.bench.services.look()
        for node in self.connected():
            if self.dice.random() < 0.8:
                await node.work()

    async def nodes(self) -> None:
        node = self.bench.nodes[self.dice.choice(NODES)]
        if node.session and self.dice.random() < 0.5:
            await node.vanish()
        elif not node.session:
            await node.join()
            node.report()

    async def crash(self) -> None:
        await self.bench.restart()

    async def exits(self) -> None:
        for node in self.connected():
            running = [task_id for task_id in node.has if task_id in node.grants]
            if running and self.dice.random() < 0.5:
                await node.exits(self.dice.choice(running), '{"code": 1}')

    async def illness(self) -> None:
        state = self.dice.choice((HEALTHY, HEALTHY, STARTING, UNHEALTHY))
        for node in self.connected():
            node.begins_as = state
            node.report()

    async def disk(self) -> None:
        storage = self.bench.storage
        assert isinstance(storage, MemoryStorage)
        full = self.dice.random() < 0.3
        storage.tasks_max = len(storage.tasks) if full else None

    async def cancel(self) -> None:
        lives = list(self.bench.roster.stock.lives)
        if lives:
            await self.bench.engine.ask(c.Cancel((self.dice.choice(lives),), skip_ended=True))

    def connected(self) -> list[Node]:
        """The nodes whose session stands; the others have to notice that theirs does not."""
        sessions = self.bench.engine.core.book.sessions
        for node in self.bench.nodes.values():
            session = sessions.get(node.session)
            if session is None or session.ghost:
                node.session = ""
        return [node for node in self.bench.nodes.values() if node.session]

    # --- what must hold -------------------------------------------------------------------

    def check(self) -> None:
        """What holds at every moment."""
        bench, stock = self.bench, self.bench.roster.stock
        nodes = bench.roster.nodes.values()
        known = stock.rest(nodes)
        stock.reported()
        assert stock.rest(nodes) == known, "what is left of ended tasks is what was found last"
        live = {
            task.spec.id: task.state
            for task in bench.storage.tasks.values()  # type: ignore[attr-defined]
            if task.is_instance and not task.state.ended
        }
        assert stock.lives.keys() == live.keys(), "the roster is what is committed"
        wanted = {name for name, here in self.account.items() if here is not None}
        assert bench.roster.services.keys() == wanted, "what was acknowledged stands"
        assert bench.services.generation() >= self.generation, "generations never go back"
        self.generation = bench.services.generation()
        for node in self.connected():
            for task_id in bench.services.report(node.session, node.copies(), node.facts):
                assert task_id not in live or live[task_id] is None, "no live one is unwanted"

    async def kind(self) -> None:
        """Lets the world be kind, and demands that all is as it is wanted."""
        bench = self.bench
        storage = bench.storage
        assert isinstance(storage, MemoryStorage)
        storage.tasks_max = None
        with contextlib.suppress(Rejection):
            await bench.engine.look()
        self.connected()
        for node in bench.nodes.values():
            node.begins_as = HEALTHY
            if not node.session:
                await node.join()
            for task_id, report in list(node.has.items()):
                node.put(task_id, report.instance_id)
        for _ in range(120):
            await bench.settle()
            await bench.pass_time(2_000)
        await bench.settle()
        runs = Counter(
            each.instance_id for node in bench.nodes.values() for each in node.has.values()
        )
        assert max(runs.values(), default=1) == 1, "none runs twice"
        for name in NAMES:
            number, make = self.account.get(name) or (0, "")
            mine = [id for id in runs if id.startswith(f"{name}-")]
            assert len(mine) == number, (name, number, sorted(runs))
            if self.account.get(name) is not None:
                shown = bench.services.get(name)
                assert (shown.healthy, shown.running, list(shown.pending)) == (number, number, [])
                if shown.spec.env["MAKE"] != make:
                    assert shown.rollout.reason, "another make only if this one failed"
                assert {each.version for each in bench.shown(name)} <= {shown.version}


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_is_wanted_comes_to_be_whatever_happened_before(
    seed: int, tmp_path: Path
) -> None:
    await Wanderer(seed, tmp_path).wander()
