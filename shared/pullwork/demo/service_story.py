"""The story of the demo of services: what is done to them, and whether they are right after it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

from pullwork.client import Client
from pullwork.demo.service_cluster import ServiceCluster
from pullwork.errors import PullworkError, RolloutFailedError
from pullwork.service_info import InstanceInfo, InstanceState, ServiceInfo
from pullwork.service_spec import (
    DisconnectPolicy,
    HealthCheck,
    HttpCheck,
    ServiceSpec,
    UpdatePolicy,
)

T = TypeVar("T")

NAME: Final = "demo-web"
PATIENCE_S: Final = 30.0
LOOK_S: Final = 0.1
ASK_S: Final = 2.0
REPLACE_AFTER_S: Final = 2.0


class WrongError(Exception):
    """Something is not as it should be; the message says what there is instead."""


class Who(NamedTuple):
    """What an instance says of itself; the token is another after each start."""

    token: str
    pid: int
    host: str
    version: str


class Story:
    """What is done to one service, step by step; each returns what was seen, in a sentence."""

    def __init__(self, cluster: ServiceCluster, client: Client, nodes: list[str]) -> None:
        self._cluster = cluster
        self._client = client
        self._nodes = nodes
        self._spec = ServiceSpec(
            instances=2 * len(nodes),
            image=cluster.image or None,
            command=cluster.command,
            ports=cluster.ports,
            env={"VERSION": "1"},
            health=HealthCheck(http=HttpCheck("/"), interval=0.2),
            update=UpdatePolicy(max_surge=2, healthy_for=0.3),
            stop_grace=2.0,
            stop_delay=0.2,
        )

    def steps(self) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """Returns the steps in their order."""
        return [
            (f"{self._wanted} instances are created", self._create),
            ("the worker of a node is killed with SIGKILL, and started again", self._kill_worker),
            ("an instance is killed", self._kill_instance),
            ("the master is killed with SIGKILL, and started again", self._kill_master),
            ("the service is scaled out by half", self._scale_out),
            ("it is scaled to 2, to 0, and back", self._scale_in),
            ("it is updated to a version that can't start", self._update_badly),
            ("it is updated to a version that can", self._update_well),
            ("a node is gone for longer than it may, and returns", self._lose_node),
            ("the service is deleted", self._delete),
        ]

    @property
    def _wanted(self) -> int:
        return self._spec.instances or 0

    # --- what is done

    async def _create(self) -> str:
        made = await self._client.services.create(NAME, self._spec)
        await self._healthy(made)
        return f"{await self._spread_evenly(self._wanted)} over the nodes, and each answers"

    async def _kill_worker(self) -> str:
        before = await self._right(self._wanted)
        name = self._nodes[0]
        there = [it for it in await self._instances() if it.node == name]
        self._cluster.nodes[name].kill()
        await self._until_reachable(name, reachable=False)
        alone = [await ask(it) for it in there]
        await self._cluster.start_node(name)
        await self._until_reachable(name, reachable=True)
        await self._same(before)
        return f"its {len(alone)} instances answered without it, and are the same processes now"

    async def _kill_instance(self) -> str:
        before = await self._right(self._wanted)
        id, victim = next(iter(before.items()))
        began = time.monotonic()
        self._cluster.kill(victim.pid, victim.host)

        async def anew() -> bool:
            now = await self._everybody()
            return id in now and now[id].token != victim.token

        await until(anew, f"{id} runs again")
        took = time.monotonic() - began
        await self._same({key: it for key, it in before.items() if key != id}, total=self._wanted)
        return f"{id} ran again after {took:.1f} s, the others were left alone"

    async def _kill_master(self) -> str:
        before = await self._right(self._wanted)
        there = await self._instances()
        self._cluster.master.kill()
        await self._cluster.master.process.wait()
        alone = [await ask(it) for it in there]
        await self._cluster.start_master()
        await self._same(before)
        return f"all {len(alone)} answered without it, and are the same processes now"

    async def _scale_out(self) -> str:
        before = await self._right(self._wanted)
        more = self._wanted + len(self._nodes)
        await self._healthy(await self._client.services.scale(NAME, more))
        await self._same(before, total=more)
        spread = await self._spread_evenly(more)
        return f"{spread} over the nodes, and those of before were left alone"

    async def _scale_in(self) -> str:
        for few in (2, 0, self._wanted):
            await self._healthy(await self._client.services.scale(NAME, few))
            await self._right(few)
        spread = await self._spread_evenly(self._wanted)
        return f"the machine's own list agreed each time; {spread} now"

    async def _update_badly(self) -> str:
        before = await self._right(self._wanted)
        bad = ServiceSpec(env={"VERSION": "bad"})
        update = await self._client.services.update(NAME, bad)
        try:
            await self._healthy(update.service)
        except RolloutFailedError as failure:
            await self._same(before)
            return f"it returned by itself, and nothing was touched: {failure}"
        raise WrongError("the version that can't start was taken for a good one")

    async def _update_well(self) -> str:
        update = await self._client.services.update(NAME, ServiceSpec(env={"VERSION": "2"}))
        await self._healthy(update.service)
        await self._right(self._wanted)
        versions = Counter(it.version for it in (await self._everybody()).values())
        if versions != {"2": self._wanted}:
            raise WrongError(f"versions and how many answer with them: {dict(versions)}")
        spread = await self._spread_evenly(self._wanted)
        return f"all {self._wanted} answer as version 2, {spread} over the nodes"

    async def _lose_node(self) -> str:
        policy = DisconnectPolicy(replace_after=REPLACE_AFTER_S)
        await self._client.services.update(NAME, ServiceSpec(disconnect=policy))
        name = self._nodes[-1]
        there = [it for it in await self._instances() if it.node == name]
        began = time.monotonic()
        self._cluster.nodes[name].kill()

        async def replaced() -> bool:
            found = [it for it in await self._instances() if it.node != name]
            return len(found) == self._wanted

        await until(replaced, "its instances are replaced on the other nodes")
        took = time.monotonic() - began
        await self._cluster.start_node(name)
        await self._until_reachable(name, reachable=True)
        await self._right(self._wanted)
        return (
            f"its {len(there)} instances ran elsewhere after {took:.1f} s; when it returned it "
            "gave its own up"
        )

    async def _delete(self) -> str:
        await self._client.services.delete(NAME)

        async def gone() -> bool:
            return await asyncio.to_thread(self._cluster.programs) == 0

        await until(gone, "no program is left")
        return "no program of it is left on this machine"

    # --- whether it is right

    async def _healthy(self, changed: ServiceInfo) -> None:
        await self._client.services.wait_healthy(changed, PATIENCE_S)

    async def _right(self, count: int) -> dict[str, Who]:
        """Waits until so many instances are healthy and answer, and the machine has no more."""
        seen: dict[str, Who] = {}

        async def agreed() -> bool:
            nonlocal seen
            seen = await self._everybody()
            tokens = {it.token for it in seen.values()}
            programs = await asyncio.to_thread(self._cluster.programs)
            return len(seen) == len(tokens) == count == programs

        await until(agreed, f"{count} instances, and no program more")
        return seen

    async def _same(self, before: dict[str, Who], total: int | None = None) -> None:
        """Waits until all is well again, and checks that nobody was started anew."""
        now = await self._right(len(before) if total is None else total)
        changed = [id for id, who in before.items() if now.get(id) != who]
        if changed:
            raise WrongError(f"not the same processes as before: {', '.join(changed)}")

    async def _spread_evenly(self, count: int) -> str:
        """Waits until so many instances are spread evenly, and returns how."""
        counts: list[int] = []

        async def even() -> bool:
            nonlocal counts
            found = Counter(it.node for it in await self._instances())
            counts = [found[name] for name in self._nodes]
            return sum(counts) == count and max(counts) - min(counts) <= 1

        try:
            await until(even, "an even spread")
        except WrongError:
            raise WrongError(f"spread as {counts}") from None
        await self._right(count)
        return "-".join(map(str, counts))

    async def _instances(self) -> list[InstanceInfo]:
        found = await self._client.services.instances(NAME, states=[InstanceState.HEALTHY])
        return [it for it in found if not it.disconnected]

    async def _everybody(self) -> dict[str, Who]:
        """Asks all healthy instances who they are."""
        there = await self._instances()
        told: dict[str, Who] = {}
        for it in there:
            with contextlib.suppress(OSError):  # it may have ended meanwhile
                told[it.id] = await ask(it)
        return told

    async def _until_reachable(self, name: str, *, reachable: bool) -> None:
        async def there() -> bool:
            nodes = await self._client.services.nodes()
            return any(
                it.name == name and (it.disconnected_since is None) is reachable for it in nodes
            )

        await until(there, f"{name} is {'back' if reachable else 'missed'}")


async def ask(instance: InstanceInfo) -> Who:
    """Asks an instance who it is; raises OSError."""
    address = instance.addresses[0]
    url = f"http://{address.host}:{address.port}/"

    def read() -> bytes:
        with urllib.request.urlopen(url, timeout=ASK_S) as answer:
            told: bytes = answer.read()
            return told

    return Who(**json.loads(await asyncio.to_thread(read)))


async def until(true: Callable[[], Awaitable[T]], what: str) -> T:
    """Looks again and again until a condition holds; raises WrongError at its deadline."""
    ends = time.monotonic() + PATIENCE_S
    while True:
        why = ""
        try:
            if seen := await true():
                return seen
        except PullworkError as error:
            why = f" ({error})"
        if time.monotonic() > ends:
            raise WrongError(f"{PATIENCE_S:g} s passed, and still not: {what}{why}")
        await asyncio.sleep(LOOK_S)
