"""The master killed, frozen or away; nodes and instances are well."""

from __future__ import annotations

import time

from cluster import until

from fault_harness.services.rest import Refused
from fault_harness.services.site import WEB, WEB_INSTANCES
from fault_harness.services.trial import Fault, Trial

# From the process's start until it serves.
START_S = 3.0


async def _restart(trial: Trial) -> None:
    site = trial.site
    site.master.kill()
    await site.fleet.restart(site.master)


async def _killed(trial: Trial) -> None:
    began = time.monotonic()
    before = await trial.running()
    await _restart(trial)
    await trial.recovers(START_S + trial.site.bounds.back, since=began)
    trial.require_same(before, await trial.running())


async def _killed_scaling(trial: Trial) -> None:
    site = trial.site
    await site.scale(WEB_INSTANCES + 3)
    await trial.wait(trial.random.uniform(0.0, 0.5))
    began = time.monotonic()
    await _restart(trial)
    await trial.recovers(START_S + site.bounds.back, since=began)
    await site.scale(WEB_INSTANCES)
    began = time.monotonic()
    await _restart(trial)
    await trial.recovers(START_S + site.bounds.back, since=began)


async def _killed_updating(trial: Trial) -> None:
    site = trial.site
    await site.rest.update(WEB, {"env": {**site.spec(1)["env"], "FLAVOUR": "between"}})
    await trial.wait(trial.random.uniform(0.5, 2.0))
    began = time.monotonic()
    await _restart(trial)
    sight = await trial.recovers(START_S + site.bounds.rolled(WEB_INSTANCES), since=began)
    versions = {it.version for it in sight.told}
    trial.require(len(versions) == 1, f"they are of the versions {sorted(versions)}")
    service = await site.rest.service(WEB)
    rollout = service["rollout"]["state"]
    trial.require(rollout == "ROLLOUT_STATE_DONE", f"its update is {rollout}")


async def _away(trial: Trial) -> None:
    """While it is away one instance dies, and one worker: nothing else may change by that."""
    site, node = trial.site, trial.node()
    before = await trial.running()
    site.master.kill()
    victim = trial.random.choice(before)
    await site.own.kill(victim)
    site.kill_node(node)
    await site.start_node(node)
    await trial.wait(site.bounds.replace_after + 3)
    went = [it for it in before if it not in await trial.running()]
    trial.require(went == [victim], f"{len(went)} programs ended while nobody could ask for it")
    await site.fleet.restart(site.master)
    await trial.recovers(site.bounds.back)


async def _frozen(trial: Trial) -> None:
    site = trial.site
    before = await trial.running()
    site.master.freeze()
    await trial.wait(site.bounds.settings.eviction_s + site.bounds.replace_after + 2)
    site.master.thaw()
    await trial.recovers(site.bounds.back)
    trial.require_same(before, await trial.running())


async def _with_a_worker(trial: Trial) -> None:
    site, node = trial.site, trial.node()
    before = await trial.running()
    site.master.kill()
    site.kill_node(node)
    began = time.monotonic()
    await site.fleet.restart(site.master)
    await site.start_node(node)
    await trial.recovers(START_S + site.bounds.back, since=began)
    trial.require_same(before, await trial.running())


async def _with_a_worker_for_good(trial: Trial) -> None:
    """The new master has never seen the node that its tasks are on."""
    site, node = trial.site, trial.node()
    site.master.kill()
    site.kill_node(node)
    began = time.monotonic()
    await site.fleet.restart(site.master)
    await trial.recovers(START_S + site.bounds.replaced_in_silence, since=began)
    await site.start_node(node)
    await trial.recovers(site.bounds.back)


async def _killed_deleting(trial: Trial) -> None:
    site = trial.site
    await site.rest.delete(WEB)
    del site.wanted[WEB]
    began = time.monotonic()
    await _restart(trial)
    await trial.recovers(START_S + site.bounds.back, since=began)
    await site.create()
    await trial.recovers(site.bounds.restart)


async def _refused(trial: Trial) -> bool:
    try:
        await trial.site.rest.create("another", trial.site.spec(0))
    except Refused as refused:
        trial.require(refused.reason == "DISK_FULL", f"it is refused as {refused}")
        return True
    await trial.site.rest.delete("another")
    return False


async def _disk_full(trial: Trial) -> None:
    site = trial.site
    if site.disk is None:
        trial.row.skipped = "mounting a small file system needs root"
        return
    before = await trial.running()
    site.disk.fill()
    try:
        await until(lambda: _refused(trial), "a new service is refused as DISK_FULL")
        [victim] = await trial.some()
        await site.own.kill(victim)
        await trial.wait(3.0)
        went = [it for it in before if it not in await trial.running()]
        trial.require(went == [victim], f"{len(went)} programs ended by a full disk")
    finally:
        site.disk.make_room()
    await trial.recovers(site.bounds.restart + 2)


FAULTS = (
    Fault("master-killed", "SIGKILL of the master, started again", _killed),
    Fault("master-killed-scaling", "SIGKILL of the master scaling to 9, and to 6", _killed_scaling),
    Fault("master-killed-updating", "SIGKILL of the master in a rolling update", _killed_updating),
    Fault(
        "master-killed-deleting",
        "SIGKILL of the master once a service is deleted",
        _killed_deleting,
    ),
    Fault("master-away", "no master; an instance and a worker die meanwhile", _away),
    Fault("master-frozen", "SIGSTOP of the master for longer than any grace", _frozen),
    Fault("master-and-worker-killed", "SIGKILL of both, both started again", _with_a_worker),
    Fault(
        "master-killed-worker-lost", "SIGKILL of both; the node comes late", _with_a_worker_for_good
    ),
    Fault("disk-full", "the master's disk full; an instance dies meanwhile", _disk_full),
)
