"""What the worker's command says of flags that can't be used: one line, and exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "nothing that this worker can do"),
        (["--command", "shout"], "--command can't be 'shout': write type=program argument …"),
        (["--command", "a=no-such-program -x"], "there is no program 'no-such-program'"),
        (["--command", "a="], "name a program"),
        (["--label", "=7"], "--label can't be '=7': write name=value"),
        (["--slots", "0", "--tasks", "x"], "from 1 up to 10000"),
        (["--address", "nowhere", "--tasks", "x"], "host:port"),
        (["--memory-limit", "1MiB", "--tasks", "x"], "memory_limit"),
        (["--tasks", "no_such_module"], "there is no module 'no_such_module'"),
    ],
)
def test_a_flag_that_can_not_be_used_is_named(flags: list[str], words: str) -> None:
    program = [sys.executable, "-m", "pullwork_worker", *flags]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr
