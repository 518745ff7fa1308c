"""The program as a whole: help, settings, errors, services that do not import, and speed."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from cli_world import MAIN, run
from typer.main import get_command

from pullwork.cli import group
from pullwork.cli.exits import ExitCode, exit_code_of
from pullwork.cli.main import make_app
from pullwork.errors import (
    DeadlineError,
    InternalError,
    InvalidFieldError,
    PayloadError,
    PullworkError,
    QueueFullError,
    QueueNotFoundError,
    SettingsError,
    ShuttingDownError,
    TaskCancelledError,
    TaskEndedError,
    TaskFailedError,
    TaskIdConflictError,
    UnavailableError,
)

COMMANDS = (
    *("apply", "nodes", "services"),
    *("cancel", "config", "demo", "drain", "evict", "explain", "get", "health", "list", "master"),
    *("members", "queues", "retry", "run", "submit", "version", "wait", "watch", "worker"),
    "workers",
)


def shell(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def a_free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_help_lists_every_command_and_exit_code() -> None:
    result = run("--help")
    assert result.code == 0
    said = " ".join(result.out.split())
    assert [command for command in COMMANDS if f" {command} " not in said] == []
    assert [code for code in ExitCode if f"{code.value} {code.meaning}" not in said] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    assert "Usage: pullwork" in result.out


@pytest.mark.parametrize("command", ["worker", "queues limit", "conformance", "demo"])
def test_help_breaks_its_lines_where_the_terminal_ends(command: str) -> None:
    """A line break of the source in the middle of a sentence would leave a short line behind."""
    ended = shell(*command.split(), "--help", COLUMNS="80")
    lines = [line.strip() for line in ended.stdout.partition("╭")[0].splitlines()]
    for line, following in itertools.pairwise(lines):
        if line and following:
            assert len(f"{line} {following.split()[0]}") > 76, line


def test_every_option_is_explained() -> None:
    def mute(command: Any, name: str) -> list[str]:
        inner = getattr(command, "commands", {}).items()
        options = [each for each in command.params if each.param_type_name == "option"]
        own = [f"{name} {each.opts[0]}" for each in options if not each.help]
        return own + [each for key, child in inner for each in mute(child, f"{name} {key}")]

    root = get_command(make_app())
    services = [group.RootGroup()._load(entry) for entry in group.service_entries().values()]
    assert mute(root, "pullwork") + [each for it in services for each in mute(it, it.name)] == []


def test_the_version_is_told_by_a_flag_too() -> None:
    assert run("--version").out == run("version").out != ""


def test_help_is_quick_because_services_are_not_imported() -> None:
    """Counts processor time, best of three, so that a busy machine does not decide."""
    took = []
    for _ in range(3):
        before = os.times()
        assert shell("--help").returncode == 0
        after = os.times()
        took.append(sum(after[2:4]) - sum(before[2:4]))
    assert min(took) < 0.6
    code = (
        "import sys; from pullwork.cli.main import make_app; make_app(); "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('grpc', 'pydantic', 'pullwork_master', 'pullwork_worker', 'google')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_a_mistyped_command_is_told_with_the_near_one() -> None:
    result = run("lits")
    assert result.code == 2
    assert "list" in result.err


def test_no_master_ends_with_4_and_says_what_to_do() -> None:
    address = f"127.0.0.1:{a_free_port()}"
    result = shell("list", "--address", address, PULLWORK_CLIENT_TIMEOUT="200ms")
    assert (result.returncode, result.stdout) == (4, "")
    assert address in result.stderr
    assert "pullwork master" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_ctrl_c_ends_with_130_and_no_traceback() -> None:
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    with silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        program = subprocess.Popen(
            [sys.executable, "-c", MAIN, "list", "--address", address],
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(20)
        connection, _ = silent.accept()
        with connection:
            program.send_signal(signal.SIGINT)
            _, err = program.communicate(timeout=20)
    assert (program.returncode, err) == (130, "pullwork: interrupted\n")


def test_a_bad_setting_ends_with_2() -> None:
    result = shell("list", PULLWORK_CLIENT_TIMEOUT="soon")
    assert result.returncode == 2
    assert "PULLWORK_CLIENT_TIMEOUT" in result.stderr
    result = shell("list", "--address", "nowhere")
    assert result.returncode == 2
    assert "--address" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["worker", "--slots", "0", "--tasks", "cli_tasks"], "--slots"),
        (["worker", "--slots", "many"], "--slots"),
        (["worker", "--address", "nowhere"], "--address"),
        (["worker", "--tasks", "no.such.module"], "no.such.module"),
        (["worker"], "--tasks"),
        (["master", "--listen", "nowhere"], "--listen"),
        (["master", "--heartbeat", "soon"], "--heartbeat"),
        (["master", "--config", "no-such-file"], "no-such-file"),
    ],
)
def test_a_service_that_can_t_be_set_up_says_why(arguments: list[str], said: str) -> None:
    result = shell(*arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_service_that_does_not_import_breaks_only_its_own_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def entries() -> dict[str, EntryPoint]:
        return {"ruin": EntryPoint("ruin", "no_such_module:command", group.GROUP)}

    monkeypatch.setattr(group, "service_entries", entries)
    monkeypatch.setattr("pullwork.cli.main.service_entries", entries)
    assert run("version").code == 0
    assert "ruin" in run("--help").out
    result = run("ruin")
    assert result.code == 6
    assert "no_such_module" in result.err


def test_a_bug_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("pullwork.settings.Known", broken)
    result = run("config")
    assert result.code == 6
    assert len(result.err.splitlines()) == 1
    assert "ZeroDivisionError: oops" in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TaskFailedError("x"), 1),
        (TaskCancelledError("x"), 1),
        (InvalidFieldError("x"), 2),
        (PayloadError("x"), 2),
        (SettingsError("x"), 2),
        (QueueNotFoundError("x"), 3),
        (UnavailableError("x"), 4),
        (ShuttingDownError("x"), 4),
        (DeadlineError("x"), 4),
        (TaskIdConflictError("x"), 5),
        (TaskEndedError("x"), 5),
        (QueueFullError("x"), 5),
        (PullworkError("x"), 5),
        (InternalError("x"), 6),
        (ValueError("x"), 6),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert exit_code_of(error) == code


def test_an_error_in_a_group_is_told_as_itself(capsys: pytest.CaptureFixture[str]) -> None:
    error = ExceptionGroup("several", [ExceptionGroup("inner", [UnavailableError("gone")])])
    assert group.tell(error) == ExitCode.UNREACHABLE
    assert capsys.readouterr().err == "pullwork: gone\n"


def test_version_is_told() -> None:
    assert run("version").out.startswith("pullwork ")
    assert set(run("version", "--json").json) == {"pullwork", "grpcio", "protobuf", "python"}


def test_the_template_is_a_file_of_the_defaults(tmp_path: Path) -> None:
    template = run("config").out
    assert tomllib.loads(template) == {"client": {}, "master": {}, "worker": {}}
    # Every key with a fixed default, as if a person took its # away.
    lines = [
        line[1:]
        if line.startswith("#") and not line.startswith("# ") and " =   #" not in line
        else line
        for line in template.splitlines()
    ]
    file = tmp_path / "all.toml"
    file.write_text("\n".join(lines))
    assert run("config", "--check", str(file)).code == 0
    for section in run("config", "--json").json:
        for setting in section["settings"]:
            assert f"\n#{setting['name']} =" in template
            assert setting["variable"] in template
            assert setting["meaning"], f"{setting['name']} says nothing of itself"


def test_check_tells_each_fault_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[client]\nadress = 'a:1'\n[worker]\nslots = 0\n")
    result = run("config", "--check", str(file))
    assert result.code == 2
    assert "did you mean address?" in result.err
    assert "worker.slots" in result.err


def test_show_tells_where_each_value_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.toml"
    file.write_text("[client]\ntimeout = '3s'\n")
    monkeypatch.setenv("PULLWORK_ADDRESS", "m:1")
    shown = run("config", "--show", "--config", str(file), "--json").json
    rows = {row["setting"]: (row["value"], row["from"]) for row in shown}
    assert rows["client.address"] == ('"m:1"', "PULLWORK_ADDRESS")
    assert rows["client.timeout"] == ('"3s"', f"{file}: client.timeout")
    assert rows["master.listen"][1] == "default"
    assert "client.timeout" in run("config", "--show", "--config", str(file)).out


def test_completion_is_offered_and_silent_without_a_master() -> None:
    words = {"_PULLWORK_COMPLETE": "complete_bash", "COMP_CWORD": "1", "COMP_WORDS": "pullwork wa"}
    result = shell(**words)
    assert set(result.stdout.split()) == {"wait", "watch"}
    nobody = {"PULLWORK_ADDRESS": f"127.0.0.1:{a_free_port()}"}
    queue = {**words, "COMP_WORDS": "pullwork list --queue ", "COMP_CWORD": "3", **nobody}
    result = shell(**queue)
    assert (result.stdout.strip(), result.stderr) == ("", "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -c '{MAIN}' config | head -1"
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.stderr == ""
    assert json.dumps(result.stdout).count("\\n") == 1
