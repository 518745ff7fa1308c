"""`apply` against a real master and node: what a file says comes to be, whole or not at all."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_world import MAIN, Result, run, until
from node_world import node

from pullwork import Client
from pullwork.cli.apply_plan import make_plan
from pullwork.cli.exits import ExitCode
from pullwork.cli.rollout import Waiting
from pullwork.cli.service_file import read_services

pytestmark = pytest.mark.service

Pullwork = Callable[..., Result]

TWO = """
services:
  alpha:
    command: [sh, -c, "exec sleep 600"]
    stop_grace: 1s
    labels: {app: shop}
  beta:
    command: [sh, -c, "exec sleep 600"]
    instances: 2
    stop_grace: 1s
    env: {LEVEL: 1.10}
    labels: {app: shop}
"""
CRASHES = "  crash:\n    command: [sh, -c, 'echo no bread; exit 1']\n    labels: {app: shop}\n"


@pytest.fixture(scope="module", autouse=True)
def _node(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with node("desk", address, tmp_path_factory.mktemp("state")):
        yield


@pytest.fixture(autouse=True)
def _none_before(address: str) -> None:
    for it in run("services", "--json", "--address", address).json:
        run("services", "delete", it["name"], "--yes", "--address", address)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "services.yaml"
    written.write_text(TWO)
    return written


def names(pullwork: Pullwork) -> list[str]:
    return [it["name"] for it in pullwork("services", "--json").json]


def spec(pullwork: Pullwork, name: str) -> dict[str, Any]:
    told: dict[str, Any] = pullwork("services", "get", name, "--json").json["spec"]
    return told


def test_what_a_file_says_comes_to_be_and_the_second_time_nothing_is_done(
    pullwork: Pullwork, file: Path
) -> None:
    shown = pullwork("apply", "-f", str(file), "--dry-run")
    assert shown.code == 1
    assert "+ alpha: new" in shown.out
    assert "    + env.LEVEL: 1.10" in shown.out
    assert names(pullwork) == []
    refused = pullwork("apply", "-f", str(file))
    assert (refused.code, "add --yes" in refused.err) == (2, True)
    assert names(pullwork) == []
    done = pullwork("apply", "-f", str(file), "--yes")
    assert done.code == 0, done.err
    assert "alpha: 1 of 1 instances healthy\nbeta: 2 of 2 instances healthy\n" in done.out
    revisions = [it["revision"] for it in pullwork("services", "--json").json]
    again = pullwork("apply", "-f", str(file))
    assert (again.code, again.out) == (0, "= alpha, beta: as it is wanted\n")
    assert pullwork("apply", "-f", str(file), "--diff").code == 0
    assert [it["revision"] for it in pullwork("services", "--json").json] == revisions


def test_a_change_is_shown_and_made_and_the_rest_left_alone(pullwork: Pullwork, file: Path) -> None:
    pullwork("apply", "-f", str(file), "--yes")
    pullwork("services", "scale", "alpha", "2")
    file.write_text(TWO.replace("1.10", "1.20").replace("instances: 2", "instances: 1"))
    done = pullwork("apply", "-f", str(file), "--yes")
    assert done.code == 0, done.err
    assert "~ beta: changes, which replaces its instances one by one" in done.out
    assert "    ~ env.LEVEL: 1.10 → 1.20\n" in done.out
    assert "    ~ instances: 2 → 1\n" in done.out
    assert "= alpha: as it is wanted" in done.out
    assert spec(pullwork, "beta")["env"] == {"LEVEL": "1.20"}
    # A file that does not say how many leaves them as many as they are.
    assert spec(pullwork, "alpha")["instances"] == 2


def test_what_a_file_says_no_more_takes_its_default(pullwork: Pullwork, file: Path) -> None:
    pullwork("apply", "-f", str(file), "--yes")
    file.write_text(TWO.replace("    env: {LEVEL: 1.10}\n", ""))
    done = pullwork("apply", "-f", str(file), "--yes", "--json")
    [change] = done.json["changes"]
    assert (change["service"], change["action"], change["end"]) == ("beta", "update", "settled")
    assert change["differences"] == ["- env.LEVEL: 1.10"]
    assert done.json["same"] == ["alpha"]
    assert spec(pullwork, "beta")["env"] == {}


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("instances: 2", "line 9: beta.instances is -2; it must be from 0 to 10000"),
        ("env: {LEVEL: 1.10}", "line 11: beta.env has the name 'A=B'"),
    ],
)
def test_a_file_of_which_the_master_refuses_a_part_changes_nothing(
    pullwork: Pullwork, file: Path, broken: str, said: str
) -> None:
    wrong = {"instances: 2": "instances: -2", "env: {LEVEL: 1.10}": "env: {'A=B': x}"}
    file.write_text(TWO.replace(broken, wrong[broken]))
    done = pullwork("apply", "-f", str(file), "--yes")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert names(pullwork) == []


def test_what_fails_is_named_and_what_was_to_follow_is_not_touched(
    pullwork: Pullwork, file: Path
) -> None:
    last = "  omega:\n    command: [sleep, '600']\n    labels: {app: shop}\n"
    file.write_text(TWO + CRASHES + last)
    done = pullwork("apply", "-f", str(file), "--yes")
    assert done.code == 1
    assert "crash: 0 of 1 instances healthy" in done.err
    assert "    no bread" in done.err
    assert "nothing was changed of omega; the same command goes on from here" in done.err
    assert names(pullwork) == ["alpha", "beta", "crash"]


def test_pruning_deletes_only_what_has_the_label_and_is_in_no_file(
    pullwork: Pullwork, file: Path
) -> None:
    pullwork("services", "create", "other", "--no-wait", "--", "sleep", "600")
    pullwork("apply", "-f", str(file), "--yes")
    file.write_text(TWO.partition("  beta:")[0])
    shown = pullwork("apply", "-f", str(file), "--prune", "app=shop", "--dry-run")
    assert (shown.code, "- beta: in no file, is deleted" in shown.out) == (1, True)
    assert pullwork("apply", "-f", str(file), "--prune", "app=shop", "--yes").code == 0
    assert names(pullwork) == ["alpha", "other"]
    for wrong in ("app", "team=a"):
        refused = pullwork("apply", "-f", str(file), "--prune", wrong, "--yes")
        assert (refused.code, "--prune" in refused.err) == (2, True)
    assert names(pullwork) == ["alpha", "other"]


def test_stdin_and_several_files_are_one(pullwork: Pullwork, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("services: {alpha: {command: [sleep, '600']}}")
    text = '{"services": {"beta": {"command": ["sleep", "600"]}}}'
    words = ("-f", str(tmp_path / "a.yaml"), "-f", "-", "--yes", "--no-wait")
    assert pullwork("apply", *words, stdin=text).code == 0
    assert names(pullwork) == ["alpha", "beta"]
    assert pullwork("apply").code == 2
    assert pullwork("apply", "-f", str(tmp_path / "none.yaml")).code == 2


def test_at_a_terminal_it_asks_and_shows_a_live_table(
    pullwork: Pullwork, address: str, file: Path
) -> None:
    master, slave = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", MAIN, "apply", "-f", str(file), "--address", address],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(slave)
    said = b""
    try:
        until_said = b"Make these 2 changes? [y/N]"
        while until_said not in said:
            said += os.read(master, 4096)
        assert names(pullwork) == []
        os.write(master, b"y\n")
        while b"beta: 2 of 2 instances healthy" not in said:
            said += os.read(master, 4096)
        assert program.wait(30) == 0
    finally:
        program.kill()
        os.close(master)
    assert b"\x1b[" in said
    assert b"STARTING" in said or b"HEALTHY" in said


def test_ctrl_c_says_what_goes_on_and_what_was_not_touched(
    pullwork: Pullwork, address: str, file: Path
) -> None:
    file.write_text(TWO.replace("labels:", "placement: {constraints: {disk: tape}}\n    labels:"))
    program = subprocess.Popen(
        [sys.executable, "-c", MAIN, "apply", "-f", str(file), "--yes", "--address", address],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert program.stderr is not None
    for line in program.stderr:
        if "alpha waits: " in line:
            break
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=30)
    assert program.returncode == 130
    assert "alpha goes on; " in said
    assert "nothing was changed of beta" in said
    assert names(pullwork) == ["alpha"]


async def test_what_somebody_changed_since_it_was_shown_is_not_undone(
    address: str, file: Path, tmp_path: Path
) -> None:
    quietly = Waiting(wait=False, patience_s=None, quiet=True)
    changed = tmp_path / "changed.yaml"
    changed.write_text(TWO.replace("1.10", "1.20"))
    async with Client(address, deadline=10) as client:
        await (await make_plan(client, read_services([str(file)]), None)).perform(client, quietly)
        plan = await make_plan(client, read_services([str(changed)]), None)
        await client.services.scale("beta", 5)
        await plan.perform(client, quietly)
        assert plan.stopped is ExitCode.REFUSED
        assert [(it.name, it.end) for it in plan.changes] == [("beta", "refused")]
        found = (await client.services.get("beta")).spec
        assert (found.instances, dict(found.env or {})) == (5, {"LEVEL": "1.10"})


def test_no_at_a_terminal_changes_nothing(pullwork: Pullwork, address: str, file: Path) -> None:
    master, slave = pty.openpty()
    program = subprocess.Popen(
        [sys.executable, "-c", MAIN, "apply", "-f", str(file), "--address", address],
        stdin=slave,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    os.close(slave)
    try:
        os.write(master, b"n\n")
        _, said = program.communicate(timeout=30)
    finally:
        program.kill()
        os.close(master)
    assert program.returncode != 0
    assert b"Make these 2 changes?" in said
    assert until(lambda: names(pullwork) == [], "nothing was made")
