"""A node of processes for the command line, and programs that it keeps running."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
from cli_world import process, run, until

SERVE = ["sh", "-c", 'exec python3 -m http.server "$PORT"']
IDLE = ["sh", "-c", "echo up; exec sleep 600"]
ENDS = ["sh", "-c", "echo no milk; exit 3"]
QUICK = ["--stop-grace", "1s"]


def programs(state: Path) -> list[psutil.Process]:
    """Returns the processes that work below a folder."""
    found = []
    for it in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if it.cwd().startswith(str(state)) and it.status() != psutil.STATUS_ZOMBIE:
                found.append(it)
    return found


@contextlib.contextmanager
def node(name: str, address: str, state: Path, *flags: str) -> Iterator[str]:
    """Runs a worker that offers processes, and leaves none of its programs behind."""
    arguments = ("--offer", "process", "--node", name, "--state", str(state), "--address", address)
    with process("pullwork_worker", *arguments, *flags):
        until(lambda: name in run("nodes", "--address", address).out, "the node registers")
        yield name
        for service in run("services", "list", "--json", "--address", address).json:
            run("services", "delete", service["name"], "--yes", "--address", address)
        with contextlib.suppress(AssertionError):
            until(lambda: not programs(state), "its programs are gone")
    for it in programs(state):
        with contextlib.suppress(psutil.Error):
            it.kill()


def read(address: str) -> str:
    """Returns what a web program answers."""
    with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
        said: bytes = answer.read()
        return said.decode()
