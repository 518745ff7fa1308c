"""Small worlds for the reconciler's tests: what matters stands in the test, the rest is usual."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pullwork_master.reconciler.model import (
    Ended,
    Exit,
    Instance,
    Node,
    Phase,
    Plan,
    Remnant,
    Rolling,
    Rollout,
    Runner,
    Seen,
    Service,
    Wanted,
)
from pullwork_master.reconciler.reconcile import reconcile

NOW = 1_000_000_000
# Of what is well for long.
LONG_AGO = NOW - 3_600_000
BOTH = frozenset({Runner.CONTAINER, Runner.PROCESS})


def wanted(instances: int = 3, **more: Any) -> Wanted:
    """Returns what is wanted: by default containers of no size."""
    more.setdefault("runner", Runner.CONTAINER)
    more.setdefault("template", b"1")
    return Wanted(instances=instances, **more)


def service(instances: int = 3, name: str = "web", **more: Any) -> Service:
    """Returns a service at version 1 that is well, and nothing changes about it."""
    return Service(
        name=name,
        revision=1,
        version=1,
        wanted=wanted(instances, **more),
        rollout=Rollout(Rolling.DONE, LONG_AGO, 1),
        good_version=1,
        good=wanted(instances, **more),
    )


def fresh(instances: int = 3, name: str = "web", **more: Any) -> Service:
    """Returns a service that was just made: no version of it was ever well."""
    made = service(instances, name, **more)
    rolling = Rollout(Rolling.ROLLING, NOW, 1)
    return replace(made, good_version=0, good=None, rollout=rolling)


def updated(before: Service, *, ago_ms: int = 0, **changes: Any) -> Service:
    """Returns a service whose instances are to be made of something else since a while."""
    version = before.revision + 1
    changes.setdefault("template", str(version).encode())
    return replace(
        before,
        revision=version,
        version=version,
        wanted=replace(before.wanted, **changes),
        rollout=Rollout(Rolling.ROLLING, NOW - ago_ms, version),
    )


def node(name: str, **more: Any) -> Node:
    """Returns an idle node that was there for long."""
    more.setdefault("joined_ms", LONG_AGO)
    return Node(name, more.pop("runners", BOTH), **more)


def nodes(count: int = 3, **more: Any) -> tuple[Node, ...]:
    """Returns idle nodes n1, n2 and so on."""
    return tuple(node(f"n{each + 1}", **more) for each in range(count))


def instance(id: str, on: str, phase: Phase = Phase.HEALTHY, **more: Any) -> Instance:
    """Returns an instance of version 1 that is well for long, if it is well."""
    more.setdefault("task_id", f"task of {id}")
    more.setdefault("service", id.rpartition("-")[0])
    more.setdefault("version", 1)
    more.setdefault("created_ms", LONG_AGO)
    more.setdefault("healthy_ms", LONG_AGO if phase is Phase.HEALTHY else 0)
    return Instance(id=id, node=on, phase=phase, **more)


def instances(*on: str, of: str = "web", **more: Any) -> tuple[Instance, ...]:
    """Returns instances 1, 2 and so on, each on the node that is named in its place."""
    return tuple(instance(f"{of}-{at}", name, **more) for at, name in enumerate(on, 1))


def ended(of: Instance, *, ran_ms: int = 5_000, code: int | None = 1, **more: Any) -> Ended:
    """Returns that an instance has just ended by itself."""
    exit = Exit("exited", code, NOW, started_ms=NOW - ran_ms if ran_ms else 0)
    return Ended(replace(of, phase=Phase.FAILED, healthy_ms=0, **more), exit)


def remnant(id: str, on: str) -> Remnant:
    """Returns what a node still has of an instance whose task ended."""
    return Remnant(f"old task of {id}", id, id.rpartition("-")[0], on)


def plan(*services: Service, now_ms: int = NOW, **seen: Any) -> Plan:
    """Asks the reconciler; `seen` are the parts of Seen that there are."""
    seen.setdefault("nodes", nodes())
    return reconcile(services, Seen(**{key: _tuple(it) for key, it in seen.items()}), now_ms)


def _tuple(it: Any) -> Any:
    return tuple(it) if isinstance(it, list) else it


def placed(made: Plan) -> list[str]:
    """Returns the nodes that get new instances, in the plan's order."""
    return [start.node for start in made.starts]


def stopped(made: Plan) -> list[str]:
    """Returns the ids of the instances that end."""
    return [stop.task_id.removeprefix("task of ") for stop in made.stops]


def reasons(made: Plan) -> list[str]:
    """Returns why instances have no place."""
    return [lack.reason for lack in made.lacks]


def is_empty(made: Plan) -> bool:
    """Says whether there is nothing to do and nothing to tell."""
    return not (made.stops or made.starts or made.rolls or made.lacks or made.done)
