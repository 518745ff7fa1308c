"""Tables for people: they fit the terminal, and what must be copied is never cut."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pullwork.cli.words import ago, at, failure_text, news_of, now_utc, payload_text, span, styled

if TYPE_CHECKING:
    from pullwork.node_info import MemberInfo, WorkerInfo
    from pullwork.queue_info import QueueInfo
    from pullwork.task_info import TaskInfo

# A pipe has no width: nothing is cut there.
_PIPE_WIDTH: Final = 10_000


def console() -> Console:
    """Returns the console on stdout."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def table(whole: Sequence[str], cut: Sequence[str] = (), numbers: Sequence[str] = ()) -> Table:
    """Returns an empty table: columns that are never cut, numbers, then those that may be."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in whole:
        made.add_column(name, no_wrap=True, overflow="fold")
    for name in numbers:
        made.add_column(name, no_wrap=True, justify="right")
    for name in cut:
        made.add_column(name, no_wrap=True, overflow="ellipsis", ratio=None)
    return made


def print_tasks(tasks: Iterable[TaskInfo]) -> None:
    """Prints tasks, a line each."""
    now = now_utc()
    made = table(["ID", "STATE"], ["TYPE", "QUEUE", "MADE", "NEWS"], ["TRY"])
    for task in tasks:
        made.add_row(
            task.id,
            styled(task.state),
            str(task.attempt),
            escape(task.type),
            escape(task.queue),
            ago(task.created_at, now),
            escape(news_of(task)),
        )
    console().print(made)


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
        made = table(["NO", "END"], ["WORKER", "STARTED", "WHY"])
        for attempt in task.attempts:
            why = failure_text(attempt.failure)
            made.add_row(
                str(attempt.number),
                attempt.end,
                escape(attempt.worker),
                ago(attempt.started_at, now),
                escape(why),
            )
        out.print(made)


def print_facts(facts: dict[str, str]) -> None:
    """Prints names and values, a line each, without those that are empty."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            made.add_row(name, value)
    console().print(made)


def print_workers(workers: Iterable[WorkerInfo]) -> None:
    """Prints workers, a line each."""
    made = table(["SESSION", "NAME", "STATE"], ["QUEUES", "TYPES"], ["HELD", "CPU", "SILENT"])
    for worker in workers:
        state = styled(worker.state) + (" draining" if worker.draining else "")
        made.add_row(
            worker.session_id,
            escape(worker.name),
            state,
            f"{worker.held}/{worker.slots}",
            f"{worker.cpu:.0%}",
            span(worker.silent_s),
            escape(", ".join(worker.queues)),
            escape(", ".join(worker.task_types)),
        )
    console().print(made)


def print_queues(queues: Iterable[QueueInfo]) -> None:
    """Prints queues, and below each its types where there are any."""
    made = table(["QUEUE", "STATE"], [], ["WAITING", "SCHEDULED", "RUNNING", "WORKERS"])
    for queue in queues:
        made.add_row(
            escape(queue.name),
            "[yellow]paused[/]" if queue.paused else "open",
            str(queue.waiting),
            str(queue.scheduled),
            str(queue.running),
            "",
        )
        for line in queue.lines:
            counts = (str(line.waiting), "", str(line.running), str(line.workers))
            made.add_row(f"  {escape(line.type)}", "", *counts, style="dim")
    console().print(made)


def print_members(members: Iterable[MemberInfo]) -> None:
    """Prints the members of the cluster, a line each."""
    now = now_utc()
    made = table(["ID", "ROLE", "NAME"], ["ADDRESS", "VERSION", "JOINED", "TYPES"])
    for member in members:
        made.add_row(
            member.id,
            member.role,
            escape(member.name),
            member.address,
            member.version,
            ago(member.joined_at, now),
            escape(", ".join(member.task_types)),
        )
    console().print(made)
