"""The engine restarted, killed and frozen under its nodes; and what strangers leave in it."""

from __future__ import annotations

from fault_harness.services.engine import OwnEngine
from fault_harness.services.judge import RESTING
from fault_harness.services.lists import (
    CLUSTER_LABEL,
    INSTANCE_LABEL,
    NODE_LABEL,
    SERVICE_LABEL,
    TOKEN,
    Containers,
)
from fault_harness.services.program import command
from fault_harness.services.site import CRASHER, WEB, WEB_INSTANCES
from fault_harness.services.trial import Fault, Trial

# The engine ends its containers as it starts.
RESTORE_S = 5.0


def _engine(trial: Trial) -> OwnEngine:
    assert trial.site.engine is not None
    return trial.site.engine


async def _restarted(trial: Trial) -> None:
    await _engine(trial).stop()
    await _engine(trial).start()
    await trial.recovers(RESTORE_S + trial.site.bounds.restart)


async def _killed(trial: Trial) -> None:
    await _engine(trial).kill()
    await trial.wait(5.0)
    await _engine(trial).start()
    await trial.recovers(RESTORE_S + trial.site.bounds.restart)


async def _frozen(trial: Trial) -> None:
    """Programs go on without it, and so they are the same afterwards."""
    before = await trial.running()
    _engine(trial).freeze()
    await trial.wait(10.0)
    _engine(trial).thaw()
    await trial.recovers(RESTORE_S + trial.site.bounds.restart)
    trial.require_same(before, await trial.running())


async def _killed_scaling(trial: Trial) -> None:
    await trial.site.scale(WEB_INSTANCES + 3)
    await trial.wait(trial.random.uniform(0.0, 0.5))
    await _engine(trial).kill()
    await _engine(trial).start()
    await trial.recovers(RESTORE_S + trial.site.bounds.restart + 2)
    await trial.site.scale(WEB_INSTANCES)
    await trial.recovers(trial.site.bounds.restart)


async def _name_taken(trial: Trial) -> None:
    """Somebody else's container has the name that the next start of an instance gets.

    That is known beforehand only of one that waits for its start.
    """
    own = trial.site.own
    assert isinstance(own, Containers)
    await trial.site.create_crasher()
    await trial.until_told(
        "it waits for its next start",
        lambda sight: any(
            it.service == CRASHER and it.restarts >= 4 and it.state in RESTING for it in sight.told
        ),
        30.0,
    )
    [told] = (await trial.site.rest.call("GET", f"/services/{CRASHER}/instances"))["instances"]
    name, restarts = f"pullwork-{told['id']}-{told['task_id']}", told["restarts"]
    foreign = await own.engine.run(name, command("python3"), {})
    await trial.until_told(
        "it was started again",
        lambda sight: any(it.restarts >= restarts + 2 for it in sight.told),
        trial.site.bounds.restart + 4,
    )
    await _spare(trial, foreign)
    await trial.site.rest.delete(CRASHER)
    del trial.site.wanted[CRASHER]
    await trial.recovers(trial.site.bounds.restart)


async def _spare(trial: Trial, foreign: str) -> None:
    """Sees that a stranger's container was left alone, and removes it."""
    own = trial.site.own
    assert isinstance(own, Containers)
    there = [it["State"] for it in await own.engine.containers() if it["Id"] == foreign]
    trial.require(there == ["running"], "the stranger was removed")
    await own.engine.remove(foreign)


async def _dead_cluster(trial: Trial) -> None:
    """A container with our labels, of a cluster that is gone."""
    own = trial.site.own
    assert isinstance(own, Containers)
    [ours] = await trial.some()
    [it] = [it for it in await own.engine.containers() if it["Id"] == ours.handle]
    labels = dict(it["Labels"])
    labels |= {TOKEN: "another", CLUSTER_LABEL: "another-cluster", INSTANCE_LABEL: f"{WEB}-99"}
    assert {NODE_LABEL, SERVICE_LABEL} <= set(labels)
    foreign = await own.engine.run("left-by-another", command("python3"), labels)
    await trial.recovers(trial.site.bounds.restart)
    await _spare(trial, foreign)


FAULTS = (
    Fault("engine-restarted", "dockerd ended and started again", _restarted, only="container"),
    Fault("engine-killed", "SIGKILL of dockerd, back after 5 s", _killed, only="container"),
    Fault("engine-frozen", "SIGSTOP of dockerd for 10 s", _frozen, only="container"),
    Fault(
        "engine-killed-scaling",
        "SIGKILL of dockerd scaling to 9",
        _killed_scaling,
        only="container",
    ),
    Fault(
        "name-taken",
        "a stranger's container has the next one's name",
        _name_taken,
        only="container",
    ),
    Fault(
        "dead-cluster",
        "a container with our labels of a dead cluster",
        _dead_cluster,
        only="container",
    ),
)
