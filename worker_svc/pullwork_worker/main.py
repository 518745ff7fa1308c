"""Starts a worker and lets it leave politely: the one place where its parts are put together."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer

from pullwork.channel import MESSAGE_BYTES_MAX
from pullwork.errors import SettingsError
from pullwork.log import setup
from pullwork.settings import load
from pullwork.telemetry import start
from pullwork_worker.config import WorkerSettings, default_slots
from pullwork_worker.executors.child_link import ChildSetup
from pullwork_worker.executors.command import CommandExecutor
from pullwork_worker.executors.coroutine import CoroutineExecutor
from pullwork_worker.executors.process import ProcessExecutor
from pullwork_worker.executors.thread import ThreadExecutor
from pullwork_worker.executors.tracing import SERVICE, AttemptTracing, tracing_of
from pullwork_worker.executors.work import Executor
from pullwork_worker.health import answering_health
from pullwork_worker.loading import Abilities, load_abilities
from pullwork_worker.machine import Machine
from pullwork_worker.machine.ticket import Kind
from pullwork_worker.runner import WorkerRunner
from pullwork_worker.session import Identity, Session

log = logging.getLogger("pullwork.worker")

EXIT_USAGE: Final = 2

_FORMS: Final = {"--command": "type=program argument …", "--label": "name=value"}


def make_machine(settings: WorkerSettings, abilities: Abilities) -> Machine:
    """Makes the machine that decides for a worker."""
    return Machine(
        abilities.kinds(),
        slots=settings.slots,
        look_ahead_max=settings.look_ahead_max,
        stop_grace_s=settings.stop_grace,
        drain_grace_s=settings.drain_grace,
    )


def make_worker(
    settings: WorkerSettings, abilities: Abilities, tracing: AttemptTracing | None = None
) -> WorkerRunner:
    """Puts a worker together, on the running loop."""
    runner = WorkerRunner(make_machine(settings, abilities))
    equip(runner, settings, abilities, tracing)
    return runner


def equip(
    runner: WorkerRunner,
    settings: WorkerSettings,
    abilities: Abilities,
    tracing: AttemptTracing | None = None,
) -> None:
    """Gives a worker its executors and its session with the master."""
    kinds = abilities.kinds()
    executors: dict[Kind, Executor] = {}
    if Kind.CHILD in kinds.values():
        traced_as = "" if tracing is None else tracing.worker
        child = ChildSetup(tuple(settings.tasks), settings.memory_limit, traced_as)
        executors[Kind.CHILD] = ProcessExecutor(settings.slots, child, runner, default_slots())
    executors[Kind.LOOP] = CoroutineExecutor(abilities.tasks, runner, tracing)
    executors[Kind.THREAD] = ThreadExecutor(abilities.tasks, runner, tracing)
    executors[Kind.COMMAND] = CommandExecutor(
        abilities.commands, runner, MESSAGE_BYTES_MAX, tracing
    )
    identity = Identity(
        name=settings.name,
        boot_id=str(uuid.uuid4()),
        queues=tuple(settings.queues),
        task_types=tuple(sorted(kinds)),
        slots=settings.slots,
        look_ahead_max=settings.look_ahead_max,
        labels=dict(settings.labels),
        version=version("pullwork"),
    )
    session = Session(settings.address, identity, runner, runner.set_payload_bytes_max)
    runner.connect(session, executors)


async def work(
    settings: WorkerSettings, abilities: Abilities, tracing: AttemptTracing | None = None
) -> int:
    """Works until a signal or the master ends it; returns the exit code.

    Raises SettingsError if it can't listen where it is told to answer health checks.
    """
    runner = make_worker(settings, abilities, tracing)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runner.drain, number.name)
    log.info(
        "worker starts",
        extra={
            "worker": settings.name,
            "master": settings.address,
            "slots": settings.slots,
            "queues": ",".join(settings.queues),
            "types": ",".join(sorted(abilities.kinds())),
        },
    )
    link = runner.machine.link
    async with answering_health(settings.health_listen, lambda: link.in_contact(runner.now())):
        over = await runner.run()
    log.log(logging.ERROR if over.code else logging.INFO, "worker ends: %s", over.reason)
    return over.code


def run(settings: WorkerSettings) -> int:
    """Runs a worker in this process until it ends; returns the exit code.

    Raises SettingsError if a task module, the address for health checks, or what the environment
    says about telemetry can't be used.
    """
    setup(settings.log_level, settings.log_format, worker=settings.name)
    # Before the task modules are loaded: what they instrument finds it.
    with start(SERVICE, facts={"service.instance.id": settings.name}) as telemetry:
        tracing = tracing_of(telemetry, settings.name)
        return asyncio.run(work(settings, load_abilities(settings), tracing))


def command(
    tasks: Annotated[
        list[str] | None,
        typer.Option("--tasks", "-t", help="A module with @task functions; may be repeated."),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", "-a", help="The master, as host:port.")
    ] = None,
    commands: Annotated[
        list[str] | None,
        typer.Option(
            "--command", help="A program for a type, as 'type=program argument …'; may be repeated."
        ),
    ] = None,
    slots: Annotated[int | None, typer.Option(help="How many tasks to run at once.")] = None,
    queues: Annotated[
        list[str] | None,
        typer.Option("--queue", "-q", help="A queue to serve; may be repeated."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The worker's name, for people.")] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", help="A word about this node, as name=value; may be repeated."),
    ] = None,
    memory_limit: Annotated[
        str | None, typer.Option(help="Memory of each child process, e.g. 512MiB.")
    ] = None,
    stop_grace: Annotated[
        str | None, typer.Option(help="How long a cancelled task may take to end, e.g. 2s.")
    ] = None,
    drain_grace: Annotated[
        str | None, typer.Option(help="How long running tasks may take on SIGTERM, e.g. 30s.")
    ] = None,
    look_ahead_max: Annotated[
        int | None, typer.Option(help="How many tickets to hold beyond the slots.")
    ] = None,
    health_listen: Annotated[
        str | None, typer.Option(help="Where to answer health checks, host:port.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, human or json.")] = None,
    config: Annotated[Path | None, typer.Option(help="A settings file (TOML).")] = None,
) -> None:
    """Run a worker: pulls tasks from a master when it is free, and runs them.

    It may be started before the master, and any number of workers may join at any time. SIGTERM
    or Ctrl-C lets it finish what runs and leave; twice, it leaves at once. Every setting has a
    PULLWORK_WORKER_ variable and a place in the file: see `pullwork config`.
    """
    given: dict[str, object] = {key: value for key, value in locals().items() if key != "config"}
    # A list that was not given may come as an empty one; a 0 was given, and is to be checked.
    flags = {key: None if value == [] else value for key, value in given.items()}
    try:
        flags |= {"commands": _pairs("--command", commands), "labels": _pairs("--label", labels)}
        code = run(load(WorkerSettings, flags, config))
    except SettingsError as error:
        typer.echo(f"pullwork worker: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    sys.exit(code)


def _pairs(flag: str, given: list[str] | None) -> dict[str, str] | None:
    """Returns what flags of such a form say together; None if there are none."""
    pairs = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SettingsError(f"{flag} can't be {text!r}: write {_FORMS[flag]}")
        pairs[name] = value
    return pairs or None
