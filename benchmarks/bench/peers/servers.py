"""The servers that peers need, each on a free port of this machine, in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Final

from bench.process import BenchError, Process, wait_until

# Where Debian keeps the programs of PostgreSQL, off the path.
POSTGRES_FOLDERS: Final = Path("/usr/lib/postgresql")
POSTGRES_USER: Final = "postgres"


class Server(ABC):
    """One kind of server, from finding its program to its end."""

    program: str
    package: str
    stops_by = SIGTERM

    def __init__(self) -> None:
        self.process: Process | None = None
        self.port = 0

    @property
    def missing(self) -> str:
        """Says what is absent and what to do about it; empty if nothing is."""
        if self.found():
            return ""
        return f"{self.program} is not installed; remedy: apt-get install {self.package}"

    def found(self) -> str | None:
        """Returns the path of the program."""
        return shutil.which(self.program) or shutil.which(self.program, path="/usr/sbin")

    def start(self, folder: Path) -> str:
        """Starts it and returns what clients need to find it."""
        self.port = free_port()
        self.process = self.launch(folder)
        wait_until(self.serves, f"{self.program} serves", self.process)
        return self.url()

    @abstractmethod
    def launch(self, folder: Path) -> Process:
        """Starts the process."""

    @abstractmethod
    def url(self) -> str:
        """Returns what clients need to find it."""

    def serves(self) -> bool:
        """Says whether it takes connections."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def version(self) -> str:
        """Returns what it says of itself."""
        told = subprocess.run(
            [str(self.found()), "--version"], capture_output=True, text=True, check=False
        )
        found = re.search(r"\d+(\.\d+)+", told.stdout + told.stderr)
        return f"{self.program} {found[0]}" if found else self.program

    def close(self) -> None:
        """Ends it."""
        if self.process is not None:
            self.process.stop(self.stops_by)


class Redis(Server):
    """Redis; in memory alone, or with each write synced before it is answered."""

    program = "redis-server"
    package = "redis-server"

    def __init__(self, *, durable: bool = False) -> None:
        super().__init__()
        self._durable = durable

    def launch(self, folder: Path) -> Process:
        """Starts it without snapshots."""
        keeps = ("--appendonly", "yes", "--appendfsync", "always") if self._durable else ()
        place = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder))
        return Process("redis", [str(self.found()), *place, "--save", "", *keeps], folder)

    def url(self) -> str:
        """Returns its first database."""
        return f"redis://127.0.0.1:{self.port}/0"


class Gearmand(Server):
    """Gearman's job server; jobs live in its memory."""

    program = "gearmand"
    package = "gearman-job-server"

    def launch(self, folder: Path) -> Process:
        """Starts it with its default four threads."""
        place = ("--listen", "127.0.0.1", "--port", str(self.port))
        files = ("--log-file", str(folder / "gearmand.out"), "--pid-file", str(folder / "pid"))
        return Process("gearmand", [str(self.found()), *place, *files], folder)

    def url(self) -> str:
        """Returns its port, which is all that our clients need."""
        return str(self.port)


class Postgres(Server):
    """PostgreSQL with its default settings, so it syncs each commit."""

    program = "postgres"
    package = "postgresql"
    stops_by = SIGINT

    def found(self) -> str | None:
        """Looks where Debian puts it, too."""
        newest = sorted(POSTGRES_FOLDERS.glob("*/bin/postgres"))
        return str(newest[-1]) if newest else shutil.which(self.program)

    def launch(self, folder: Path) -> Process:
        """Makes a cluster and starts it; not as root, which it refuses."""
        data = folder / "postgres"
        data.mkdir()
        user = None
        if os.geteuid() == 0:
            user = POSTGRES_USER
            shutil.chown(data, user)
            _let_pass(data)
        program = Path(str(self.found())).resolve()
        made = subprocess.run(
            [str(program.with_name("initdb")), "-D", str(data), "-U", "bench", "-A", "trust"],
            user=user,
            cwd=data,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise BenchError(f"initdb failed: {made.stderr.strip()}")
        place = ("-D", str(data), "-p", str(self.port), "-k", "", "-h", "127.0.0.1")
        return Process("postgres", [str(program), *place], folder, user=user)

    def serves(self) -> bool:
        """Asks whether it has started up; it listens before."""
        asks = Path(str(self.found())).resolve().with_name("pg_isready")
        place = ("-q", "-h", "127.0.0.1", "-p", str(self.port))
        return subprocess.run([str(asks), *place], check=False).returncode == 0

    def url(self) -> str:
        """Returns the database that every cluster has."""
        return f"postgresql://bench@127.0.0.1:{self.port}/postgres"


def free_port() -> int:
    """Returns a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def _let_pass(path: Path) -> None:
    """Lets other users through the folders of ours above, which were made for us alone."""
    for folder in path.parents:
        if folder.stat().st_uid != os.geteuid() or folder.stat().st_mode & 0o001:
            break
        folder.chmod(folder.stat().st_mode | 0o111)
