"""`services` and `nodes` against a real master and a real node: what they say, how they end."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from cli_world import MAIN, Result, run, until
from node_world import ENDS, IDLE, QUICK, SERVE, node, programs, read

from pullwork.cli.complete import complete_instance, complete_service, complete_worker
from pullwork.cli.rollout import is_settled
from pullwork.cli.service_tables import ROWS_MAX, picture, print_instances
from pullwork.service_info import InstanceInfo, ServiceInfo
from pullwork.v1 import service_pb2

pytestmark = pytest.mark.service

Pullwork = Callable[..., Result]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module", autouse=True)
def _node(address: str, state: Path) -> Iterator[None]:
    with node("desk", address, state, "--label", "disk=ssd"):
        yield


@pytest.fixture
def name(request: pytest.FixtureRequest, address: str) -> Iterator[str]:
    """The name of a service of this test's own, which is deleted with it."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    made = words[:36].strip("-")
    yield made
    run("services", "delete", made, "--yes", "--address", address)


def shell(address: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments, "--address", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# --- create


def test_create_waits_until_healthy_and_says_where(pullwork: Pullwork, name: str) -> None:
    made = pullwork(
        *("services", "create", name, "-n", "2", "--port", "http", "--health", "http:/"),
        *(*QUICK, "--", *SERVE),
    )
    assert made.code == 0, made.err
    assert made.out.startswith(f"{name}: 2 of 2 instances healthy\n")
    assert f"{name}-1 STARTING on desk" in made.err
    assert f"{name}-1 HEALTHY on desk at 127.0.0.1:" in made.err
    [first, second] = re.findall(r"127\.0\.0\.1:\d+", made.out)
    assert first != second
    assert "Directory listing" in read(first)
    assert pullwork("services", "instances", name).out.count("HEALTHY") == 2


def test_create_tells_programs_in_json(pullwork: Pullwork, name: str) -> None:
    made = pullwork("services", "create", name, *QUICK, "--json", "--", *IDLE)
    assert (made.code, made.err) == (0, "")
    told = made.json
    assert (told["name"], told["healthy"], told["rollout"]["state"]) == (name, 1, "DONE")
    assert told["spec"]["command"] == IDLE


def test_create_need_not_wait(pullwork: Pullwork, name: str) -> None:
    made = pullwork("services", "create", name, *QUICK, "--no-wait", "--", *IDLE)
    assert (made.code, made.err) == (0, "")
    assert made.out.startswith(f"{name}: 1 instances wanted; `pullwork services watch {name}`")


def test_what_ends_again_and_again_is_told_with_its_last_words(
    pullwork: Pullwork, name: str
) -> None:
    made = pullwork("services", "create", name, *QUICK, "--", *ENDS)
    assert made.code == 1
    assert "what was started ends again and again" in made.err
    assert "    no milk" in made.err
    assert "3" in made.err


def test_what_has_no_place_is_told_with_the_reason(pullwork: Pullwork, name: str) -> None:
    made = pullwork(
        *("services", "create", name, "--constraint", "disk=tape", "--timeout", "3s"),
        *("--", *IDLE),
    )
    assert made.code == 7
    assert "0 of 1 instances healthy when the time was over; it goes on" in made.err
    assert "disk=tape" in made.err
    assert "PENDING" in pullwork("services", "instances", name).out
    assert "disk=tape" in pullwork("services", "list").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Web", "--", "true"], "name is 'Web'"),
        (["bad"], "name an image, or a command"),
        (["bad", "-n", "-1", "--", "true"], "spec.instances"),
        (["bad", "-n", "20000", "--", "true"], "spec.instances"),
        (["bad", "-n", "x", "--", "true"], "--instances can't be 'x'"),
        (["bad", "-p", "x y", "--", "true"], "--port can't be 'x y'"),
        (["bad", "-p", "99999", "--", "true"], "spec.ports[0]"),
        (["bad", "--health", "tcp:none", "--", "true"], "spec.health"),
        (["bad", "--health", "htp:/", "--", "true"], "--health can't be 'htp:/'"),
        (["bad", "--timeout", "soon", "--", "true"], "--timeout can't be 'soon'"),
        (["bad", "--env", "A", "--", "true"], "there is no such variable"),
    ],
)
def test_bad_input_is_refused_by_name_and_makes_nothing(
    pullwork: Pullwork, arguments: list[str], said: str
) -> None:
    before = pullwork("services", "--json").json
    result = pullwork("services", "create", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert result.err.count("pullwork: ") == 1, "one fault is told once"
    assert "Traceback" not in result.err
    assert pullwork("services", "--json").json == before


def test_a_name_that_is_taken_or_not_there_is_told(pullwork: Pullwork, name: str) -> None:
    pullwork("services", "create", name, *QUICK, "--no-wait", "--", *IDLE)
    again = pullwork("services", "create", name, "--", "true")
    assert again.code == 5
    assert name in again.err
    for words in (["get"], ["instances"], ["logs"], ["watch"], ["delete", "--yes"]):
        result = pullwork("services", words[0], "nobody", *words[1:])
        assert (words, result.code) == (words, 3)
        assert "nobody" in result.err
    assert pullwork("services", "scale", "nobody", "1").code == 3
    assert pullwork("services", "update", "nobody", "-n", "1").code == 3


def test_ctrl_c_leaves_the_service_as_it_is_and_says_so(
    pullwork: Pullwork, address: str, name: str
) -> None:
    program = shell(address, "services", "create", name, "--constraint", "disk=tape", "--", "true")
    until(lambda: pullwork("services", "get", name).code == 0, "it is made")
    assert program.stderr is not None
    for line in program.stderr:
        if "waits" in line:
            break
    program.send_signal(signal.SIGINT)
    _, said = program.communicate(timeout=30)
    assert program.returncode == 130
    assert f"{name} goes on; `pullwork services watch {name}`" in said
    assert pullwork("services", "get", name).code == 0


# --- scale, update, delete


def test_scaling_waits_and_zero_keeps_the_service(
    pullwork: Pullwork, name: str, state: Path
) -> None:
    pullwork("services", "create", name, *QUICK, "--", *IDLE)
    more = pullwork("services", "scale", name, "3")
    assert (more.code, more.out.splitlines()[0]) == (0, f"{name}: 3 of 3 instances healthy")
    none = pullwork("services", "scale", name, "0")
    assert (none.code, none.out) == (0, f"{name}: 0 of 0 instances healthy\n")
    assert pullwork("services", "get", name, "--json").json["spec"]["instances"] == 0
    assert pullwork("services", "instances", name, "--json").json == []
    assert pullwork("services", "scale", name, "-1").code == 2


def test_an_update_tells_what_changes_and_nothing_the_second_time(
    pullwork: Pullwork, name: str
) -> None:
    words = ("--cpus", "0.1", "--memory", "32MiB", "--env", "A=1")
    pullwork("services", "create", name, *QUICK, *words, "--", *IDLE)
    changed = pullwork("services", "update", name, "--memory", "64MiB", "--env", "B=2")
    assert changed.code == 0, changed.err
    assert "~ resources.memory_bytes: 32MiB → 64MiB" in changed.err
    assert "+ env.B: 2" in changed.err
    assert "- env.A: 1" in changed.err
    told = pullwork("services", "get", name, "--json").json
    assert told["spec"]["resources"] == {"cpus": 0.1, "memory_bytes": 64 * 2**20}
    again = pullwork("services", "update", name, "--memory", "64MiB")
    assert (again.code, f"{name} is so already" in again.err) == (0, True)
    nothing = pullwork("services", "update", name)
    assert (nothing.code, "say what to change" in nothing.err) == (2, True)


def test_an_update_that_fails_returns_and_says_why(pullwork: Pullwork, name: str) -> None:
    pullwork("services", "create", name, *QUICK, "--", *IDLE)
    [before] = pullwork("services", "instances", name, "--json").json
    # Long enough between its two ends that the first one's words are heard of.
    slowly = ["sh", "-c", "echo no milk; sleep 1; exit 3"]
    failed = pullwork("services", "update", name, "--", *slowly)
    assert failed.code == 1
    assert f"the change of {name} failed, what was there before is back" in failed.err
    assert "    no milk" in failed.err
    [after] = pullwork("services", "instances", name, "--json").json
    assert (after["id"], after["task_id"]) == (before["id"], before["task_id"])
    assert pullwork("services", "get", name, "--json").json["spec"]["command"] == IDLE
    # An old failure is none of what comes after it.
    assert pullwork("services", "scale", name, "2").code == 0


def test_delete_asks_first_and_leaves_no_program(
    pullwork: Pullwork, name: str, state: Path
) -> None:
    made = ["sh", "-c", f"exec sleep 600 # {name}"]
    pullwork("services", "create", name, *QUICK, "--", *made)

    def running() -> list[int]:
        found = []
        for it in programs(state):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ends while it is looked at
                if name in " ".join(it.environ().values()):
                    found.append(it.pid)
        return found

    assert len(running()) == 1
    refused = pullwork("services", "delete", name)
    assert (refused.code, "--yes" in refused.err) == (2, True)
    deleted = pullwork("services", "delete", name, "--yes")
    assert (deleted.code, deleted.out) == (0, f"{name} is deleted, and what ran of it is stopped\n")
    until(lambda: not running(), "its program is gone")
    assert pullwork("services", "get", name).code == 3


# --- look


def test_tables_show_what_there_is(pullwork: Pullwork, name: str) -> None:
    pullwork("services", "create", name, *QUICK, "--env", "A=1", "--", *IDLE)
    listed = pullwork("services").out
    assert name in listed
    assert "1/1" in listed
    shown = pullwork("services", "get", name).out
    for words in ("healthy", "1 of 1", "DONE", "env.A", "stop_grace", "1s", "sleep 600"):
        assert words in shown
    assert f"{name}-1" in pullwork("services", "instances").out
    nodes = pullwork("nodes")
    assert re.search(r"desk +connected +process", nodes.out)
    assert "disk=ssd" in nodes.out
    [told] = pullwork("nodes", "--json").json
    assert (told["name"], told["runners"], told["draining"]) == ("desk", ["process"], False)


def test_logs_are_told_by_instance(pullwork: Pullwork, name: str) -> None:
    counts = ["sh", "-c", "echo one; echo two; echo ' \033[31mred' >&2; exec sleep 600"]
    pullwork("services", "create", name, "-n", "2", *QUICK, "--", *counts)
    until(lambda: pullwork("services", "logs", name).out.count("red") == 2, "all is written")
    lines = pullwork("services", "logs", name, "-i", f"{name}-1").out.splitlines()
    assert sorted(lines) == [
        f"{name}-1 |  \\x1b[31mred",
        f"{name}-1 | one",
        f"{name}-1 | two",
    ]
    assert len(pullwork("services", "logs", name, "--tail", "1").out.splitlines()) == 2
    told = pullwork("services", "logs", name, "--json", "--instance", f"{name}-2").lines
    assert {(it["instance"], it["stderr"]) for it in told} == {
        (f"{name}-2", False),
        (f"{name}-2", True),
    }
    unknown = pullwork("services", "logs", name, "--instance", f"{name}-77")
    assert (unknown.code, f"{name}-77" in unknown.err) == (3, True)


def test_logs_are_followed_until_ctrl_c(pullwork: Pullwork, address: str, name: str) -> None:
    ticks = ["sh", "-c", "n=0; while :; do n=$((n+1)); echo tick $n; sleep 0.2; done"]
    pullwork("services", "create", name, *QUICK, "--", *ticks)
    program = shell(address, "services", "logs", name, "--follow", "--times", "--tail", "1")
    assert program.stdout is not None
    found = [int(next(program.stdout).rsplit(" ", 1)[1]) for _ in range(4)]
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=30)
    assert program.returncode == 130
    assert found == list(range(found[0], found[0] + 4))


def test_watch_tells_each_change(pullwork: Pullwork, address: str, name: str) -> None:
    pullwork("services", "create", name, *QUICK, "--", *IDLE)
    program = shell(address, "services", "watch", name)
    assert program.stdout is not None
    assert f"{name}-1 HEALTHY on desk" in next(program.stdout)
    pullwork("services", "scale", name, "2")
    for line in program.stdout:
        if f"{name}-2 HEALTHY" in line:
            break
    pullwork("services", "delete", name, "--yes")
    _, said = program.communicate(timeout=30)
    assert program.returncode == 3
    assert name in said


def test_a_live_picture_fits_a_screen_and_shows_what_is_not_well() -> None:
    def instance(number: int, state: str) -> InstanceInfo:
        told = service_pb2.Instance(id=f"web-{number}", service="web")
        told.state = service_pb2.InstanceState.Value(f"INSTANCE_STATE_{state}")
        return InstanceInfo.from_proto(told)

    many = [instance(number, "HEALTHY") for number in range(1, 500)]
    table = picture(None, [*many, instance(500, "FAILED")])
    ids = [str(cell) for cell in table.columns[0].cells]
    assert len(ids) == ROWS_MAX + 1
    assert (ids[0], ids[-1]) == ("web-500", f"[dim]and {500 - ROWS_MAX} more[/]")
    assert [str(cell) for cell in picture(None, many[:2]).columns[0].cells] == ["web-1", "web-2"]


def test_names_of_services_and_instances_are_completed(pullwork: Pullwork, name: str) -> None:
    pullwork("services", "create", name, *QUICK, "--", *IDLE)
    assert complete_service(name[:-2]) == [name]
    assert complete_instance(f"{name}-") == [f"{name}-1"]
    assert complete_service("no-such") == []
    assert complete_worker("pullwork.n") == ["pullwork.node/desk"]


def test_a_table_leaves_open_what_nobody_knows_any_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = service_pb2.Instance(id="web-1", service="web", node="desk", restarts=5)
    left.state = service_pb2.INSTANCE_STATE_STOPPING
    print_instances([InstanceInfo.from_proto(left)])
    assert re.search(r"\b0\b", capsys.readouterr().out) is None


def test_a_change_is_not_done_while_one_of_both_reports_says_otherwise() -> None:
    told = service_pb2.Service(healthy=2, running=2)
    told.spec.instances = 2
    told.rollout.state = service_pb2.ROLLOUT_STATE_DONE
    service = ServiceInfo.from_proto(told)

    def instance(state: str, *, disconnected: bool = False) -> InstanceInfo:
        made = service_pb2.Instance(id="web-1", disconnected=disconnected)
        made.state = service_pb2.InstanceState.Value(f"INSTANCE_STATE_{state}")
        return InstanceInfo.from_proto(made)

    well = instance("HEALTHY")
    assert is_settled(service, [well, well])
    assert is_settled(service, [well, well, instance("STOPPING", disconnected=True)])
    assert not is_settled(service, [well])
    assert not is_settled(service, [well, instance("STARTING")])
    assert not is_settled(service, [well, well, instance("STOPPING")])
