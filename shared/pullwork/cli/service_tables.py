"""Services, instances and nodes as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pullwork.cli.printable import printable
from pullwork.cli.sheet import Column, Sheet
from pullwork.cli.tables import print_facts
from pullwork.cli.words import (
    addresses_of,
    ago,
    at,
    exit_text,
    now_utc,
    program_of,
    styled,
    why_of,
)

if TYPE_CHECKING:
    from pullwork.service_info import InstanceInfo, NodeInfo, ServiceInfo

# A live picture is drawn again with each change, and has to fit a screen.
ROWS_MAX: Final = 40


def print_services(services: Iterable[ServiceInfo]) -> None:
    """Prints services, a line each."""
    now = now_utc()
    made = Sheet(
        Column("NAME", whole=True),
        Column("HEALTHY", whole=True, right=True),
        Column("ROLLOUT", whole=True),
        Column("CHANGED", rank=1, whole=True),
        Column("PROGRAM"),
        Column("LACKS"),
    )
    for service in services:
        lacks = list(service.pending)
        if service.rollout.reason:
            lacks.insert(0, service.rollout.reason)
        made.add(
            service.name,
            f"{service.healthy}/{service.spec.instances}",
            styled(service.rollout.state),
            ago(service.updated_at, now),
            escape(program_of(service)),
            escape("; ".join(lacks)),
        )
    made.print()


def print_service(service: ServiceInfo) -> None:
    """Prints one service whole."""
    from pullwork.cli.differences import flat
    from pullwork.cli.service_document import document_of

    now = now_utc()
    rollout = service.rollout
    facts = {
        "name": service.name,
        "healthy": f"{service.healthy} of {service.spec.instances} ({service.running} running)",
        "rollout": f"{styled(rollout.state)} of version {rollout.version}, "
        f"{ago(rollout.started_at, now)}",
        "why": escape(rollout.reason),
        "lacks": escape("\n".join(service.pending)),
        "revision": f"{service.revision} (instances of version {service.version})",
        "made": at(service.created_at, now),
        "changed": at(service.updated_at, now),
    }
    for path, value in flat(document_of(service.spec.to_proto())).items():
        facts[path] = escape(value)
    print_facts(facts)


def print_instances(instances: Iterable[InstanceInfo], *, whose: bool = False) -> None:
    """Prints instances, a line each; with `whose` also of which service those without a place
    are."""
    now = now_utc()
    made = Sheet(
        Column("ID", whole=True),
        Column("STATE", whole=True),
        Column("NODE", rank=1),
        Column("ADDRESS", whole=True),
        Column("RESTARTS", rank=3, whole=True, right=True),
        Column("VERSION", rank=4, whole=True, right=True),
        Column("STARTED", rank=2, whole=True),
        Column("WHY"),
    )
    for it in instances:
        made.add(
            it.id or (f"({it.service})" if whose else "-"),
            styled(it.state),
            escape(it.node or "-"),
            escape(addresses_of(it)),
            str(it.restarts),
            str(it.version or ""),
            ago(it.started_at, now),
            escape(why_of(it)),
        )
    made.print()


def print_nodes(nodes: Iterable[NodeInfo]) -> None:
    """Prints nodes, a line each."""
    now = now_utc()
    made = Sheet(
        Column("NAME", whole=True),
        Column("STATE", whole=True),
        Column("RUNS", whole=True),
        Column("INSTANCES", whole=True, right=True),
        Column("CPU", rank=1, whole=True, right=True),
        Column("MEMORY", rank=2, whole=True, right=True),
        Column("LABELS", rank=3),
        Column("PROBLEM"),
    )
    for node in nodes:
        made.add(
            escape(node.name),
            _node_state(node, ago(node.disconnected_since, now)),
            ", ".join(node.runners),
            f"{node.instances}/{node.instances_max}",
            f"{node.cpu:.0%}",
            f"{node.memory:.0%}",
            escape(", ".join(f"{key}={value}" for key, value in node.labels.items())),
            escape(node.problem),
        )
    made.print()


def _node_state(node: NodeInfo, since: str) -> str:
    if node.disconnected_since is not None:
        return f"[red]unreachable[/] {since}"
    return "[magenta]draining[/]" if node.draining else "[green]connected[/]"


def differences_of(before: ServiceInfo, after: ServiceInfo) -> list[str]:
    """Returns what is different in what is wanted of a service, a line each."""
    from pullwork.cli.differences import differences
    from pullwork.cli.service_document import document_of

    old, new = (document_of(it.spec.to_proto()) for it in (before, after))
    return differences(old, new)


def picture(service: ServiceInfo | None, instances: Sequence[InstanceInfo]) -> Table:
    """Returns the live picture of a service, or of all instances."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    if service is not None:
        made.title = Text.from_markup(
            f"[bold]{service.name}[/]: {service.healthy} of {service.spec.instances} healthy, "
            f"{styled(service.rollout.state)}"
        )
        made.title_justify = "left"
        made.caption = Text(printable("\n".join(service.pending)), style="yellow")
        made.caption_justify = "left"
    for name in ("ID", "STATE", "NODE", "ADDRESS", "WHY"):
        made.add_column(name, no_wrap=name != "WHY")
    shown: Sequence[InstanceInfo] = instances
    if len(instances) > ROWS_MAX:
        # Those that are well are of the least interest; the sort leaves all others in their order.
        shown = sorted(instances, key=lambda it: it.state == "HEALTHY")[:ROWS_MAX]
    for it in shown:
        made.add_row(
            it.id or "-",
            styled(it.state),
            escape(printable(it.node or "-")),
            escape(printable(addresses_of(it))),
            escape(printable(why_of(it))),
        )
    if len(shown) < len(instances):
        made.add_row(f"[dim]and {len(instances) - len(shown)} more[/]")
    return made


def last_words(instances: Sequence[InstanceInfo]) -> list[str]:
    """Returns how instances ended the last time, with the end of their logs."""
    lines = []
    for it in instances:
        if it.last_exit is None:
            continue
        lines.append(f"{it.id} on {it.node or 'no node'}: {exit_text(it.last_exit)}")
        lines += [f"    {line}" for line in it.last_exit.log.splitlines()]
    return lines
