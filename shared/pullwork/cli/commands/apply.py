"""`apply`: makes the services what files say, after showing what would change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pullwork.cli.commands.service_changes import TIMEOUT, Timeout, Wait, read_waiting
from pullwork.cli.connect import with_client
from pullwork.cli.exits import ExitCode
from pullwork.cli.options import Address, AsJson, Config, Yes

if TYPE_CHECKING:
    from pullwork.cli.apply_plan import Plan
    from pullwork.client import Client

Files = Annotated[
    list[str] | None,
    typer.Option(
        "--file", "-f", metavar="FILE", help="A file of services, - for stdin. May be repeated."
    ),
]
Prune = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL=VALUE",
        help="Delete services with this label that are in none of the files; all in the files "
        "must have it.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", "--diff", help="Only show what would change; ends with 1 if any."),
]


def apply(
    file: Files = None,
    *,
    dry_run: DryRun = False,
    prune: Prune = None,
    yes: Yes = False,
    wait: Wait = True,
    timeout: Timeout = TIMEOUT,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make the services what a file says: shows what would change, asks, then does it one by one.

    `pullwork apply -f services.yaml` a second time changes nothing. All files are checked whole
    before anything is changed; a service that is not well in time ends the command, and those
    after it stay as they were. Where a file says nothing of `instances` they stay as many as they
    are; all else that it does not say takes its default.
    """
    from pullwork.cli.apply_plan import make_plan, read_prune
    from pullwork.cli.service_file import read_services
    from pullwork.errors import InvalidFieldError

    if not file:
        raise InvalidFieldError("say which file: `pullwork apply -f services.yaml`")
    wanted = read_services(file)
    label = read_prune(prune, wanted)
    waiting = read_waiting(wait, timeout, as_json)

    async def applied(client: Client) -> Plan:
        plan = await make_plan(client, wanted, label)
        if not as_json:
            _show(plan)
        if not plan.changes or dry_run:
            return plan
        _ask(plan, yes)
        await plan.perform(client, waiting)
        return plan

    plan = with_client(address, config, applied)
    if as_json:
        from pullwork.cli.documents import print_document

        print_document(plan.document())
    if plan.stopped is not None:
        raise typer.Exit(plan.stopped)
    if dry_run and plan.changes:
        raise typer.Exit(ExitCode.FAILED)


def _show(plan: Plan) -> None:
    from pullwork.cli.printable import printable

    for line in plan.lines():
        print(printable(line))
    sys.stdout.flush()


def _ask(plan: Plan, yes: bool) -> None:
    from pullwork.errors import InvalidFieldError

    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidFieldError(
            "apply asks first, but nobody is at a terminal: add --yes (or --dry-run)"
        )
    count = len(plan.changes)
    what = "this change" if count == 1 else f"these {count} changes"
    typer.confirm(f"Make {what}?", abort=True, err=True)
