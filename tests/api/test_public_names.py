"""What `pullwork` offers, and what importing it costs a process that only runs functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pullwork


def test_every_public_name_is_there() -> None:
    for name in pullwork.__all__:
        assert getattr(pullwork, name) is not None
    assert set(pullwork.__all__) <= set(dir(pullwork))


def test_what_editors_see_is_what_is_loaded() -> None:
    assert pullwork.__file__ is not None
    body = ast.parse(Path(pullwork.__file__).read_text()).body
    (block,) = [node for node in body if isinstance(node, ast.If)]
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    loaded = {name: f"pullwork.{home}" for name, home in pullwork._HOME.items()}
    assert seen == loaded


def test_a_name_that_is_not_there_is_said_so() -> None:
    assert not hasattr(pullwork, "Clinet")


def test_running_functions_loads_no_grpc() -> None:
    script = (
        "import sys, pullwork.tasks, pullwork.payload, pullwork.context\n"
        "from pullwork import task, current, Retry\n"
        "@task(executor='thread')\n"
        "def add(a: int) -> int: return a\n"
        "add.with_args(1)\n"
        "loaded = {'grpc', 'google.protobuf', 'asyncio.sslproto'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
