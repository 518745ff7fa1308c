"""What is wanted changes, faster than it can become so, or to what can't be."""

from __future__ import annotations

import time

from fault_harness.services.site import WEB, WEB_INSTANCES
from fault_harness.services.trial import Fault, Trial


async def _steps(trial: Trial) -> None:
    for instances in (9, 2, 0, WEB_INSTANCES):
        await trial.site.scale(instances)
        sight = await trial.recovers(trial.site.bounds.restart)
        on = [sum(it.node == node for it in sight.told) for node in sorted(trial.site.reachable)]
        trial.note(f"{instances} instances: {'-'.join(map(str, on))}")
        trial.require(max(on) - min(on) <= 1, f"{instances} are spread as {on}")


async def _fast(trial: Trial) -> None:
    for instances in (9, 1, 8, 0, 9, 3, WEB_INSTANCES):
        await trial.site.scale(instances)
        await trial.wait(trial.random.uniform(0.0, 0.4))
    await trial.recovers(trial.site.bounds.restart + 2)


async def _made_again(trial: Trial) -> None:
    before = {it.handle for it in await trial.running()}
    await trial.site.rest.delete(WEB)
    await trial.site.create()
    await trial.recovers(trial.site.bounds.restart + 2)
    after = {it.handle for it in await trial.running()}
    trial.require(not before & after, "programs of the service that was deleted go on")


async def _updated(trial: Trial) -> None:
    site = trial.site
    before = {it.handle for it in await trial.running()}
    env = {**site.spec(1)["env"], "FLAVOUR": f"new {trial.random.random()}"}
    began = time.monotonic()
    await site.rest.update(WEB, {"env": env})
    await trial.until_told(
        "all are new",
        lambda sight: not before & {it.handle for it in sight.found if it.live},
        site.bounds.rolled(WEB_INSTANCES),
    )
    await trial.recovers(site.bounds.rolled(WEB_INSTANCES), since=began)


async def _bad_update(trial: Trial) -> None:
    """Not one that is well may end for it."""
    site = trial.site
    before, began = await trial.running(), time.monotonic()
    await site.rest.update(WEB, site.own.broken())
    took_s = await trial.until_told(
        "it is tried", lambda sight: len(sight.told) > WEB_INSTANCES, site.bounds.start
    )
    trial.note(f"the first of the new version came after {took_s:.1f} s")
    # Its update policy gives it 12 s.
    await trial.recovers(12.0 + site.bounds.restart, since=began)
    trial.require_go_on(before, await trial.running())
    service = await site.rest.service(WEB)
    rollout = service["rollout"]
    trial.require(rollout["state"] == "ROLLOUT_STATE_RETURNED", f"it is {rollout['state']}")
    trial.note(f"told as: {rollout.get('reason', '')}")


FAULTS = (
    Fault("scaled", "9, 2, 0 and 6 instances, one after the other", _steps),
    Fault("scaled-fast", "9, 1, 8, 0, 9, 3 and 6 instances within 2 s", _fast),
    Fault("made-again", "deleted and made again under its name at once", _made_again),
    Fault("updated", "a rolling update", _updated),
    Fault("bad-update", "an update to what can't run", _bad_update),
)
