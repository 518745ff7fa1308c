"""Tables for people: they fit the terminal, and what must be copied is never cut."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from pullwork.cli.printable import printable
from pullwork.cli.sheet import Column, Sheet, console
from pullwork.cli.words import ago, at, failure_text, news_of, now_utc, payload_text, span, styled

if TYPE_CHECKING:
    from pullwork.node_info import MemberInfo, WorkerInfo
    from pullwork.queue_info import QueueInfo
    from pullwork.task_info import TaskInfo


def print_tasks(tasks: Iterable[TaskInfo]) -> None:
    """Prints tasks, a line each."""
    now = now_utc()
    made = Sheet(
        Column("ID", whole=True),
        Column("STATE", whole=True),
        Column("TRY", rank=3, whole=True, right=True),
        Column("TYPE"),
        Column("QUEUE", rank=2),
        Column("MADE", rank=1, whole=True),
        Column("NEWS"),
    )
    for task in tasks:
        made.add(
            task.id,
            styled(task.state),
            str(task.attempt),
            escape(task.type),
            escape(task.queue),
            ago(task.created_at, now),
            escape(news_of(task)),
        )
    made.print()


def print_task(task: TaskInfo) -> None:
    """Prints one task whole."""
    now = now_utc()
    facts = {
        "id": task.id,
        "type": escape(task.type),
        "queue": escape(task.queue),
        "state": styled(task.state),
        "news": escape(news_of(task)) if not task.state.ended else "",
        "priority": str(task.priority) if task.priority else "",
        "owner": escape(task.owner),
        "unique key": escape(task.unique_key),
        "limit key": escape(task.limit_key),
        "headers": escape(", ".join(f"{key}={value}" for key, value in task.headers.items())),
        "attempt": f"{task.attempt} (failures {task.failures} of {task.retry.max_attempts}, "
        f"worker deaths {task.worker_deaths} of {task.max_worker_deaths})",
        "timeout": span(task.timeout) if task.timeout else "",
        "made": at(task.created_at, now),
        "ready": at(task.ready_at, now) if task.state == "SCHEDULED" else "",
        "started": at(task.started_at, now),
        "ended": at(task.ended_at, now),
        "kept until": at(task.expires_at, now),
        "payload": escape(payload_text(task.payload)),
        "result": escape(payload_text(task.result)),
        "failure": escape(failure_text(task.failure)),
        "details": escape(task.failure.details.rstrip()) if task.failure else "",
    }
    print_facts(facts)
    if task.attempts:
        out = console()
        out.print("\n[bold]attempts that did not succeed[/]")
        made = Sheet(
            Column("NO", whole=True),
            Column("END", whole=True),
            Column("WORKER", rank=1),
            Column("STARTED", rank=2, whole=True),
            Column("WHY"),
        )
        for attempt in task.attempts:
            why = failure_text(attempt.failure)
            made.add(
                str(attempt.number),
                attempt.end,
                escape(attempt.worker),
                ago(attempt.started_at, now),
                escape(why),
            )
        made.print(out)


def print_facts(facts: dict[str, str]) -> None:
    """Prints names and values, a line each, without those that are empty."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            made.add_row(name, printable(value))
    console().print(made)


def print_workers(workers: Iterable[WorkerInfo]) -> None:
    """Prints workers, a line each."""
    made = Sheet(
        Column("SESSION", whole=True),
        Column("NAME"),
        Column("STATE", whole=True),
        Column("HELD", whole=True, right=True),
        Column("CPU", rank=3, whole=True, right=True),
        Column("SILENT", rank=2, whole=True, right=True),
        Column("QUEUES", rank=1),
        Column("TYPES"),
    )
    for worker in workers:
        state = styled(worker.state) + (" draining" if worker.draining else "")
        made.add(
            worker.session_id,
            escape(worker.name),
            state,
            f"{worker.held}/{worker.slots}",
            f"{worker.cpu:.0%}",
            span(worker.silent_s),
            escape(", ".join(worker.queues)),
            escape(", ".join(worker.task_types)),
        )
    made.print()


def print_queues(queues: Iterable[QueueInfo]) -> None:
    """Prints queues, and below each its types where there are any."""
    counts = ("WAITING", "SCHEDULED", "RUNNING", "WORKERS")
    made = Sheet(
        Column("QUEUE"),
        Column("STATE", whole=True),
        *(Column(name, whole=True, right=True) for name in counts),
    )
    for queue in queues:
        made.add(
            escape(queue.name),
            "[yellow]paused[/]" if queue.paused else "open",
            str(queue.waiting),
            str(queue.scheduled),
            str(queue.running),
            "",
        )
        if said := limits_text(queue):
            made.add(f"  [dim]{said}[/]", "", "", "", "", "")
        for line in queue.lines:
            numbers = (str(line.waiting), "", str(line.running), str(line.workers))
            made.add(f"  {escape(line.type)}", "", *numbers, style="dim")
    made.print()


def limits_text(queue: QueueInfo) -> str:
    """Says what a queue is allowed and how much of that is used up, in a line; empty: all."""
    limits, use = queue.limits, queue.use
    said = []
    if limits.tasks_max:
        said.append(f"{queue.waiting + queue.scheduled:,} of {limits.tasks_max:,} wait")
    if limits.concurrency:
        said.append(f"{queue.running} of {limits.concurrency} run")
    if limits.rate:
        tokens = f"{use.tokens} may start now"
        said.append(f"{_rate_text(limits.rate, limits.burst)} ({tokens})")
    if limits.concurrency_per_key:
        said.append(f"{limits.concurrency_per_key} at once per key")
    if limits.rate_per_key:
        said.append(f"{_rate_text(limits.rate_per_key, limits.burst_per_key)} per key")
    if use.keys_held_back:
        said.append(f"{use.keys_held_back} keys held back")
    if limits.weight != 1:
        said.append(f"weight {limits.weight}")
    return "; ".join(said)


def _rate_text(rate: float, burst: int) -> str:
    """Says a rate in the largest unit in which it is a number of tasks."""
    units = (("s", 1), ("m", 60), ("h", 3600))
    unit, seconds = next((each for each in units if rate * each[1] >= 1), units[-1])
    said = f"{rate * seconds:g}/{unit}"
    return f"{said}, {burst} in a burst" if burst else said


def print_members(members: Iterable[MemberInfo]) -> None:
    """Prints the members of the cluster, a line each."""
    now = now_utc()
    made = Sheet(
        Column("ID", whole=True),
        Column("ROLE", whole=True),
        Column("NAME"),
        Column("ADDRESS", rank=1, whole=True),
        Column("VERSION", rank=4, whole=True),
        Column("JOINED", rank=3, whole=True),
        Column("TYPES", rank=2),
    )
    for member in members:
        made.add(
            member.id,
            member.role,
            escape(member.name),
            member.address,
            member.version,
            ago(member.joined_at, now),
            escape(", ".join(member.task_types)),
        )
    made.print()
