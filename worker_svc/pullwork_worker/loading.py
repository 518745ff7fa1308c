"""Finds what a worker can do: the tasks of its modules and the programs of its settings."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from pullwork.errors import SettingsError, TaskDefinitionError
from pullwork.tasks import collect
from pullwork_worker.config import WorkerSettings
from pullwork_worker.executors.command import Command
from pullwork_worker.executors.invoke import AnyTask
from pullwork_worker.machine.ticket import Kind

_KINDS = {"process": Kind.CHILD, "thread": Kind.THREAD, "coroutine": Kind.LOOP}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a worker can do, by type."""

    tasks: dict[str, AnyTask] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)

    def kinds(self) -> dict[str, Kind]:
        """Returns which executor runs each type."""
        kinds = {type: _KINDS[task.executor] for type, task in self.tasks.items()}
        return kinds | dict.fromkeys(self.commands, Kind.COMMAND)


def load_abilities(settings: WorkerSettings) -> Abilities:
    """Imports the modules and reads the commands; raises SettingsError with the remedy."""
    # A program that is installed starts with its own folder on the path, not with ours.
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    abilities = Abilities()
    for name in settings.tasks:
        _add_tasks(abilities.tasks, name, _tasks_of(name))
    for type, line in settings.commands.items():
        if type in abilities.tasks:
            raise SettingsError(
                f"the type {type!r} is both a command and the function "
                f"{_name(abilities.tasks[type])}; keep one of them"
            )
        content_type = settings.command_content_types.get(type)
        abilities.commands[type] = _command(type, line, content_type)
    if not abilities.tasks and not abilities.commands and not settings.offer:
        raise SettingsError(
            "there is nothing that this worker can do; name a module with functions marked "
            "@task, e.g. --tasks myapp.tasks or PULLWORK_WORKER_TASKS=myapp.tasks, or keep "
            "instances of services: --offer process"
        )
    return abilities


def _tasks_of(name: str) -> dict[str, AnyTask]:
    try:
        module = importlib.import_module(name)
        found = collect(module)
    except TaskDefinitionError as error:
        raise SettingsError(f"the task module {name!r} can't be used: {error}") from error
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            hint = "--tasks takes a module's name, not a file's" if name.endswith(".py") else ""
            hint = hint or f"check the name, and that it can be imported from {os.getcwd()}"
            raise SettingsError(f"there is no module {name!r}: {hint}") from error
        raise SettingsError(
            f"the task module {name!r} does not import: it needs the module {error.name!r}, "
            "which is not there; install that"
        ) from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise SettingsError(
            f"the task module {name!r} does not import: {type(error).__name__}: {error}"
            f"{_where(error)}; try `python -c 'import {name}'`"
        ) from error
    if not found:
        raise SettingsError(
            f"the module {name!r} has no tasks; mark its functions with @task (from pullwork "
            "import task)"
        )
    return found


def _add_tasks(known: dict[str, AnyTask], module: str, found: dict[str, AnyTask]) -> None:
    for type, task in found.items():
        other = known.setdefault(type, task)
        if other is not task:
            raise SettingsError(
                f"the type {type!r} is there twice: {_name(other)} and {_name(task)} (module "
                f"{module!r}); give one of them another name with @task(type=…)"
            )


def _command(type: str, line: str, content_type: str | None) -> Command:
    try:
        argv: Sequence[str] = shlex.split(line)
    except ValueError as error:
        raise SettingsError(f"the command for {type!r} can't be read: {error}") from error
    if not argv:
        raise SettingsError(f"the command for {type!r} is empty; name a program")
    if shutil.which(argv[0]) is None:
        raise SettingsError(
            f"the command for {type!r} can't be run: there is no program {argv[0]!r}; check the "
            "name and PATH, or write where it is"
        )
    return Command(tuple(argv), content_type or "application/octet-stream")


def _where(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return ""  # its words name file and line; the frames are those of the import
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _name(task: AnyTask) -> str:
    return f"{task.fn.__module__}.{task.fn.__qualname__}"
