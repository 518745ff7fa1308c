"""Workers that offer instances, as real processes, and specs of what they run."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from cluster import Process
from google.protobuf.duration_pb2 import Duration

from pullwork.v1 import service_pb2 as pb

WAITS = "import time; print('up', flush=True); time.sleep(600)"


class Workers:
    """Starts workers in one folder, with one state for all of them."""

    def __init__(self, address: str, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._address = address
        self._started: list[Process] = []

    def start(self, node: str = "n1", *flags: str, offer: str = "process") -> Process:
        """Starts a worker that offers processes; a former one of the node must be gone."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("PULLWORK_")}
        env |= {"PULLWORK_ADDRESS": self._address, "SECRET_OF_THE_WORKER": "1"}
        arguments = ["pullwork_worker", "--offer", offer, "--node", node]
        arguments += ["--state", str(self.state), *flags]
        process = Process(node, arguments, env, self.folder)
        process.start()
        self._started.append(process)
        return process

    def programs(self) -> list[psutil.Process]:
        """Returns all processes that work in the state folder."""
        return programs_in(self.state)

    def instance_folders(self) -> list[Path]:
        """Returns the folders of all instances."""
        return [it.parent for it in self.state.glob("*/*/*/order.json")]

    def story(self) -> str:
        """Returns what the workers said."""
        names = dict.fromkeys(it.name for it in self._started)
        return "\n".join((self.folder / f"{it}.log").read_text()[-6000:] for it in names)

    def close(self) -> None:
        """Ends workers and programs, and waits for the shims."""
        for process in self._started:
            process.end()
        end_all_in(self.state)


def programs_in(state: Path) -> list[psutil.Process]:
    """Returns all processes that work in a state folder."""
    found = []
    for pid in psutil.pids():
        # Not by psutil: it takes a millisecond for each, and tests look often.
        with contextlib.suppress(OSError, psutil.Error):
            if os.readlink(f"/proc/{pid}/cwd").startswith(str(state)):
                found.append(psutil.Process(pid))
    return found


def shims_in(state: Path) -> Iterator[psutil.Process]:
    """Yields the shims that keep instances in a state folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(it.startswith(str(state)) for it in process.cmdline()):
                yield process


def end_all_in(state: Path) -> None:
    """Kills all programs of a state folder, and waits for their shims."""
    shims = list(shims_in(state))
    for program in programs_in(state):
        with contextlib.suppress(psutil.Error):
            program.kill()
    psutil.wait_procs(shims, timeout=10)


def shim_of(workers: Workers, task_id: str) -> int:
    """Returns the process id of an instance's shim."""
    (shim,) = [it for it in shims_in(workers.state) if task_id in " ".join(it.cmdline())]
    return shim.pid


def instance(*command: str, service: str = "web", **more: Any) -> pb.InstanceSpec:
    """Returns an instance of a service; more: fields of the ServiceSpec."""
    spec = pb.ServiceSpec(command=command, stop_grace=seconds(5))
    for name, value in more.items():
        field = getattr(spec, name)
        if isinstance(value, dict):
            field.update(value)
        elif isinstance(value, list):
            field.extend(value)
        elif hasattr(value, "DESCRIPTOR"):
            field.CopyFrom(value)
        else:
            setattr(spec, name, value)
    return pb.InstanceSpec(instance_id=f"{service}-1", service=service, version=3, spec=spec)


def python(code: str, **more: Any) -> pb.InstanceSpec:
    """Returns an instance that runs a piece of Python."""
    return instance(sys.executable, "-I", "-S", "-c", code, **more)


def seconds(value: float) -> Duration:
    """Returns a duration."""
    duration = Duration()
    duration.FromMilliseconds(round(value * 1000))
    return duration


def kill(pid: int) -> None:
    """Kills a process without a word."""
    os.kill(pid, signal.SIGKILL)
