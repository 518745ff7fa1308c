"""What a worker can do, and what it says of modules and commands that can't be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pullwork.errors import SettingsError
from pullwork_worker.config import WorkerSettings
from pullwork_worker.loading import load_abilities
from pullwork_worker.machine import Kind

MODULES = {
    "good": "from pullwork import task\n@task(type='a')\ndef a() -> None: ...\n",
    "twin": "from pullwork import task\n@task(type='a')\ndef b() -> None: ...\n",
    "mixed": (
        "from pullwork import task\n"
        "@task(type='p')\ndef p() -> None: ...\n"
        "@task(type='c')\nasync def c() -> None: ...\n"
        "@task(type='t', executor='thread')\ndef t() -> None: ...\n"
    ),
    "empty": "x = 1\n",
    "typo": "def f(:\n",
    "raises": "raise RuntimeError('no database')\n",
    "exits": "import sys; sys.exit('bye')\n",
    "needs": "import no_such_library\n",
    "lambda_": "from pullwork import task\nf = task(type='f')(lambda: 1)\n",
}


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def test_each_function_runs_where_it_says() -> None:
    abilities = load_abilities(WorkerSettings(tasks=["mixed"], commands={"x": "cat -n"}))
    assert abilities.kinds() == {
        "p": Kind.CHILD,
        "c": Kind.LOOP,
        "t": Kind.THREAD,
        "x": Kind.COMMAND,
    }
    assert abilities.commands["x"].argv == ("cat", "-n")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["nothing that this worker can do", "--tasks"]),
        ({"tasks": ["no_such_module"]}, ["there is no module 'no_such_module'"]),
        ({"tasks": ["good.py"]}, ["good.py", "not a file's"]),
        ({"tasks": ["empty"]}, ["'empty' has no tasks", "@task"]),
        ({"tasks": ["typo"]}, ["'typo' does not import", "(typo.py, line 1); try `python -c"]),
        ({"tasks": ["raises"]}, ["'raises' does not import", "no database", "line 1"]),
        ({"tasks": ["exits"]}, ["'exits' does not import", "bye"]),
        ({"tasks": ["needs"]}, ["'needs' does not import", "no_such_library", "install"]),
        ({"tasks": ["lambda_"]}, ["'lambda_' can't be used"]),
        ({"tasks": ["good", "twin"]}, ["'a' is there twice", "good.a", "twin.b"]),
        ({"tasks": ["good"], "commands": {"a": "cat"}}, ["both a command and the function"]),
        ({"commands": {"a": "cat 'x"}}, ["'a'", "can't be read"]),
        ({"commands": {"a": ""}}, ["'a'", "empty"]),
        ({"commands": {"a": "no-such-program -x"}}, ["'a'", "'no-such-program'", "PATH"]),
    ],
)
def test_what_can_not_be_used_is_named_with_the_remedy(
    settings: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        load_abilities(WorkerSettings.model_validate(settings))
    for word in words:
        assert word in str(caught.value)


def test_the_same_module_twice_is_no_harm() -> None:
    assert set(load_abilities(WorkerSettings(tasks=["good", "good"])).tasks) == {"a"}
