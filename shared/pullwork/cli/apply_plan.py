"""What `apply` would change, and how it does so: one service after the other."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pullwork.cli.differences import differences
from pullwork.cli.exits import ExitCode, exit_code_of
from pullwork.cli.group import say
from pullwork.cli.rollout import End, Waiting, settle
from pullwork.cli.service_document import document_of
from pullwork.cli.service_file import FileOfServices
from pullwork.errors import (
    InvalidFieldError,
    PullworkError,
    RevisionConflictError,
    ServiceNotFoundError,
)
from pullwork.service_info import ServiceInfo
from pullwork.service_spec import ServiceSpec

if TYPE_CHECKING:
    from pullwork.client import Client

Wanted = Mapping[str, tuple[FileOfServices, ServiceSpec]]
Label = tuple[str, str]


class Action(enum.StrEnum):
    """What is done to a service."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass
class Change:
    """One service that is not as the files say."""

    action: Action
    name: str
    spec: ServiceSpec
    before: ServiceInfo | None
    differences: list[str]
    replaces_instances: bool = False
    end: str = "not begun"

    def lines(self) -> list[str]:
        """Returns what would change, for people."""
        words = {
            Action.CREATE: f"+ {self.name}: new",
            Action.UPDATE: f"~ {self.name}: changes"
            + (", which replaces its instances one by one" if self.replaces_instances else ""),
            Action.DELETE: f"- {self.name}: in no file, is deleted",
        }
        return [words[self.action], *(f"    {line}" for line in self.differences)]


@dataclass
class Plan:
    """All that would change, and how far it came."""

    changes: list[Change] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    # With which exit code it was broken off; None: it was not.
    stopped: ExitCode | None = None

    def lines(self) -> list[str]:
        """Returns all that would change, for people."""
        lines = [line for change in self.changes for line in change.lines()]
        if self.same:
            lines.append(f"= {', '.join(self.same)}: as it is wanted")
        return lines or ["no service in the files"]

    def document(self) -> dict[str, Any]:
        """Returns it for programs."""
        changes = [
            {
                "service": it.name,
                "action": it.action,
                "differences": it.differences,
                "replaces_instances": it.replaces_instances,
                "end": it.end,
            }
            for it in self.changes
        ]
        return {"changes": changes, "same": self.same}

    async def perform(self, client: Client, waiting: Waiting) -> None:
        """Makes the changes in their order; stops at the first that fails, and says the rest."""
        for number, change in enumerate(self.changes):
            try:
                self.stopped = await _perform(client, change, waiting)
            except PullworkError as error:
                say(f"{change.name}: {error}")
                change.end, self.stopped = "refused", exit_code_of(error)
            except BaseException:  # Ctrl-C
                _say_rest(self.changes[number + 1 :])
                raise
            if self.stopped is not None:
                _say_rest(self.changes[number + 1 :])
                return


def _say_rest(rest: list[Change]) -> None:
    if rest:
        names = ", ".join(it.name for it in rest)
        say(f"nothing was changed of {names}; the same command goes on from here")


async def _perform(client: Client, change: Change, waiting: Waiting) -> ExitCode | None:
    """Makes one change and follows it; returns how the command ends if it did not come through."""
    if change.action is Action.DELETE:
        await client.services.delete(change.name)
        change.end = "deleted"
        if not waiting.quiet:
            print(f"{change.name} is deleted")
        return None
    if change.before is None:
        changed = await client.services.create(change.name, change.spec)
    else:
        changed = await _update(client, change, change.before)
    following = await settle(client, changed, waiting)
    change.end = following.end.name.lower()
    if following.end in (End.SETTLED, End.UNSEEN):
        if not waiting.quiet:
            print(following.told(), flush=True)
        return None
    say("\n".join([following.told(), *following.why()]))
    return ExitCode.TIMED_OUT if following.end is End.TIMED_OUT else ExitCode.FAILED


async def _update(client: Client, change: Change, before: ServiceInfo) -> ServiceInfo:
    """Makes a change of a service that is as it was shown: nobody's is undone unseen.

    A rollout that came through meanwhile is no change of what is wanted.
    """
    while True:
        try:
            done = await client.services.update(
                change.name, change.spec, replace=True, expected_revision=before.revision
            )
            return done.service
        except RevisionConflictError:
            now = await client.services.get(change.name)
            if now.spec.to_proto() != before.spec.to_proto() or now.revision == before.revision:
                raise
            before = now


async def make_plan(client: Client, wanted: Wanted, prune: Label | None) -> Plan:
    """Asks the master what each service would become; changes nothing.

    Raises InvalidFieldError that tells all that it refuses, a line each.
    """
    plan, faults = Plan(), []
    for name, (file, spec) in wanted.items():
        try:
            change = await _planned(client, name, spec)
        except InvalidFieldError as error:
            faults.append(_fault(file, name, error))
            continue
        if change is None:
            plan.same.append(name)
        else:
            plan.changes.append(change)
    if faults:
        raise InvalidFieldError("\n".join(faults))
    if prune is not None:
        for service in await client.services.list():
            labels = service.spec.labels or {}
            if service.name not in wanted and labels.get(prune[0]) == prune[1]:
                gone = Change(Action.DELETE, service.name, service.spec, service, [])
                plan.changes.append(gone)
    return plan


def _fault(file: FileOfServices, name: str, error: InvalidFieldError) -> str:
    """Says what the master refuses, in the words of the file."""
    part = error.field.removeprefix("spec").lstrip(".")
    said = str(error)
    if not error.field or not said.startswith(f"{error.field} "):
        return f"{file.called(name)}: {said}"
    return f"{file.called(f'{name}.{part}' if part else name)}{said.removeprefix(error.field)}"


async def _planned(client: Client, name: str, spec: ServiceSpec) -> Change | None:
    try:
        before = await client.services.get(name)
    except ServiceNotFoundError:
        await client.services.create(name, spec, dry_run=True)
        new = differences({}, document_of(spec.to_proto()))
        return Change(Action.CREATE, name, spec, None, new)
    if spec.instances is None:
        spec = dataclasses.replace(spec, instances=before.spec.instances)
    would = await client.services.update(name, spec, replace=True, dry_run=True)
    if not would.changed:
        return None
    old, new_document = (document_of(it.spec.to_proto()) for it in (before, would.service))
    found = differences(old, new_document)
    return Change(Action.UPDATE, name, spec, before, found, would.replaces_instances)


def read_prune(text: str | None, wanted: Wanted) -> Label | None:
    """Reads `--prune`; raises InvalidFieldError, also if a service of the files lacks the label:
    the next time it would be deleted by mistake."""
    if text is None:
        return None
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidFieldError(f"--prune can't be {text!r}: write LABEL=VALUE")
    lacking = [it for it, (_, spec) in wanted.items() if (spec.labels or {}).get(name) != value]
    if lacking:
        raise InvalidFieldError(
            f"--prune {text}: {', '.join(lacking)} in the files has no such label; write "
            f"`labels: {{{name}: {value}}}`"
        )
    return name, value
