"""`queues`: list, pause, resume, limit and purge the lines that tasks wait in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pullwork.cli.complete import complete_queue
from pullwork.cli.connect import with_client
from pullwork.cli.group import help_of
from pullwork.cli.options import Address, AsJson, Config, Yes

if TYPE_CHECKING:
    from collections.abc import Callable

    from pullwork.client import Client
    from pullwork.queue_info import LimitChanges, QueueInfo

Name = Annotated[
    str, typer.Argument(metavar="QUEUE", help="Its name.", autocompletion=complete_queue)
]

Weight = Annotated[
    int | None,
    typer.Option(help="Its part of the workers that serve several queues.", min=1, max=100),
]


def _count(help: str) -> Any:
    return typer.Option(min=0, metavar="N", help=help)


def _rate(help: str) -> Any:
    return typer.Option(metavar="RATE", help=help)


def add_to(app: typer.Typer) -> None:
    """Adds the group of commands to the root."""
    group = typer.Typer(no_args_is_help=False)
    group.callback(invoke_without_command=True)(queues)
    commands: dict[str, Callable[..., None]] = {
        "list": list_queues,
        "pause": pause,
        "resume": resume,
        "limit": limit,
        "purge": purge,
    }
    for name, function in commands.items():
        group.command(name, help=help_of(function))(function)
    app.add_typer(group, name="queues", rich_help_panel="The cluster")


def queues(
    ctx: typer.Context, address: Address = None, config: Config = None, as_json: AsJson = False
) -> None:
    """List queues (the default), or pause, resume, limit or purge one."""
    if ctx.invoked_subcommand is None:
        list_queues(address, config, as_json)


def list_queues(address: Address = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the queues, with what waits and runs in each by type."""
    found = with_client(address, config, lambda client: client.queues.list())
    from pullwork.cli.documents import print_document
    from pullwork.cli.tables import print_queues

    if as_json:
        print_document(found)
    else:
        print_queues(found)


def pause(
    queue: Name, address: Address = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Give out nothing from a queue; what runs goes on, submissions are taken."""
    found = with_client(address, config, lambda client: client.queues.pause(queue))
    _say(found, f"{queue} is paused: {found.waiting} wait, {found.running} still run", as_json)


def resume(
    queue: Name, address: Address = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Let a paused queue go on."""
    found = with_client(address, config, lambda client: client.queues.resume(queue))
    _say(found, f"{queue} goes on: {found.waiting} wait, {found.running} run", as_json)


def limit(
    queue: Name,
    *,
    tasks_max: Annotated[int | None, _count("How many may wait; more are refused.")] = None,
    concurrency: Annotated[int | None, _count("How many may run at once.")] = None,
    rate: Annotated[str | None, _rate("How many may start, such as 5/s, 300/m or 100/h.")] = None,
    burst: Annotated[int | None, _count("How many of the rate may start at once.")] = None,
    concurrency_per_key: Annotated[
        int | None, _count("The same for the tasks of each --limit-key.")
    ] = None,
    rate_per_key: Annotated[str | None, _rate("The same for each key.")] = None,
    burst_per_key: Annotated[int | None, _count("The same for each key.")] = None,
    weight: Weight = None,
    clear: Annotated[bool, typer.Option("--clear", help="Take away what is not named.")] = False,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show what a queue is allowed, or set it: --concurrency 4, --rate 300/m; 0 is no limit.

    What is not named stays as it is. --rate is of tasks started; a task takes its part of what is
    allowed per key under its --limit-key.
    """
    from pullwork.cli.arguments import read_rate
    from pullwork.cli.tables import limits_text

    changes: LimitChanges = {
        "tasks_max": tasks_max,
        "concurrency": concurrency,
        "rate": read_rate(rate, "--rate"),
        "burst": burst,
        "concurrency_per_key": concurrency_per_key,
        "rate_per_key": read_rate(rate_per_key, "--rate-per-key"),
        "burst_per_key": burst_per_key,
        "weight": weight,
    }

    async def limited(client: Client) -> QueueInfo:
        if not clear and all(value is None for value in changes.values()):
            return await client.queues.get(queue)
        return await client.queues.set_limits(queue, clear=clear, **changes)

    found = with_client(address, config, limited)
    _say(found, f"{queue}: {limits_text(found) or 'no limits'}", as_json)


def purge(
    queue: Name,
    yes: Yes = False,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Cancel every task that waits in a queue; what runs goes on."""
    from pullwork.errors import InvalidFieldError

    if not yes:
        if not sys.stdin.isatty():
            raise InvalidFieldError("purge asks first, but nobody is at a terminal: add --yes")
        typer.confirm(f"Cancel every task that waits in {queue}?", abort=True, err=True)
    count = with_client(address, config, lambda client: client.queues.purge(queue))
    _say({"cancelled": count}, f"{count} task{'s' * (count != 1)} cancelled", as_json)


def _say(document: object, words: str, as_json: bool) -> None:
    from pullwork.cli.documents import print_document

    if as_json:
        print_document(document)
    else:
        print(words)
