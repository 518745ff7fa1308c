"""One fault on a cluster that goes on: what is waited for, judged and noted."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import httpx

from fault_harness.services.judge import HEALTHY, Found, Sight, doubles, lacking, orphans
from fault_harness.services.rest import Refused
from fault_harness.services.site import TWO_CYCLES_S, WEB, WEB_INSTANCES, Site

LOOK_S: Final = 0.15


class NotSettledError(Exception):
    """What was wanted did not come, however long it was waited for."""


@dataclass
class Row:
    """A line of the table."""

    fault: str
    told: str
    recoveries: list[float] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    duplicates: int = 0
    orphans: int = 0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    skipped: str = ""
    took_s: float = 0.0

    @property
    def held(self) -> bool:
        """Whether the law held."""
        return not self.problems


@dataclass(frozen=True)
class Fault:
    """Something that is done to the cluster. `only`: the runner that it needs; empty: any."""

    name: str
    told: str
    make: Callable[[Trial], Awaitable[None]]
    only: str = ""


class Trial:
    """What a fault works with."""

    def __init__(self, site: Site, row: Row, seed: int) -> None:
        self.site: Final = site
        self.row: Final = row
        self.random: Final = random.Random(f"{seed} {row.fault}")
        self._doubled: dict[str, float] = {}
        # By handle: every program that was ever there.
        self._ever: dict[str, Found] = {}

    # --- what to hurt

    async def running(self, service: str = WEB) -> list[Found]:
        """Returns the service's programs that live, in an order of their names."""
        found = [it for it in await self.site.own.found() if it.live and it.service == service]
        self._ever |= {it.handle: it for it in found}
        return sorted(found, key=lambda it: it.instance)

    async def some(self, count: int = 1) -> list[Found]:
        """Chooses programs at random."""
        return self.random.sample(await self.running(), count)

    def node(self) -> str:
        """Chooses a node at random."""
        return self.random.choice(sorted(self.site.reachable))

    async def address_of(self, instance: str) -> str:
        """Returns where an instance can be reached, as host:port."""
        told = {it.id: it for it in await self.site.rest.instances()}
        return told[instance].addresses[0]

    # --- what to wait for

    async def recovers(self, bound_s: float, *, since: float | None = None) -> Sight:
        """Waits until all is as wanted, and stays so for two cycles of the inventory.

        Notes how long it took until then; raises NotSettledError.
        """
        bound_s *= self.site.leeway
        began = time.monotonic() if since is None else since
        well_since: float | None = None
        lacks = ["nobody answers"]
        worst = 0
        while True:
            sight, now = await self._look(), time.monotonic()
            if sight is not None:
                lacks = list(lacking(sight, self.site.truth))
                self._watch_doubles(sight, now)
            well_since = None if sight is None or lacks else (well_since or now)
            if sight is not None and well_since is not None and now - well_since >= TWO_CYCLES_S:
                break
            worst = self._orphans(sight, began, bound_s, worst)
            if now > began + bound_s + self.site.patience_s + TWO_CYCLES_S:
                raise NotSettledError(f"{now - began:.0f} s, and still: {'; '.join(lacks)}")
            await self._wait_a_little()
        self.row.orphans += worst
        if stuck := sum(it.stuck for it in sight.found):
            self.note(f"{stuck} containers that the engine can't remove")
        took_s = well_since - began
        self.row.recoveries.append(took_s)
        self.row.bounds.append(bound_s)
        if took_s > bound_s:
            self.row.problems.append(f"took {took_s:.1f} s, more than {bound_s:.1f} s")
        return sight

    def _orphans(self, sight: Sight | None, began: float, bound_s: float, worst: int) -> int:
        """Counts what nobody wants, two cycles after all should be well."""
        if sight is None or time.monotonic() < began + bound_s + TWO_CYCLES_S:
            return worst
        return max(worst, len(orphans(sight, self.site.truth)))

    def _watch_doubles(self, sight: Sight, now: float) -> None:
        """Counts ids that live twice for longer than the inventory takes to end one of them."""
        there = set(doubles(sight, self.site.truth))
        self._doubled = {it: self._doubled.get(it, now) for it in there}
        for instance, since in self._doubled.items():
            if now - since > TWO_CYCLES_S:
                self.row.duplicates += 1
                self.row.problems.append(f"{instance} lives twice")
                self._doubled[instance] = float("inf")

    async def _look(self) -> Sight | None:
        try:
            sight = await self.site.look()
        except (httpx.HTTPError, Refused):
            return None
        self._ever |= {it.handle: it for it in sight.found if it.service == WEB and not it.stuck}
        return sight

    async def until_told(self, what: str, true: Callable[[Sight], bool], bound_s: float) -> float:
        """Waits until something is seen; returns how long it took."""
        began = time.monotonic()
        while time.monotonic() < began + bound_s + self.site.patience_s:
            sight = await self._look()
            if sight is not None and true(sight):
                took_s = time.monotonic() - began
                self.require(took_s <= bound_s, f"{what} took {took_s:.1f} s of {bound_s:.1f} s")
                return took_s
            await self._wait_a_little()
        raise NotSettledError(f"{bound_s + self.site.patience_s:.0f} s, and still not: {what}")

    async def levels(self) -> None:
        """Gives all nodes as many as each other again, for the next fault.

        By itself that takes a while: a node that came back is given nothing of others at first.
        """
        nodes, site = sorted(self.site.reachable), self.site

        def level(sight: Sight) -> bool:
            on = [well_on(sight, {node}) for node in nodes]
            return max(on) - min(on) <= 1 and not list(lacking(sight, site.truth))

        sight = await self._look()
        if sight is None or level(sight):
            return
        for instances in (0, WEB_INSTANCES):
            await site.scale(instances)
            await self.until_told("it is scaled", level, site.bounds.restart)

    async def _wait_a_little(self) -> None:
        """Waits until the next look."""
        await asyncio.sleep(LOOK_S)

    async def wait(self, seconds: float) -> None:
        """Lets the harm last."""
        await asyncio.sleep(seconds)

    # --- what is to be told

    def require(self, holds: bool, law: str) -> None:
        """Takes note of a law that does not hold."""
        if not holds:
            self.row.problems.append(law)

    def note(self, text: str) -> None:
        """Adds something measured to the row."""
        self.row.notes.append(text)

    def require_go_on(self, before: list[Found], after: list[Found]) -> None:
        """These programs go on."""
        gone = {it.handle for it in before} - {it.handle for it in after}
        self.require(not gone, f"{len(gone)} programs ended")

    def require_same(self, before: list[Found], after: list[Found]) -> None:
        """These programs go on, and there were no others meanwhile."""
        self.require_go_on(before, after)
        same = {it.handle for it in before}
        new = [f"{it.instance} on {it.node}" for it in self._ever.values() if it.handle not in same]
        self.require(not new, f"new ones were made: {', '.join(new)}")


def well_on(sight: Sight, nodes: frozenset[str] | set[str], service: str = WEB) -> int:
    """Counts instances that are well on some nodes."""
    return sum(
        it.service == service and it.state == HEALTHY and it.node in nodes and not it.disconnected
        for it in sight.told
    )
