"""The flags of `pullwork worker`; what they mean in full stands with the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Tasks = Annotated[
    list[str] | None,
    typer.Option("--tasks", "-t", help="A module with @task functions; may be repeated."),
]
Address = Annotated[str | None, typer.Option("--address", "-a", help="The master, as host:port.")]
Commands = Annotated[
    list[str] | None,
    typer.Option(
        "--command", help="A program for a type, as 'type=program argument …'; may be repeated."
    ),
]
Slots = Annotated[int | None, typer.Option(help="How many tasks to run at once.")]
Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", "-q", help="A queue to serve; may be repeated."),
]
Name = Annotated[str | None, typer.Option(help="The worker's name, for people.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", help="A word about this node, as name=value; may be repeated."),
]
MemoryLimit = Annotated[str | None, typer.Option(help="Memory of each child process, e.g. 512MiB.")]
StopGrace = Annotated[
    str | None, typer.Option(help="How long a cancelled task may take to end, e.g. 2s.")
]
DrainGrace = Annotated[
    str | None, typer.Option(help="How long running tasks may take on SIGTERM, e.g. 30s.")
]
LookAheadMax = Annotated[
    int | None, typer.Option(help="How many tickets to hold beyond the slots.")
]
Offer = Annotated[
    list[str] | None,
    typer.Option(help="Keep instances of services: process, container; may be repeated."),
]
Node = Annotated[str | None, typer.Option(help="The node's name, the same after every start.")]
InstancesMax = Annotated[int | None, typer.Option(help="How many instances to keep at once.")]
State = Annotated[Path | None, typer.Option(help="The folder for the files and logs of processes.")]
AdvertiseHost = Annotated[
    str | None, typer.Option(help="The host by which others reach this node's instances.")
]
Images = Annotated[
    list[str] | None,
    typer.Option("--image", help="An image that may run here, e.g. nginx:*; may be repeated."),
]
PublishHost = Annotated[
    str | None, typer.Option(help="The address at which ports of containers are published.")
]
Engine = Annotated[str | None, typer.Option(help="Where the container engine is.")]
HealthListen = Annotated[str | None, typer.Option(help="Where to answer health checks, host:port.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
LogFormat = Annotated[str | None, typer.Option(help="auto, human or json.")]
Config = Annotated[Path | None, typer.Option(help="A settings file (TOML).")]
