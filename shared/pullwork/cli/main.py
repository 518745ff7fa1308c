"""The program `pullwork`: puts the commands together and runs one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from pullwork.cli.commands import (
    apply,
    change,
    config,
    conformance,
    demo,
    follow,
    health,
    look,
    nodes,
    queues,
    services,
    submit,
    version,
)
from pullwork.cli.exits import ExitCode
from pullwork.cli.group import RootGroup, add_placeholders, help_of, service_entries

_HELP = """Durable distributed work: one master keeps tasks, workers pull them. Programs that
never end are services: they are kept running over the same workers.

Execution is at least once; acceptance of a result is exactly once."""

_KEPT = "Programs that are kept running"


def _tell_version(asked: bool) -> None:
    if asked:
        version.version()
        raise typer.Exit


def make_app() -> typer.Typer:
    """Returns the whole command line."""
    app = typer.Typer(
        cls=RootGroup,
        help=_HELP,
        epilog=exit_codes_text(),
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(root)
    add_placeholders(app, service_entries())
    tasks: dict[str, Callable[..., None]] = {
        "submit": submit.submit,
        "run": submit.run,
        "get": look.get,
        "list": look.list_tasks,
        "explain": look.explain,
        "watch": follow.watch,
        "wait": follow.wait,
        "cancel": change.cancel,
        "retry": change.retry,
    }
    for name, function in tasks.items():
        app.command(name, help=help_of(function), rich_help_panel="Tasks")(function)
    services.add_to(app, _KEPT)
    app.command("apply", help=help_of(apply.apply), rich_help_panel=_KEPT)(apply.apply)
    app.command("nodes", help=help_of(services.nodes), rich_help_panel=_KEPT)(services.nodes)
    queues.add_to(app)
    cluster: dict[str, Callable[..., None]] = {
        "workers": nodes.workers,
        "members": nodes.members,
        "drain": nodes.drain,
        "evict": nodes.evict,
        "health": health.health,
    }
    for name, function in cluster.items():
        app.command(name, help=help_of(function), rich_help_panel="The cluster")(function)
    program: dict[str, Callable[..., None]] = {
        "demo": demo.demo,
        "conformance": conformance.conformance,
        "config": config.config,
        "version": version.version,
    }
    for name, function in program.items():
        app.command(name, help=help_of(function), rich_help_panel="This program")(function)
    return app


def root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_tell_version,
            is_eager=True,
            help="What `pullwork version` prints.",
        ),
    ] = False,
) -> None:
    """Does nothing more: each command has its own options."""


def exit_codes_text() -> str:
    """Returns the exit codes in words, for `--help`."""
    codes = "; ".join(f"{code.value} {code.meaning}" for code in ExitCode)
    return f"Exit codes: {codes}."


def main() -> None:
    """Runs the program."""
    make_app()(prog_name="pullwork")
