"""Programs of a service hurt one by one; their nodes and the master are well."""

from __future__ import annotations

import contextlib
import time

import httpx

from fault_harness.services.lists import Containers
from fault_harness.services.site import CRASHER
from fault_harness.services.trial import Fault, Trial


async def _killed_one(trial: Trial) -> None:
    for victim in await trial.some():
        await trial.site.own.kill(victim)
    await trial.recovers(trial.site.bounds.restart)


async def _killed_three(trial: Trial) -> None:
    for victim in await trial.some(3):
        await trial.site.own.kill(victim)
    await trial.recovers(trial.site.bounds.restart)


async def _killed_again(trial: Trial) -> None:
    """Kills what follows on an instance, too: its waits grow to no more than 2 s."""
    [victim] = await trial.some()
    for _ in range(4):
        await trial.until_told(
            f"{victim.instance} runs",
            lambda sight: any(it.live and it.instance == victim.instance for it in sight.found),
            trial.site.bounds.restart,
        )
        for it in await trial.running():
            if it.instance == victim.instance:
                await trial.site.own.kill(it)
    await trial.recovers(trial.site.bounds.restart + 2)


async def _stopped(trial: Trial) -> None:
    for victim in await trial.some():
        await trial.site.own.stop(victim)
    await trial.recovers(trial.site.bounds.restart)


async def _ask(trial: Trial, path: str) -> None:
    [victim] = await trial.some()
    url = f"http://{await trial.address_of(victim.instance)}{path}"
    async with httpx.AsyncClient(timeout=5) as http:
        with contextlib.suppress(httpx.HTTPError):
            await http.get(url)


async def _exits(trial: Trial) -> None:
    await _ask(trial, "/exit")
    await trial.recovers(trial.site.bounds.restart)


async def _out_of_memory(trial: Trial) -> None:
    await _ask(trial, "/hog")
    await trial.recovers(trial.site.bounds.restart + 2)


async def _hangs(trial: Trial) -> None:
    bounds, began = trial.site.bounds, time.monotonic()
    for victim in await trial.some():
        await trial.site.own.freeze(victim)
    await trial.until_told("it is seen", lambda it: it.healthy["web"] < 6, bounds.unhealthy + 2)
    # It can't hear SIGTERM, so it gets its whole grace before it is killed.
    await trial.recovers(bounds.unhealthy + 2 + bounds.restart, since=began)


async def _paused(trial: Trial) -> None:
    own, bounds = trial.site.own, trial.site.bounds
    assert isinstance(own, Containers)
    for victim in await trial.some():
        await own.engine.pause(victim.handle)
    await trial.recovers(bounds.unhealthy + 4 + bounds.restart)


async def _removed(trial: Trial) -> None:
    for victim in await trial.some():
        await trial.site.own.remove(victim)
    await trial.recovers(trial.site.bounds.restart)


async def _crash_loop(trial: Trial) -> None:
    """Beside the others: its starts come slower and slower, and nobody else feels it."""
    before = await trial.running()
    await trial.site.create_crasher()
    await trial.until_told(
        "it was started three times",
        lambda sight: any(it.service == CRASHER and it.restarts >= 3 for it in sight.told),
        15.0,
    )
    [told] = (await trial.site.rest.call("GET", f"/services/{CRASHER}/instances"))["instances"]
    log = told.get("last_exit", {})
    trial.require(log.get("code") == 3, f"its last exit is told as {log.get('code')!r}")
    trial.require("I give up" in log.get("log", ""), "the last lines of its log are not told")
    await trial.recovers(5.0)
    trial.require_same(before, await trial.running())
    await trial.site.rest.delete(CRASHER)
    del trial.site.wanted[CRASHER]
    await trial.recovers(trial.site.bounds.restart)


FAULTS = (
    Fault("instance-killed", "SIGKILL of one instance", _killed_one),
    Fault("instances-killed", "SIGKILL of three of six at once", _killed_three),
    Fault(
        "instance-killed-again", "SIGKILL of one, and of what follows on it, 4 times", _killed_again
    ),
    Fault("instance-stopped", "one stopped past its node: `docker stop`, `kill`", _stopped),
    Fault("instance-exits", "one ends by itself with exit code 0", _exits),
    Fault(
        "out-of-memory", "one swells until the kernel kills it", _out_of_memory, only="container"
    ),
    Fault("instance-hangs", "SIGSTOP of one: it runs, and answers no check", _hangs),
    Fault("instance-paused", "`docker pause` of one", _paused, only="container"),
    Fault("instance-removed", "`docker rm -f` of one", _removed, only="container"),
    Fault("crash-loop", "a second service that ends soon after each start; deleted", _crash_loop),
)
