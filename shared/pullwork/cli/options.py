"""Options that several commands share, so that each is called and explained the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pullwork.cli.complete import complete_queue, complete_service, complete_type

Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        "-a",
        help="The master, as host:port.",
        show_default="PULLWORK_ADDRESS, else 127.0.0.1:7733",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="The settings file.", show_default="PULLWORK_CONFIG, else ./pullwork.toml"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Queue = Annotated[
    str | None,
    typer.Option("--queue", "-q", help="This queue only.", autocompletion=complete_queue),
]
Type = Annotated[
    str | None,
    typer.Option("--type", "-t", help="This type only.", autocompletion=complete_type),
]
Owner = Annotated[str | None, typer.Option("--owner", "-o", help="This owner's only.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Service = Annotated[
    str,
    typer.Argument(metavar="SERVICE", help="Its name.", autocompletion=complete_service),
]
