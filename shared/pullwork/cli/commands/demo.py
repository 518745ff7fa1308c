"""`demo`: see Pullwork work, on real input, with a death in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pullwork.cli.exits import ExitCode
from pullwork.cli.options import Address, Config

Image = Annotated[
    str | None,
    typer.Option(
        help="With --services: as containers of this image, which must have python3; needs a "
        "container engine."
    ),
]


def demo(
    folder: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="Count the .py files below this folder.",
            show_default="this Python's standard library",
        ),
    ] = None,
    *,
    kill_master: Annotated[
        bool, typer.Option("--kill-master", help="Kill the master too, and start it again.")
    ] = False,
    forever: Annotated[
        bool,
        typer.Option(
            "--forever", help="Only keep the master at --address busy with a task a second."
        ),
    ] = False,
    services: Annotated[
        bool, typer.Option("--services", help="Keep a service running instead, and hurt it.")
    ] = False,
    image: Image = None,
    address: Address = None,
    config: Config = None,
) -> None:
    """Count the words of many files over worker processes, kill one, and check the totals.

    Starts a master and three workers of its own, kills one in the middle with SIGKILL, adds a
    group of two, compares the totals with a plain count, and stops all it started.

    With --services it keeps a web program running over three nodes, kills workers, instances and
    the master, scales and updates it, and checks after each step that what runs is what is wanted.
    """
    from pullwork.errors import InvalidFieldError

    if services or image:
        _services(image, alone=not (folder or kill_master or forever or address))
        return
    if forever:
        from pullwork.cli.connect import with_client
        from pullwork.demo.forever import produce

        if kill_master:
            raise InvalidFieldError("--forever uses a master that runs already: no --kill-master")
        with_client(address, config, lambda client: produce(client, folder))
        return
    if address is not None:
        raise InvalidFieldError("the demo starts a master of its own; --address is for --forever")
    from pullwork.demo.run import run_demo

    if not run_demo(folder, kill_master=kill_master):
        raise typer.Exit(ExitCode.FAILED)


def _services(image: str | None, *, alone: bool) -> None:
    from pullwork.demo.service_cluster import Runner
    from pullwork.demo.service_run import run_service_demo
    from pullwork.errors import InvalidFieldError

    if not alone:
        raise InvalidFieldError("--services goes with --image, and with no other option")
    runner = Runner.container if image else Runner.process
    if not run_service_demo(runner, image or ""):
        raise typer.Exit(ExitCode.FAILED)
