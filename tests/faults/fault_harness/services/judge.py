"""Whether what runs is what is wanted: pure, from the master's word and the machine's own list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

HEALTHY = "INSTANCE_STATE_HEALTHY"
# An instance that has no program now, but will have one.
RESTING = {"INSTANCE_STATE_PENDING", "INSTANCE_STATE_FAILED"}
STOPPING = "INSTANCE_STATE_STOPPING"


@dataclass(frozen=True)
class Told:
    """An instance as the master tells it."""

    id: str
    service: str
    node: str
    state: str
    disconnected: bool = False
    addresses: tuple[str, ...] = ()
    restarts: int = 0
    version: int = 0


@dataclass(frozen=True)
class Found:
    """A container of the engine's list, or a process of the kernel's."""

    # The container's id or the process's.
    handle: str
    instance: str
    service: str
    node: str
    # False: it ended, and was not removed.
    live: bool = True
    # The engine was asked to remove it and could not, as it says itself: nobody can do more.
    stuck: bool = False


@dataclass(frozen=True)
class Truth:
    """What the harness itself did: what it asked for, and which nodes it left in reach."""

    wanted: dict[str, int]
    reachable: frozenset[str]
    # Services whose instances end again and again.
    restless: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Sight:
    """All that was seen in one look."""

    told: tuple[Told, ...]
    found: tuple[Found, ...]
    # By service: how many the master calls healthy.
    healthy: dict[str, int] = field(default_factory=dict)
    # Where discovery sends callers; None: it was not asked.
    discovered: frozenset[str] | None = None


def doubles(sight: Sight, truth: Truth) -> list[str]:
    """Returns the ids under which more than one program lives on nodes in reach."""
    counts = Counter(it.instance for it in sight.found if it.live and it.node in truth.reachable)
    return [instance for instance, count in counts.items() if count > 1]


def orphans(sight: Sight, truth: Truth) -> list[str]:
    """Returns what lies on nodes in reach, and is no instance that is to be there."""
    known = {(it.id, it.node) for it in sight.told if it.state != STOPPING}
    return [
        f"{it.instance} on {it.node}"
        for it in sight.found
        if it.node in truth.reachable and (it.instance, it.node) not in known and not it.stuck
    ]


def lacking(sight: Sight, truth: Truth) -> Iterator[str]:
    """Yields what is not yet as wanted."""
    for service, wanted in truth.wanted.items():
        if service in truth.restless:
            yield from _of_restless(service, wanted, sight)
        else:
            yield from _of_steady(service, wanted, sight, truth)
    if more := {it.service for it in sight.told if not it.disconnected} - set(truth.wanted):
        yield f"the master still tells of {', '.join(sorted(more))}"
    for instance in doubles(sight, truth):
        yield f"{instance} lives twice"
    for orphan in orphans(sight, truth):
        yield f"nobody wants {orphan}"
    yield from _of_discovery(sight, truth)


def _of_steady(service: str, wanted: int, sight: Sight, truth: Truth) -> Iterator[str]:
    stuck = {(it.instance, it.node) for it in sight.found if it.stuck}
    told = [
        it
        for it in sight.told
        if it.service == service
        and not it.disconnected
        and not (it.state == STOPPING and (it.id, it.node) in stuck)
    ]
    well = [it for it in told if it.state == HEALTHY]
    if sight.healthy.get(service, 0) != wanted or len(well) != wanted or len(told) != wanted:
        states = _counted([it.state.removeprefix("INSTANCE_STATE_") for it in told])
        yield f"{service}: {sight.healthy.get(service, 0)} of {wanted} healthy ({states})"
    lost = [it.id for it in well if it.node not in truth.reachable]
    if lost:
        yield f"{service}: {', '.join(lost)} can't be reached, and is called healthy"
    live = {it.instance for it in sight.found if it.live and it.node in truth.reachable}
    if missing := sorted({it.id for it in well} - live - set(lost)):
        yield f"{service}: {', '.join(missing)} is called healthy, and does not run"


def _of_restless(service: str, wanted: int, sight: Sight) -> Iterator[str]:
    told = [it for it in sight.told if it.service == service]
    if len(told) != wanted:
        yield f"{service}: {len(told)} of {wanted} instances"
    live = [it for it in sight.found if it.service == service and it.live]
    if len(live) > wanted:
        yield f"{service}: {len(live)} of {wanted} run"


def _of_discovery(sight: Sight, truth: Truth) -> Iterator[str]:
    if sight.discovered is None:
        return
    steady = set(truth.wanted) - truth.restless
    well = {
        address
        for it in sight.told
        if it.service in steady and it.state == HEALTHY and not it.disconnected
        for address in it.addresses
    }
    if wrong := sorted(sight.discovered - well):
        yield f"discovery names {', '.join(wrong)}"
    if missing := sorted(well - sight.discovered):
        yield f"discovery does not name {', '.join(missing)}"


def _counted(words: Sequence[str]) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(Counter(words).items()))
