"""`conformance`: play the master against a worker program, and say which rules it breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pullwork.cli.exits import ExitCode
from pullwork.cli.options import AsJson

if TYPE_CHECKING:
    from pullwork.conformance.findings import Findings


def conformance(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="-- COMMAND",
            help="Starts the worker; `{address}` in it, and PULLWORK_ADDRESS, is the master.",
        ),
    ] = None,
    *,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="RULE", help="Try this rule only.")
    ] = None,
    rules: Annotated[
        bool, typer.Option("--list", help="Print the rules, and try nothing.")
    ] = False,
    work_type: Annotated[
        str, typer.Option("--type", help="The type that the worker is given to do.")
    ] = "conformance.work",
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, max=16, help="How many scenes are played at once.")
    ] = 4,
    as_json: AsJson = False,
) -> None:
    """Play the master against a worker program, and say which rules of the contract it breaks.

    The worker must have the type `conformance.work`: it takes {"seconds", "size"}, waits so long,
    and returns a text of `size` times `x`. docs/any-language.md tells more. Exits with 1 if a rule
    is broken or could not be tried.
    """
    from pullwork.cli.sheet import console
    from pullwork.conformance.report import conforms, document, print_findings, print_rules
    from pullwork.conformance.rules import BY_ID, RULES
    from pullwork.errors import InvalidFieldError

    unknown = [name for name in only or () if name not in BY_ID]
    if unknown:
        raise InvalidFieldError(
            f"there is no rule {unknown[0]!r}; `pullwork conformance --list` names them"
        )
    if rules:
        print_rules(RULES, console())
        return
    if not command:
        raise InvalidFieldError(
            "which program? Name it after two dashes: pullwork conformance -- ./my-worker"
        )
    findings = _try(command, only or (), work_type, at_once)
    if as_json:
        print(document(findings))
    else:
        print_findings(findings, console())
    if not conforms(findings):
        raise typer.Exit(ExitCode.FAILED)


def _try(command: list[str], only: list[str] | tuple[str, ...], type_: str, n: int) -> Findings:
    import asyncio
    from functools import partial

    from rich.console import Console

    from pullwork.conformance.program import NotFoundProgramError
    from pullwork.conformance.run import SCENES, conform
    from pullwork.errors import InvalidFieldError

    done = []
    with Console(stderr=True).status("starting the worker") as status:

        def told(scene: object) -> None:
            done.append(scene)
            status.update(f"{len(done)} of {len(SCENES)} scenes played")

        try:
            run = partial(conform, command, only=only, work_type=type_, at_once=n, on_scene=told)
            return asyncio.run(run())
        except* NotFoundProgramError as errors:
            raise InvalidFieldError(str(errors.exceptions[0])) from None
