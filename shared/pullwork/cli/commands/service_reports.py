"""`services watch` and `services logs`: see what instances do, as they do it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pullwork.cli.complete import complete_instance, complete_service
from pullwork.cli.connect import with_client
from pullwork.cli.options import Address, AsJson, Config, Service

if TYPE_CHECKING:
    from pullwork.client import Client
    from pullwork.service_info import ServiceLogLine

LINES_MAX = 10_000

MaybeService = Annotated[
    str | None,
    typer.Argument(metavar="[SERVICE]", help="This one only.", autocompletion=complete_service),
]
Instance = Annotated[
    str | None,
    typer.Option("--instance", "-i", help="Of this one only.", autocompletion=complete_instance),
]


def watch(
    service: MaybeService = None,
    *,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show the instances of a service, or of all, as they change, until Ctrl-C.

    With --json each change prints all of them on a line: {"generation": ..., "instances": [...]}.
    """

    async def follow(client: Client) -> None:
        from pullwork.cli.documents import print_line
        from pullwork.cli.rollout import Shown

        with Shown(quiet=as_json, to_stdout=True) as shown:
            async for found in client.services.watch_instances(service or ""):
                if as_json:
                    print_line(found)
                else:
                    shown.show(None, found.instances)

    with_client(address, config, follow)


def logs(
    service: Service,
    *,
    instance: Instance = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with the lines that come.")
    ] = False,
    tail: Annotated[
        int,
        typer.Option(
            "--tail", "-n", min=0, max=LINES_MAX, metavar="N", help="So many last lines of each."
        ),
    ] = 100,
    times: Annotated[bool, typer.Option("--times", help="Say when each was written.")] = False,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Print what the instances of a service wrote to stdout and stderr.

    With --json a line is {"instance", "time", "text", "stderr"}.
    """

    async def read(client: Client) -> None:
        from pullwork.cli.documents import print_line

        lines = client.services.logs(
            service, instance=instance or "", follow=follow, tail_lines=tail
        )
        async for line in lines:
            if as_json:
                print_line(line)
            else:
                print(_line(line, times), flush=True)

    with_client(address, config, read)


def _line(line: ServiceLogLine, times: bool) -> str:
    from pullwork.cli.printable import printable

    moment = f"{line.time.astimezone():%Y-%m-%d %H:%M:%S} " if times and line.time else ""
    return f"{moment}{line.instance} | {printable(line.text)}"
