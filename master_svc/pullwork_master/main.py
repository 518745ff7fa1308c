"""Starts a master and stops it politely: the one place where its parts are put together."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from pullwork.errors import SettingsError
from pullwork.log import setup
from pullwork.settings import load
from pullwork.telemetry import Telemetry, start
from pullwork.v1 import worker_pb2
from pullwork_master.config import MasterSettings
from pullwork_master.engine import Engine
from pullwork_master.gateway.discovery.listing import Listing
from pullwork_master.gateway.door import Door
from pullwork_master.orchestrator.orchestrator import Orchestrator
from pullwork_master.storage.base import StorageError
from pullwork_master.storage.sqlite import SqliteStorage
from pullwork_master.views import Views
from pullwork_master.wire.convert import moment
from pullwork_master.wire.server import ListenError, Server

log = logging.getLogger("pullwork.master")

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2


class Master:
    """A master with its storage, engine and server."""

    def __init__(self, settings: MasterSettings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        policy = settings.policy(tell_moves=telemetry.on)
        self._storage = SqliteStorage(settings.data, settings.advertise or settings.listen)
        self._engine = Engine(self._storage, policy, reserve_bytes=settings.disk_reserve)
        self._policy = policy
        self._stop = asyncio.Event()

    def ask_to_stop(self) -> None:
        """Lets `run` return soon."""
        self._stop.set()

    async def run(self) -> None:
        """Serves until asked to stop. Errors: SettingsError, StorageError, ListenError."""
        settings = self._settings
        await self._engine.start()
        orchestrator = Orchestrator(self._engine, self._policy)
        orchestrator.open(self._storage)
        disk = Views(self._storage.reader())
        server = Server(self._engine, self._policy, disk, orchestrator)
        door = Door(settings.http_listen)
        try:
            port = server.bind(settings.listen)
            host = settings.listen.rpartition(":")[0]
            address = f"{host}:{port}"
            door.bind()
            # Drafted before anybody is served: a file that can't be written stops a start, no work.
            say_ready = _drafted(settings.ready_file, address)
            stop_watching = self._watched(disk)
            writer = asyncio.create_task(self._engine.run(), name="engine")
            await server.start(self._member(settings.advertise or address))
            orchestrator.start()
            _warn_of_open_port(host, address)
            log.info(
                "master serves",
                extra={"address": address, "data": str(settings.data), "term": self._engine.term},
            )
            if settings.http_listen:
                own = (settings.listen, settings.advertise)
                found = Listing(orchestrator.roster)
                door.start(server.calls, own, settings.http_hosts, found)
                _warn_of_open_port(settings.http_listen.rpartition(":")[0], door.address)
                log.info("master serves HTTP", extra={"address": door.address})
            # All that was made until now lives as long as the process: never look at it again.
            gc.freeze()
            say_ready()
            await self._serve(writer)
            log.info("master stops")
            await orchestrator.close()
            # What was asked is decided and told; parked requests and streams end.
            self._engine.stop()
            await writer
            stop_watching()
            grace = settings.stop_grace
            await asyncio.gather(server.stop(grace), door.stop(grace))
        finally:
            await orchestrator.close()
            door.close()
            disk.close()
            await self._engine.close()

    def _watched(self, disk: Views) -> Callable[[], None]:
        """Has telemetry watch, if it is on; returns what ends that."""
        if not self._telemetry.on:
            return lambda: None
        from pullwork_master.telemetry.watch import Watch

        if self._telemetry.listens:
            _warn_of_open_metrics(self._telemetry.listens)
        return Watch(self._telemetry, self._engine, disk).stop

    async def _serve(self, writer: asyncio.Task[None]) -> None:
        """Waits for the wish to stop, or for the writer's death, which ends the process."""
        asked = asyncio.create_task(self._stop.wait())
        await asyncio.wait({asked, writer}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if writer.done():
            await writer

    def _member(self, address: str) -> worker_pb2.Member:
        return worker_pb2.Member(
            id=self._engine.store_id,
            name=self._settings.name,
            role=worker_pb2.MEMBER_ROLE_MASTER,
            address=address,
            version=version("pullwork"),
            joined_at=moment(time.time_ns() // 1_000_000),
        )


def _is_loopback(host: str) -> bool:
    bare = host.strip("[]")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(bare).is_loopback
    return bare == "localhost"


def _warn_of_open_metrics(address: str) -> None:
    if not _is_loopback(address.rpartition(":")[0]):
        log.warning(
            "METRICS ARE OPEN TO THE NETWORK: whoever reaches this port may read the names of "
            "queues and types, and how much there is of each; let only trusted machines reach it",
            extra={"address": address},
        )


def _warn_of_open_port(host: str, address: str) -> None:
    if _is_loopback(host):
        return
    log.warning(
        "OPEN TO THE NETWORK: whoever reaches this port may submit, read and cancel every task, "
        "and run any program on the nodes that keep services; there is no authentication yet, so "
        "let only trusted machines reach it",
        extra={"address": address},
    )


def _drafted(path: Path | None, address: str) -> Callable[[], None]:
    """Writes a draft of the ready file, and returns what puts it in its place.

    Errors: SettingsError, if the file can't be had.
    """
    if path is None:
        return lambda: None
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        draft.write_text(f"{address}\n")
    except OSError as error:
        raise SettingsError(
            f"master.ready_file can't be '{path}': {error.strerror}; let this user (uid "
            f"{os.getuid()}) write there, or choose another file with --ready-file"
        ) from error

    def put() -> None:
        draft.replace(path)

    return put


async def _main(settings: MasterSettings, telemetry: Telemetry) -> None:
    master = Master(settings, telemetry)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, master.ask_to_stop)
    await master.run()


def run(settings: MasterSettings) -> int:
    """Runs a master in this process until a signal stops it; returns the exit code.

    Raises SettingsError if telemetry can't be had as it is asked for.
    """
    setup(settings.log_level, settings.log_format)
    try:
        with start(
            "pullwork-master",
            metrics=True,
            prometheus=settings.metrics_listen,
            facts={"service.instance.id": settings.name},
        ) as telemetry:
            asyncio.run(_main(settings, telemetry))
    except (StorageError, ListenError) as error:
        log.error("the master can't go on: %s", error)
        return EXIT_FAILED
    return EXIT_OK


def command(
    listen: Annotated[
        str | None, typer.Option(help="Where to listen, host:port; port 0: any free one.")
    ] = None,
    http_listen: Annotated[
        str | None, typer.Option(help="Where to listen for HTTP; absent: nowhere.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="The data folder; made if absent.")] = None,
    name: Annotated[str | None, typer.Option(help="The master's name, for people.")] = None,
    advertise: Annotated[
        str | None, typer.Option(help="How others reach this master, host:port.")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write the address here once the master serves.")
    ] = None,
    metrics_listen: Annotated[
        str | None, typer.Option(help="Where to answer Prometheus, host:port.")
    ] = None,
    heartbeat: Annotated[
        str | None, typer.Option(help="How often workers send an inventory, e.g. 5s.")
    ] = None,
    grace: Annotated[
        str | None, typer.Option(help="How long leases stand after a worker's stream broke.")
    ] = None,
    silence_grace: Annotated[
        str | None, typer.Option(help="How long they stand after a worker fell silent.")
    ] = None,
    retention: Annotated[
        str | None, typer.Option(help="How long ended tasks are kept, e.g. 7d.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, human or json.")] = None,
    config: Annotated[Path | None, typer.Option(help="A settings file (TOML).")] = None,
) -> None:
    """Run a master: keeps tasks on disk and hands them to workers that ask.

    Every setting has a PULLWORK_MASTER_ variable and a place in the file: see `pullwork config`.
    """
    flags = {key: value for key, value in locals().items() if key != "config"}
    try:
        code = run(load(MasterSettings, flags, config))
    except SettingsError as error:
        typer.echo(f"pullwork master: {error}", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    sys.exit(code)
