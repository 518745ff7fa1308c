"""`pullwork health`: 0 for what is well, 1 and a reason for what is not."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from cli_world import Result, process, run, until


@pytest.fixture
def free() -> str:
    """An address of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def lonely(free: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address at which a worker without a master answers, as its own settings say it."""
    monkeypatch.setenv("PULLWORK_WORKER_HEALTH_LISTEN", free)
    flags = ("--tasks", "cli_tasks", "--address", "127.0.0.1:1", "--health-listen", free)
    with process("pullwork_worker", *flags):
        until(lambda: run("health", "--address", free).code == 0, "the worker answers")
        yield free


def test_a_master_that_serves_is_well(pullwork: Callable[..., Result], address: str) -> None:
    assert pullwork("health").out == f"the master at {address}: SERVING\n"
    assert pullwork("health", "--service", "pullwork.v1.TaskService").code == 0


def test_where_nobody_listens_nobody_is_well(free: str) -> None:
    result = run("health", "--address", free)
    assert result.code == 1
    assert f"the master at {free}: it can't be reached" in result.err


def test_a_service_that_is_not_there_is_named(pullwork: Callable[..., Result]) -> None:
    result = pullwork("health", "--service", "nonsense")
    assert (result.code, "there is no service 'nonsense'" in result.err) == (1, True)


def test_a_master_is_asked_where_its_own_settings_have_it_listen(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere = f"0.0.0.0:{address.rpartition(':')[2]}"
    monkeypatch.setenv("PULLWORK_MASTER_LISTEN", everywhere)
    monkeypatch.setenv("PULLWORK_ADDRESS", "127.0.0.1:1")
    assert run("health", "master").out == f"the master at {address}: SERVING\n"


def test_a_worker_without_a_master_is_alive_and_not_well(lonely: str) -> None:
    assert run("health", "worker", "--service", "").code == 0
    result = run("health", "worker")
    assert result.code == 1
    assert f"the worker at {lonely}, service connected: NOT_SERVING" in result.err
    assert "a worker has ''" in run("health", "worker", "--service", "x").err


def test_a_worker_with_a_master_is_well(
    address: str, free: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLWORK_WORKER_HEALTH_LISTEN", free)
    flags = ("--tasks", "cli_tasks", "--address", address, "--health-listen", free)
    with process("pullwork_worker", *flags):
        until(lambda: run("health", "worker").code == 0, "the worker is connected")


def test_a_worker_that_answers_no_checks_is_not_asked() -> None:
    result = run("health", "worker")
    assert result.code == 2
    assert "PULLWORK_WORKER_HEALTH_LISTEN" in result.err


def test_a_worker_can_not_answer_where_another_listens(address: str) -> None:
    flags = ("--tasks", "pullwork.demo.tasks", "--health-listen", address)
    ended = subprocess.run(
        [sys.executable, "-m", "pullwork_worker", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert f"worker.health_listen: can't listen on {address}" in ended.stderr
