"""The commands for a data folder itself: `pullwork fsck`, `backup` and `restore`."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from pullwork_master.storage.base import StorageError
from pullwork_master.storage.sqlite_backup import backup as copy_store
from pullwork_master.storage.sqlite_backup import restore as make_folder
from pullwork_master.storage.sqlite_fsck import Finding, examine, open_snapshot

EXIT_UNSOUND = 1
EXIT_USAGE = 2

Data = Annotated[Path, typer.Argument(help="A master's data folder.")]


def fsck(
    folder: Data = Path("pullwork-data"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Prove a data folder sound, or say what is wrong; reads only, also while a master works.

    Exits with 1 if something is wrong.
    """
    console = Console(stderr=True)
    try:
        connection = open_snapshot(folder)
    except StorageError as error:
        _refuse("fsck", error)
    findings: list[Finding] = []
    with console.status("looking at the file itself"):
        for finding in examine(connection):
            findings.append(finding)
            if not as_json:
                _tell(finding)
    broken = [finding for finding in findings if not finding.sound]
    if as_json:
        laws = [asdict(finding) for finding in findings]
        document: dict[str, Any] = {"folder": str(folder), "sound": not broken, "laws": laws}
        typer.echo(json.dumps(document))
    elif broken:
        typer.echo(
            f"{folder} is NOT SOUND: {len(broken)} of {len(findings)} laws are broken. Stop its "
            "master, keep a copy, and restore the last backup with `pullwork restore`."
        )
    else:
        typer.echo(f"{folder} is sound: {len(findings)} laws hold.")
    if broken:
        raise typer.Exit(EXIT_UNSOUND)


def _tell(finding: Finding) -> None:
    typer.echo(f"{'ok    ' if finding.sound else 'BROKEN'}  {finding.law}")
    for example in finding.examples:
        typer.echo(f"          {example}")
    if finding.count > len(finding.examples):
        typer.echo(f"          … and {finding.count - len(finding.examples)} more")


def backup(
    folder: Annotated[Path, typer.Argument(help="A master's data folder.")],
    target: Annotated[Path, typer.Argument(help="A folder to make; it must not exist.")],
    check: Annotated[bool, typer.Option(help="Run fsck on the copy.")] = True,
) -> None:
    """Copy a data folder as it is at this moment; its master may go on working."""
    started = time.monotonic()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        work = bar.add_task("copying", total=None)
        try:
            size = copy_store(
                folder, target, lambda done, whole: bar.update(work, completed=done, total=whole)
            )
        except StorageError as error:
            _refuse("backup", error)
    if check:
        _require_sound(target)
    seconds = time.monotonic() - started
    typer.echo(f"copied {folder} to {target}: {size / 1e6:.1f} MB in {seconds:.1f} s")


def _require_sound(folder: Path) -> None:
    broken = [finding for finding in examine(open_snapshot(folder)) if not finding.sound]
    if broken:
        typer.echo(
            f"the copy {folder} is NOT SOUND ({broken[0].law}), and so is its original: see "
            "`pullwork fsck`",
            err=True,
        )
        raise typer.Exit(EXIT_UNSOUND)


def restore(
    source: Annotated[Path, typer.Argument(help="A folder that `pullwork backup` made.")],
    folder: Annotated[Path, typer.Argument(help="The data folder to make; it must not exist.")],
) -> None:
    """Make a data folder of a backup, for a master to start on.

    What was acknowledged after the backup is not in it. Cursors from before are refused.
    """
    try:
        make_folder(source, folder)
    except StorageError as error:
        _refuse("restore", error)
    typer.echo(f"restored {source} to {folder}; start it with: pullwork master --data {folder}")


def _refuse(command: str, error: StorageError) -> Any:
    typer.echo(f"pullwork {command}: {error}", err=True)
    raise typer.Exit(EXIT_USAGE) from None
