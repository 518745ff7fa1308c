"""`services` and `nodes`: programs that are kept running, where, and how they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pullwork.cli.commands import service_changes, service_reports
from pullwork.cli.complete import complete_service
from pullwork.cli.connect import with_client
from pullwork.cli.group import help_of
from pullwork.cli.options import Address, AsJson, Config, Service

if TYPE_CHECKING:
    from collections.abc import Callable

MaybeService = Annotated[
    str | None,
    typer.Argument(
        metavar="[SERVICE]", help="Of this service only.", autocompletion=complete_service
    ),
]
Node = Annotated[str | None, typer.Option("--node", help="On this node only.")]


def add_to(app: typer.Typer, panel: str) -> None:
    """Adds the group of commands to the root."""
    group = typer.Typer(no_args_is_help=False)
    group.callback(invoke_without_command=True)(services)
    commands: dict[str, Callable[..., None]] = {
        "create": service_changes.create,
        "list": list_services,
        "get": get,
        "instances": instances,
        "watch": service_reports.watch,
        "logs": service_reports.logs,
        "scale": service_changes.scale,
        "update": service_changes.update,
        "delete": service_changes.delete,
    }
    for name, function in commands.items():
        group.command(name, help=help_of(function))(function)
    app.add_typer(group, name="services", rich_help_panel=panel)


def services(
    ctx: typer.Context, address: Address = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Keep programs running: list services (the default), create, scale, update or delete one."""
    if ctx.invoked_subcommand is None:
        list_services(address, config, as_json)


def list_services(address: Address = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the services, with how many of their instances are healthy."""
    found = with_client(address, config, lambda client: client.services.list())
    from pullwork.cli.documents import print_document
    from pullwork.cli.group import say
    from pullwork.cli.service_tables import print_services

    if as_json:
        print_document(found)
    elif found:
        print_services(found)
    else:
        say("no service; `pullwork services create NAME -- COMMAND` makes one")


def get(
    service: Service, address: Address = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Show a service whole: what is wanted, with its defaults, and how far it is so."""
    found = with_client(address, config, lambda client: client.services.get(service))
    from pullwork.cli.documents import print_document
    from pullwork.cli.service_tables import print_service

    if as_json:
        print_document(found)
    else:
        print_service(found)


def instances(
    service: MaybeService = None,
    *,
    node: Node = None,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the instances of a service, or of all: where they are, how they are, and why."""
    found = with_client(
        address,
        config,
        lambda client: client.services.instances(service or "", node=node or ""),
    )
    from pullwork.cli.documents import print_document
    from pullwork.cli.group import say
    from pullwork.cli.service_tables import print_instances

    if as_json:
        print_document(found)
    elif found:
        print_instances(found, whose=service is None)
    else:
        say(f"{service} has no instances" if service and not node else "no instance matches")


def nodes(address: Address = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the nodes that instances can be placed on, with what placement knows of them."""
    found = with_client(address, config, lambda client: client.services.nodes())
    from pullwork.cli.documents import print_document
    from pullwork.cli.group import say
    from pullwork.cli.service_tables import print_nodes

    if as_json:
        print_document(found)
    elif found:
        print_nodes(found)
    else:
        say("no node; `pullwork worker --offer process` makes a machine one")
