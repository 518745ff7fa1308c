"""Runs faults one after another over one cluster; after one that it can't get over, a new one."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from fault_harness.services.engine import EngineClient, OwnEngine
from fault_harness.services.lists import Containers, OwnList, Processes
from fault_harness.services.site import WEB, WEB_INSTANCES, Site
from fault_harness.services.trial import Fault, Row, Trial

# The first start of everything, on a machine that does other things too.
FIRST_S = 30.0


@dataclass(frozen=True)
class Ground:
    """What a run stands on."""

    folder: Path
    seed: int = 1
    # None: instances are processes.
    engine: OwnEngine | None = None
    planted: str = ""
    # So many times as long as its bound may each take, where the machine does other work, too.
    leeway: float = 1.0


@asynccontextmanager
async def opened(ground: Ground, name: str) -> AsyncIterator[Site]:
    """Gives a cluster whose service runs, as a caller of REST asked for it."""
    folder = ground.folder / name
    await asyncio.to_thread(folder.mkdir, parents=True)
    token = uuid4().hex
    async with AsyncExitStack() as stack:
        own: OwnList = Processes(token)
        if ground.engine is not None:
            client = EngineClient(ground.engine.socket)
            stack.push_async_callback(client.close)
            own = Containers(client, token)
        site = Site(folder, own, token, engine=ground.engine, planted=ground.planted)
        site.leeway = ground.leeway
        yield await stack.enter_async_context(site)


async def create(site: Site, row: Row, seed: int) -> None:
    """Makes the service, and sees that it is spread evenly."""
    trial = Trial(site, row, seed)
    await site.create()
    sight = await trial.recovers(FIRST_S)
    on = [sum(it.node == node for it in sight.told) for node in sorted(site.reachable)]
    trial.note(f"{WEB_INSTANCES} instances on {len(on)} nodes: {'-'.join(map(str, on))}")
    trial.require(max(on) - min(on) <= 1, f"they are spread as {on}")


async def end(site: Site, row: Row, seed: int) -> None:
    """Deletes the service, and sees that nothing is left."""
    await site.rest.delete(WEB)
    del site.wanted[WEB]
    await Trial(site, row, seed).recovers(site.bounds.restart)
    left = len(await site.own.found())
    Trial(site, row, seed).require(not left, f"{left} programs are left")


async def run_fault(fault: Fault, site: Site, seed: int) -> Row:
    """Makes one fault; whatever goes wrong in it is a problem of the row."""
    row = Row(fault.name, fault.told)
    if fault.only not in {"", site.own.runner}:
        row.skipped = f"it needs instances that are a {fault.only}"
    if row.skipped:
        return row
    began = time.monotonic()
    trial = Trial(site, row, seed)
    try:
        await fault.make(trial)
        await trial.levels()
    except Exception as error:
        row.problems.append(f"it broke off: {error}" if str(error) else f"it broke off: {error!r}")
        (site.folder / f"{fault.name}.txt").write_text(traceback.format_exc())
    row.took_s = time.monotonic() - began
    return row


async def run(faults: Sequence[Fault], ground: Ground) -> AsyncGenerator[Row, None]:
    """Yields a row for each fault, and for the beginning and the end of each cluster."""
    left, number = list(faults), 0
    # A cluster for each fault that the one before could not get over.
    while left:
        number += 1
        async with opened(ground, f"cluster-{number}") as site:
            first = Row("created", f"a service of {WEB_INSTANCES} instances made by REST")
            try:
                await create(site, first, ground.seed)
            except Exception as error:
                first.problems.append(f"it broke off: {error}")
            yield first
            if not first.held:
                return
            while left:
                row = await run_fault(left.pop(0), site, ground.seed)
                yield row
                if not row.held and not await _over_it(site, ground.seed):
                    break
            else:
                last = Row("deleted", "the service deleted: nothing is left")
                try:
                    await end(site, last, ground.seed)
                except Exception as error:
                    last.problems.append(f"it broke off: {error}")
                yield last


async def _over_it(site: Site, seed: int) -> bool:
    """Returns whether a cluster whose fault broke off is whole again, for the next one."""
    row = Row("repair", "")
    try:
        await site.repair()
        await Trial(site, row, seed).recovers(site.bounds.replaced)
    except Exception:
        return False
    return site.wanted == {WEB: WEB_INSTANCES}
