"""Runs instances as processes of the node, each behind a shim that outlives this worker.

Nothing bounds what a process takes: cpus and memory are what placement counts it as, no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from pullwork_worker.services import shim
from pullwork_worker.services.folder import InstanceFolder, instances_in, line_of, scope_folder
from pullwork_worker.services.order import Order
from pullwork_worker.services.ports import choose
from pullwork_worker.services.runner import (
    EXITED,
    LOG_LINES,
    START_FAILED,
    Address,
    Ending,
    Line,
    Program,
    Scope,
    StartError,
    UnreadableError,
    exit_message,
    tail_of,
)

# Where the kernel can't tell that a process ended, it is looked at this often; a log that is
# followed is looked at as often.
LOOK_S: Final = 0.2
_LINES_AT_ONCE: Final = 1000
# Checks ask here: whatever a program listens at, this is the node itself.
_LOOPBACK: Final = "127.0.0.1"

log = logging.getLogger("pullwork.worker")


class ProcessRunner:
    """Processes of one node; see `Runner`."""

    kind = "process"

    def __init__(self, state: Path, advertise_host: str, env: Mapping[str, str]) -> None:
        self._state = state
        self._host = advertise_host
        # What every process gets of this worker's environment.
        self._env = dict(env)
        self._folder: Path | None = None
        self._ports: dict[str, tuple[int, ...]] = {}
        # Those of instances that are being started: nobody listens there yet.
        self._promised: dict[str, list[int]] = {}
        self.problem = ""
        self.looked = asyncio.Event()

    async def keep(
        self, scope: Scope, found: Callable[[Sequence[Program]], None], changed: Callable[[], None]
    ) -> None:
        """Tells once what is there; processes need no more."""
        self._folder = scope_folder(self._state, scope)
        programs: list[Program] = []
        for folder in instances_in(self._folder):
            order = folder.order()
            if order is not None and (folder.read("started.json") or folder.lives()):
                programs.append(self._program(order, folder))
            elif not folder.lives():
                folder.remove()  # its start was cut off before there was a program
        found(programs)
        self.looked.set()
        await asyncio.Event().wait()

    async def start(self, order: Order, pulling: Callable[[str], None]) -> Program:
        """Adopts an instance's process, or starts one."""
        await self.looked.wait()
        assert self._folder is not None, "nothing is started before it is known for whom"
        folder = InstanceFolder(self._folder / order.task_id)
        if folder.read("started.json") or folder.lives():
            return self._program(order, folder)
        taken = self._taken(self._folder)
        ports = self._promised[order.task_id] = []
        try:
            for it in order.ports:
                ports.append(choose(it.port or it.host_port, [*taken, *ports]))
            folder.make(order, self._told(order, ports))
            await _launched(folder)
            return self._program(order, folder)
        except (OSError, StartError) as error:
            folder.remove()
            if isinstance(error, StartError):
                raise
            raise StartError(START_FAILED, f"its folder can't be made: {error}") from error
        finally:
            del self._promised[order.task_id]

    def _taken(self, folder: Path) -> list[int]:
        """Returns the ports of all instances, whether anybody listens there yet or not."""
        lives = (
            its for task_id, its in self._ports.items() if InstanceFolder(folder / task_id).lives()
        )
        return [port for its in (*lives, *self._promised.values()) for port in its]

    def _told(self, order: Order, ports: Sequence[int]) -> dict[str, Any]:
        env = self._env | dict(order.env)
        env |= {"PULLWORK_INSTANCE": order.instance_id, "PULLWORK_SERVICE": order.service}
        if ports:
            env["PORT"] = str(ports[0])
        for port, number in zip(order.ports, ports, strict=True):
            env[f"PORT_{port.name.upper().replace('-', '_')}"] = str(number)
        return {
            "argv": list(order.command),
            "env": env,
            "stop_grace_s": order.stop_grace_s,
            "ports": list(ports),
        }

    def _program(self, order: Order, folder: InstanceFolder) -> ProcessProgram:
        ports = [int(it) for it in folder.read("order.json").get("ports", [])]
        self._ports[order.task_id] = tuple(ports)
        return ProcessProgram(order, folder, self._host, ports)

    async def remove(self, order: Order) -> None:
        """Removes the folder; whatever still runs of it is killed first."""
        if self._folder is None:
            return
        folder = InstanceFolder(self._folder / order.task_id)
        await ProcessProgram(order, folder, self._host, ()).gone()
        self._ports.pop(order.task_id, None)
        await asyncio.to_thread(folder.remove)

    async def close(self) -> None:
        """Has nothing open."""


class ProcessProgram:
    """One process behind its shim; see `Program`."""

    def __init__(
        self, order: Order, folder: InstanceFolder, host: str, ports: Sequence[int]
    ) -> None:
        self.order = order
        self._folder = folder
        self._ports = {it.name: port for it, port in zip(order.ports, ports, strict=False)}
        self.addresses = tuple(Address(name, host, port) for name, port in self._ports.items())
        self.started_ms = int(folder.read("started.json").get("started_ms", 0))

    async def ended(self) -> Ending:
        """Waits until its shim is gone, and reads what that wrote."""
        while self._folder.lives():
            await self._change()
        ended = self._folder.read("exit.json")
        lines = [it.text for it in self._folder.last_lines(LOG_LINES)]
        if ended:
            code = int(ended["code"])
            ended_ms = int(ended["ended_ms"])
            return Ending(
                EXITED, exit_message(code), code, self.started_ms, ended_ms, tail_of(lines)
            )
        self._kill()
        message = "it was gone, and nobody saw how it ended: its machine or its shim was stopped"
        ended_ms = time.time_ns() // 1_000_000
        return Ending(EXITED, message, None, self.started_ms, ended_ms, tail_of(lines))

    async def _change(self) -> None:
        """Waits until the shim ends, or for a moment where that can't be seen."""
        pidfd = self._pidfd()
        if pidfd is None:
            await asyncio.sleep(LOOK_S)
            return
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        loop.add_reader(pidfd, _set, over)
        try:
            await over
        finally:
            loop.remove_reader(pidfd)
            os.close(pidfd)

    def _pidfd(self) -> int | None:
        """Returns a handle of the shim; None: it is gone, or the system has no such handles."""
        pid = int(self._folder.read("started.json").get("shim_pid", 0))
        if not pid or not hasattr(os, "pidfd_open"):
            return None
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            return None
        # The shim lived when the handle was made, so the handle is the shim's.
        if self._folder.lives():
            return pidfd
        os.close(pidfd)
        return None

    async def stop(self) -> None:
        """Has the shim end it, gracefully."""
        self._tell_shim(signal.SIGTERM)
        await self.ended()

    async def gone(self) -> None:
        """Kills what runs, at once."""
        if self._folder.lives():
            if not self._kill():
                self._tell_shim(signal.SIGTERM)
            await self.ended()
        self._kill()

    def _tell_shim(self, number: signal.Signals) -> None:
        pidfd = self._pidfd()
        if pidfd is not None:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(pidfd, number)
            os.close(pidfd)
        elif self._folder.lives():
            with contextlib.suppress(OSError, KeyError):
                os.kill(int(self._folder.read("started.json")["shim_pid"]), number)

    def _kill(self) -> bool:
        """Kills the program's group; returns whether there was one."""
        pid = self._folder.program()
        if pid:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
        return pid > 0

    async def run(self, command: Sequence[str]) -> int:
        """Runs a command with its environment, in its folder."""
        told = self._folder.read("order.json")
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=told.get("env", {}),
                cwd=told.get("cwd"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise StartError(START_FAILED, f"{command[0]}: {error.strerror}") from error
        try:
            return await process.wait()
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)

    def asked_at(self, port: str) -> tuple[str, int]:
        """Returns where it listens, on the node itself."""
        first = next(iter(self._ports.values()), 0)
        return _LOOPBACK, self._ports[port] if port else first

    async def lines(self, tail: int, *, follow: bool) -> AsyncIterator[Line]:
        """Yields the last lines, and those that the shim adds."""
        try:
            file = self._folder.log.open("rb")
        except OSError as error:
            raise UnreadableError(f"its log can't be read: {error.strerror}") from error
        try:
            at = file.seek(0, os.SEEK_END)
            for line in self._folder.last_lines(tail, at):
                yield line
            while follow:
                lives, rotated = self._folder.lives(), not _stands(self._folder.log, file.fileno())
                while some := _new_lines(file):
                    for line in some:
                        yield line
                if rotated:
                    file.close()
                    file = self._folder.log.open("rb")
                elif not lives:
                    return
                else:
                    await asyncio.sleep(LOOK_S)
        finally:
            file.close()


def _set(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)


def _new_lines(file: BinaryIO) -> list[Line]:
    """Reads the whole lines that were added to a file, some at a time."""
    found: list[Line] = []
    while len(found) < _LINES_AT_ONCE and (raw := file.readline()):
        if not raw.endswith(b"\n"):
            file.seek(-len(raw), os.SEEK_CUR)
            break
        line = line_of(raw[:-1])
        if line is not None:
            found.append(line)
    return found


def _stands(path: Path, file: int) -> bool:
    """Returns whether an open file still stands under its name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except OSError:
        return True


async def _launched(folder: InstanceFolder) -> None:
    """Starts a shim, and returns once it has started its program; raises StartError.

    One that is cut off still waits for that, or a program could begin behind its back.
    """
    launch = asyncio.create_task(_launch(folder), name="launch")
    try:
        await asyncio.shield(launch)
    except asyncio.CancelledError:
        await asyncio.wait({launch})
        raise


async def _launch(folder: InstanceFolder) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        shim.__file__,
        str(folder.path),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    told, _ = await process.communicate()
    document = json.loads(told) if told else {"problem": "its shim did not start"}
    if problem := document.get("problem"):
        command = folder.read("order.json")["argv"][0]
        raise StartError(START_FAILED, f"{command!r} can't be started: {problem}")
