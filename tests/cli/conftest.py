"""A real master and worker for the command line to talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from cli_world import Result, process, run, until


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running master."""
    folder = tmp_path_factory.mktemp("master")
    ready = folder / "ready"
    arguments = ("--listen", "127.0.0.1:0", "--data", str(folder / "data"))
    with process("pullwork_master", *arguments, "--ready-file", str(ready)) as master:
        until(lambda: ready.exists() or master.poll() is not None, "the master serves")
        yield ready.read_text().strip()


@pytest.fixture(scope="module")
def worker(address: str) -> Iterator[str]:
    """The name of a worker of that master."""
    name = "clerk"
    arguments = ("--tasks", "cli_tasks", "--name", name, "--slots", "4", "--address", address)
    with process("pullwork_worker", *arguments):
        until(lambda: name in run("workers", "--address", address).out, "the worker registers")
        yield name


@pytest.fixture
def pullwork(address: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line, set to talk to the master."""
    monkeypatch.setenv("PULLWORK_ADDRESS", address)
    return run
