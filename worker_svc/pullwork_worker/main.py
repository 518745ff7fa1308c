"""Starts a worker and lets it leave politely: the one place where its parts are put together."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import uuid
from collections.abc import Coroutine
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import typer

from pullwork.channel import MESSAGE_BYTES_MAX
from pullwork.errors import SettingsError
from pullwork.log import setup
from pullwork.settings import load
from pullwork.telemetry import start
from pullwork_worker import flags
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
from pullwork_worker.machine.instructions import Exit
from pullwork_worker.machine.link import Phase
from pullwork_worker.machine.ticket import Kind
from pullwork_worker.runner import WorkerRunner
from pullwork_worker.session import Identity, Session

if TYPE_CHECKING:
    from pullwork_worker.services.node import Node

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

    Raises SettingsError if it can't listen where it is told to answer health checks, or can't
    offer what it is told to.
    """
    node = make_node(settings)
    runners: list[WorkerRunner] = [] if node is None else [node.runner]
    lives = [] if node is None else [node.run()]
    if abilities.kinds():
        worker = make_worker(settings, abilities, tracing)
        runners.append(worker)
        lives.append(_live(worker, settings, abilities))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _drain, runners, number.name)
    links = [runner.machine.link for runner in runners]

    def connected() -> bool:
        there = [link for link in links if link.phase < Phase.LEAVING]
        return bool(there) and all(link.in_contact(loop.time()) for link in there)

    try:
        async with answering_health(settings.health_listen, connected):
            overs = await _together(lives, runners)
    finally:
        for life in lives:
            life.close()  # of those that did not begin
    for over in overs:
        log.log(logging.ERROR if over.code else logging.INFO, "worker ends: %s", over.reason)
    return max(over.code for over in overs)


def make_node(settings: WorkerSettings) -> Node | None:
    """Puts a node together if the worker offers instances; else loads nothing of it."""
    if not settings.offer:
        return None
    from pullwork_worker.services.node import Node

    return Node(settings)


def _drain(runners: list[WorkerRunner], reason: str) -> None:
    for runner in runners:
        runner.drain(reason)


async def _together(
    lives: list[Coroutine[Any, Any, Exit]], runners: list[WorkerRunner]
) -> list[Exit]:
    """Lives all lives; one that ends badly has the others end, too."""
    tasks = [asyncio.create_task(life) for life in lives]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    if rest and any(task.exception() is not None or task.result().code for task in done):
        _drain(runners, "a part of this worker ended")
    await asyncio.wait(tasks)
    return [task.result() for task in tasks]


async def _live(runner: WorkerRunner, settings: WorkerSettings, abilities: Abilities) -> Exit:
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
    return await runner.run()


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
    tasks: flags.Tasks = None,
    address: flags.Address = None,
    commands: flags.Commands = None,
    slots: flags.Slots = None,
    queues: flags.Queues = None,
    name: flags.Name = None,
    labels: flags.Labels = None,
    memory_limit: flags.MemoryLimit = None,
    stop_grace: flags.StopGrace = None,
    drain_grace: flags.DrainGrace = None,
    look_ahead_max: flags.LookAheadMax = None,
    offer: flags.Offer = None,
    node: flags.Node = None,
    instances_max: flags.InstancesMax = None,
    state: flags.State = None,
    advertise_host: flags.AdvertiseHost = None,
    images: flags.Images = None,
    publish_host: flags.PublishHost = None,
    engine: flags.Engine = None,
    health_listen: flags.HealthListen = None,
    log_level: flags.LogLevel = None,
    log_format: flags.LogFormat = None,
    config: flags.Config = None,
) -> None:
    """Run a worker: pulls tasks from a master when it is free, and runs them.

    It may be started before the master, and any number of workers may join at any time. SIGTERM
    or Ctrl-C lets it finish what runs and leave; twice, it leaves at once. Every setting has a
    PULLWORK_WORKER_ variable and a place in the file: see `pullwork config`.

    Instances of services (--offer) outlive their worker: SIGTERM leaves them running, and the next
    start finds them. Ctrl-C stops them. `pullwork drain` lets the master move them away first; what
    is still there after the drain grace is left running.
    """
    given: dict[str, object] = {key: value for key, value in locals().items() if key != "config"}
    # A list that was not given may come as an empty one; a 0 was given, and is to be checked.
    said = {key: None if value == [] else value for key, value in given.items()}
    try:
        said |= {"commands": _pairs("--command", commands), "labels": _pairs("--label", labels)}
        code = run(load(WorkerSettings, said, config))
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
