"""`cancel` and `retry`: end tasks, or give failed ones another chance."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pullwork.cli.commands.look import StateName, States, states_of
from pullwork.cli.connect import with_client
from pullwork.cli.options import Address, AsJson, Config, Owner, Queue, Type, Yes

if TYPE_CHECKING:
    from pullwork.client import Client
    from pullwork.task_info import TaskFilter, TaskState

TaskIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="These tasks.")]
COUNT_MAX = 1000


def cancel(
    task_ids: TaskIds = None,
    *,
    queue: Queue = None,
    type: Type = None,
    owner: Owner = None,
    state: States = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All tasks that have not ended.")
    ] = False,
    skip_ended: Annotated[
        bool, typer.Option("--skip-ended", help="Pass over ids that have ended already.")
    ] = False,
    yes: Yes = False,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Cancel tasks that wait or run: by ids, or by a filter, which asks first."""
    from pullwork.task_info import TaskFilter

    chosen = TaskFilter(queue or "", type or "", owner or "", states_of(state))
    _check_choice(task_ids, chosen, everything)

    async def use(client: Client) -> int:
        if task_ids:
            return len(await client.cancel(*task_ids, skip_ended=skip_ended))
        open_only = states_of(state) or states_of(
            [StateName.scheduled, StateName.queued, StateName.running]
        )
        await _ask(client, "Cancel", chosen, open_only, yes)
        return await client.cancel_all(chosen)

    _say_count(with_client(address, config, use), "cancelled", as_json)


def retry(
    task_ids: TaskIds = None,
    *,
    queue: Queue = None,
    type: Type = None,
    owner: Owner = None,
    state: States = None,
    everything: Annotated[bool, typer.Option("--all", help="All failed tasks.")] = False,
    yes: Yes = False,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Put failed or cancelled tasks back into their queues: by ids, or by a filter, which asks.

    A filter takes failed tasks; with --state cancelled it takes those.
    """
    from pullwork.task_info import TaskFilter

    chosen = TaskFilter(queue or "", type or "", owner or "", states_of(state))
    _check_choice(task_ids, chosen, everything)

    async def use(client: Client) -> int:
        if task_ids:
            return len(await client.retry(*task_ids))
        failed_only = states_of(state) or states_of([StateName.failed])
        await _ask(client, "Retry", chosen, failed_only, yes)
        return await client.retry_all(chosen)

    _say_count(with_client(address, config, use), "retried", as_json)


def _check_choice(task_ids: list[str] | None, chosen: TaskFilter, everything: bool) -> None:
    from pullwork.errors import InvalidFieldError

    filtered = bool(chosen.queue or chosen.type or chosen.owner or chosen.states)
    if (bool(task_ids), filtered, everything).count(True) != 1:
        raise InvalidFieldError(
            "say which tasks: ids, or a filter (--queue, --type, --owner, --state), or --all"
        )


async def _ask(
    client: Client, verb: str, chosen: TaskFilter, states: list[TaskState], yes: bool
) -> None:
    """Asks before many tasks are changed; ends the command unless the answer is yes."""
    from pullwork.errors import InvalidFieldError

    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidFieldError(
            f"{verb.lower()} by filter asks first, but nobody is at a terminal: add --yes"
        )
    count = 0
    async for _task in client.list(
        queue=chosen.queue, type=chosen.type, owner=chosen.owner, states=states
    ):
        count += 1
        if count > COUNT_MAX:
            break
    number = f"more than {COUNT_MAX}" if count > COUNT_MAX else str(count)
    typer.confirm(f"{verb} {number} task{'s' * (count != 1)}?", abort=True, err=True)


def _say_count(count: int, verb: str, as_json: bool) -> None:
    from pullwork.cli.documents import print_document

    if as_json:
        print_document({verb: count})
    else:
        print(f"{count} task{'s' * (count != 1)} {verb}")
