"""`get`, `list` and `explain`: look at tasks."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from pullwork.cli.connect import with_client
from pullwork.cli.options import Address, AsJson, Config, Owner, Queue, Type

if TYPE_CHECKING:
    from pullwork.client import Client
    from pullwork.task_info import TaskInfo, TaskState


class StateName(enum.StrEnum):
    """The states, as `--state` takes them."""

    scheduled = "scheduled"
    queued = "queued"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    cancelled = "cancelled"


TaskId = Annotated[str, typer.Argument(metavar="ID", help="The task's id.")]
States = Annotated[
    list[StateName] | None,
    typer.Option(
        "--state",
        "-s",
        case_sensitive=False,
        metavar="STATE",
        help=f"This state only: {', '.join(StateName)}; may be repeated.",
    ),
]


def states_of(names: list[StateName] | None) -> list[TaskState]:
    """Returns the states that were typed."""
    from pullwork.task_info import TaskState

    return [TaskState(name.upper()) for name in names or []]


def get(
    task_id: TaskId, address: Address = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Show a task whole, with its payload and result."""
    task = with_client(address, config, lambda client: client.get(task_id))
    from pullwork.cli.documents import print_document
    from pullwork.cli.tables import print_task

    if as_json:
        print_document(task)
    else:
        print_task(task)


def list_tasks(
    *,
    queue: Queue = None,
    type: Type = None,
    owner: Owner = None,
    state: States = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most this many.")] = 50,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List tasks, the newest first."""

    async def gather(client: Client) -> tuple[list[TaskInfo], bool]:
        tasks: list[TaskInfo] = []
        found = client.list(
            queue=queue or "", type=type or "", owner=owner or "", states=states_of(state)
        )
        async for task in found:
            if len(tasks) == limit:
                return tasks, True
            tasks.append(task)
        return tasks, False

    tasks, more = with_client(address, config, gather)
    from pullwork.cli.documents import print_document
    from pullwork.cli.group import say
    from pullwork.cli.tables import print_tasks

    if as_json:
        print_document(tasks)
    elif tasks:
        print_tasks(tasks)
    else:
        say("no task matches")
    if more:
        say(f"these are the newest {limit}; there are more: see --limit")


def explain(
    task_id: TaskId, address: Address = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Say in one sentence why a task is where it is."""
    explanation = with_client(address, config, lambda client: client.explain(task_id))
    from pullwork.cli.documents import print_document
    from pullwork.cli.printable import printable

    if as_json:
        print_document(explanation)
    else:
        print(printable(explanation.sentence))
