"""The root command: finds the services' commands, and turns every error into one line.

A service's module is imported only when its command runs, so that `pullwork --help` is quick
and a service that does not import breaks no other command.
"""

from __future__ import annotations

import inspect
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from pullwork.cli.exits import ExitCode, exit_code_of
from pullwork.cli.printable import printable

# Set by whoever wants to see where an unexpected error came from.
TRACEBACK_VARIABLE: Final = "PULLWORK_TRACEBACK"

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP: Final = "pullwork.commands"

# What `--help` says of a service's command before its module is imported.
_SHORT_HELP: Final = {
    "master": "Run a master: it keeps the tasks and gives them to workers.",
    "backup": "Copy a master's data folder while it works.",
    "fsck": "Prove a data folder sound, or say what is wrong.",
    "restore": "Make a data folder of a backup.",
    "worker": "Run a worker: it pulls tasks from a master and runs them.",
}


def service_entries() -> dict[str, EntryPoint]:
    """Returns the commands that installed services declare, by name."""
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def add_placeholders(app: typer.Typer, entries: dict[str, EntryPoint]) -> None:
    """Gives the services' commands their places in the list; `RootGroup` puts the real ones in."""
    for name, entry in sorted(entries.items()):
        words = _SHORT_HELP.get(name, f"From {entry.value}.")
        app.command(name, help=words, rich_help_panel="Master and workers")(_unreachable)


def help_of(function: Callable[..., Any]) -> str:
    """Returns a command's docstring without the line breaks of the source, which Typer keeps."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


def _unreachable() -> None:
    raise AssertionError("a placeholder is never run")


class RootGroup(TyperGroup):
    """The group `pullwork`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Finds the command to run, loading it first if it is a service's."""
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and (entry := service_entries().get(name)) is not None:
            command = self._load(entry)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; what stops it is told in one line on stderr, without a traceback."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, Exception) as error:
            if _is_the_framework_s(error):
                raise
            raise typer.Exit(tell(error)) from None

    def _load(self, entry: EntryPoint) -> Any:
        try:
            function: Callable[..., Any] = entry.load()
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            say(
                f"the command `pullwork {entry.name}` can't be loaded from {entry.value}: "
                f"{type(error).__name__}: {error}; reinstall pullwork, the other commands work"
            )
            raise typer.Exit(ExitCode.BUG) from None
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command(entry.name, help=help_of(function))(function)
        return get_command(app)


def tell(error: BaseException) -> ExitCode:
    """Says what stopped a command and returns the exit code."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    code = exit_code_of(error)
    if code is ExitCode.INTERRUPTED:
        say("interrupted")
        return code
    if os.environ.get(TRACEBACK_VARIABLE):
        raise error
    if isinstance(error, UnicodeEncodeError):
        say(f"{error.object!r} is not text in UTF-8; the bytes of a file can be given as @FILE")
    elif code is ExitCode.BUG and not hasattr(error, "reason"):
        say(
            f"unexpected {type(error).__name__}: {error}; this is a bug: please report it with "
            f"what {TRACEBACK_VARIABLE}=1 in front of the same command shows"
        )
    else:
        say(str(error))
    return code


def say(message: str) -> None:
    """Writes a line, or a few, to stderr under the program's name."""
    for line in message.splitlines():
        print(f"pullwork: {printable(line)}", file=sys.stderr)


def _is_the_framework_s(error: BaseException) -> bool:
    """Tells usage errors, exits and aborts, which Typer itself brings to people."""
    if isinstance(error, typer.Exit | typer.Abort | BrokenPipeError | EOFError):
        return True
    # Its usage errors share no exported root; what they have in common is how they are shown.
    return hasattr(error, "show") and hasattr(error, "exit_code")
