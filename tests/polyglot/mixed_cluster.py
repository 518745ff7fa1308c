"""A cluster whose workers are written in several languages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cluster import Cluster, Process, until
from toolchain import Language, search_path

from pullwork import Client
from pullwork.node_info import WorkerInfo, WorkerState


class Program(Process):
    """A process that is no Python."""

    def __init__(self, name: str, command: Sequence[str], env: dict[str, str], cwd: Path) -> None:
        super().__init__(name, [], env, cwd)
        self._command = list(command)


class MixedCluster(Cluster):
    """Starts a master, and workers and clients of any language, in one folder."""

    def python(self, name: str = "python", slots: int = 1) -> Process:
        """Starts a worker in Python with the same types as the others."""
        flags = ["--tasks", "polyglot_jobs", "--name", name, "--slots", str(slots)]
        env = {"PULLWORK_ADDRESS": self.address, "PYTHONPATH": str(Path(__file__).parent)}
        return self._start(name, ["pullwork_worker", *flags], env)

    def foreign(self, language: Language, *, slots: int = 1) -> Program:
        """Starts a worker; its name begins with its language's."""
        return self.program(
            language.name, [*language.worker, "--name", language.name, "--slots", str(slots)]
        )

    def program(self, name: str, command: Sequence[str]) -> Program:
        """Starts any program that finds its master by PULLWORK_ADDRESS."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("PULLWORK_")}
        env |= {"PULLWORK_ADDRESS": self.address, "PATH": search_path()}
        program = Program(name, command, env, self.folder)
        program.start()
        self._processes.append(program)
        return program


async def connected(client: Client, *names: str) -> list[WorkerInfo]:
    """Waits until workers whose names begin so are connected, and returns them."""

    async def all_there() -> list[WorkerInfo]:
        workers = await client.workers(state=WorkerState.CONNECTED)
        found = [it for it in workers if it.listening and it.name.startswith(names)]
        return found if len(found) == len(names) else []

    return await until(all_there, f"{', '.join(names)} are connected")
