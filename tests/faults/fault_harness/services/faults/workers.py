"""Nodes whose worker dies, freezes, leaves or comes."""

from __future__ import annotations

import time

from fault_harness.services.site import NODES, WEB, WEB_INSTANCES
from fault_harness.services.trial import Fault, Trial, well_on

# A node that is new is given nothing of others before it was there for so long.
JOINED_FOR_S = 10.0


async def _killed_and_back(trial: Trial) -> None:
    site, node = trial.site, trial.node()
    before = await trial.running()
    site.kill_node(node)
    await site.start_node(node)
    await trial.recovers(site.bounds.back)
    trial.require_same(before, await trial.running())


async def _killed_for_long(trial: Trial) -> None:
    site, node = trial.site, trial.node()
    before = [it for it in await trial.running() if it.node == node]
    site.kill_node(node)
    await trial.recovers(site.bounds.replaced)
    still = [it for it in await trial.running() if it.node == node]
    trial.require_go_on(before, still)
    await site.start_node(node)
    await trial.recovers(site.bounds.back)
    kept = {it.handle for it in before} & {it.handle for it in await trial.running()}
    trial.require(not kept, "what was replaced goes on")


async def _killed_with_all(trial: Trial) -> None:
    """As if its machine lost its power and came back."""
    site, node = trial.site, trial.node()
    site.kill_node(node)
    for it in await trial.running():
        if it.node == node:
            await site.own.kill(it)
    await site.start_node(node)
    await trial.recovers(site.bounds.back)


async def _two_killed(trial: Trial) -> None:
    site = trial.site
    pair = trial.random.sample(sorted(site.reachable), 2)
    for node in pair:
        site.kill_node(node)
    await trial.recovers(site.bounds.replaced)
    for node in pair:
        await site.start_node(node)
    await trial.recovers(site.bounds.back)


async def _all_killed(trial: Trial) -> None:
    site = trial.site
    before = await trial.running()
    for node in NODES:
        site.kill_node(node)
    for node in NODES:
        await site.start_node(node)
    await trial.recovers(site.bounds.back)
    trial.require_same(before, await trial.running())


async def _terminated(trial: Trial) -> None:
    """What it keeps goes on without it, as when its package is upgraded."""
    site, node = trial.site, trial.node()
    before = await trial.running()
    site.nodes[node].terminate()
    site.reachable.discard(node)
    code = await site.nodes[node].ended()
    trial.require(code == 0, f"it ended with {code}")
    await site.start_node(node)
    await trial.recovers(site.bounds.back)
    trial.require_same(before, await trial.running())


async def _frozen(trial: Trial) -> None:
    site, node = trial.site, trial.node()
    began = time.monotonic()
    site.nodes[node].freeze()
    site.reachable.discard(node)
    await trial.recovers(site.bounds.replaced_in_silence)
    await trial.wait(max(0.0, began + 20 - time.monotonic()))
    site.nodes[node].thaw()
    site.reachable.add(node)
    await trial.recovers(site.bounds.back)


async def _killed_while_starting(trial: Trial) -> None:
    site, node = trial.site, trial.node()
    await site.scale(WEB_INSTANCES + 3)
    await trial.until_told(
        "one starts there",
        lambda sight: sum(it.service == WEB and it.node == node for it in sight.told) > 2,
        site.bounds.start,
    )
    site.kill_node(node)
    await site.start_node(node)
    await trial.recovers(site.bounds.back)
    await site.scale(WEB_INSTANCES)
    await trial.recovers(site.bounds.restart)


async def _killed_while_stopping(trial: Trial) -> None:
    site, node = trial.site, trial.node()
    await site.scale(0)
    site.kill_node(node)
    await site.start_node(node)
    await trial.recovers(site.bounds.back)
    await site.scale(WEB_INSTANCES)
    await trial.recovers(site.bounds.restart)


async def _drained(trial: Trial) -> None:
    site, node = trial.site, trial.node()
    began = time.monotonic()
    await site.rest.call("POST", f"/workers/pullwork.node%2F{node}/drain", {})
    site.reachable.discard(node)
    code = await site.nodes[node].ended()
    trial.require(code == 0, f"it ended with {code}")
    # One moves after the other.
    await trial.recovers(site.bounds.rolled(4), since=began)
    await site.start_node(node)
    await trial.recovers(site.bounds.back)


async def _late(trial: Trial) -> None:
    site = trial.site
    await site.start_node("late")
    relieved_s = await trial.until_told(
        "the new node has one",
        lambda sight: well_on(sight, {"late"}) > 0,
        JOINED_FOR_S + site.bounds.back,
    )
    trial.note(f"the new node had its first instance after {relieved_s:.1f} s")
    await trial.recovers(site.bounds.restart)
    await site.retire_node("late")
    await trial.recovers(site.bounds.replaced)
    for it in await site.own.found():
        if it.node == "late":
            await site.own.remove(it)


FAULTS = (
    Fault("worker-killed", "SIGKILL of a worker, started again at once", _killed_and_back),
    Fault("worker-lost", "SIGKILL of a worker, back when all was replaced", _killed_for_long),
    Fault(
        "machine-lost", "SIGKILL of a worker and all that it runs; back at once", _killed_with_all
    ),
    Fault("two-workers-lost", "SIGKILL of two workers, back when all was replaced", _two_killed),
    Fault("workers-killed", "SIGKILL of all workers, started again at once", _all_killed),
    Fault("worker-stopped", "SIGTERM of a worker, started again once it ended", _terminated),
    Fault("worker-frozen", "SIGSTOP of a worker for 20 s", _frozen),
    Fault(
        "worker-killed-starting", "scaled to 9, a worker killed meanwhile", _killed_while_starting
    ),
    Fault(
        "worker-killed-stopping", "scaled to 0, a worker killed meanwhile", _killed_while_stopping
    ),
    Fault("node-drained", "a node drained by the operator, and brought back", _drained),
    Fault("node-joins", "a fourth node joins, and dies for good", _late),
)
