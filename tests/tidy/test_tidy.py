"""Every rule holds for the repository, and every rule catches a violation planted for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import rules
from tree import Tree

Rule = Callable[[Tree], Iterator[str]]

PYPROJECT = '[project]\nversion = "0.1.0"\n'
LONG_BODY = "".join(f"    x = {number}\n" for number in range(60))

# For each rule: trees that break it. They are small, and break it in one way each.
PLANTED: list[tuple[Rule, dict[str, str]]] = [
    (rules.no_file_is_long, {"tests/a.py": "x = 1\n" * 401}),
    (rules.no_file_is_long, {"proto/a.proto": "// a\n" * 401}),
    (rules.no_function_is_long, {"tests/a.py": "def f():\n" + LONG_BODY}),
    (
        rules.no_function_is_long,
        {"tests/a.py": "class A:\n async def f():\n  x = [\n" + "1,\n" * 60 + "]"},
    ),
    (rules.no_name_is_empty, {"shared/pullwork/utils.py": ""}),
    (rules.no_name_is_empty, {"shared/pullwork/common/a.py": ""}),
    (rules.no_name_is_empty, {"shared/pullwork/a.py": "class TaskManager: ..."}),
    (rules.no_name_is_empty, {"shared/pullwork/a.py": "def misc_things(): ..."}),
    (rules.nothing_is_left_undone, {"tests/a.py": "x = 1  # TO" + "DO: two"}),
    (rules.nothing_is_left_undone, {"docs/a.md": "FIX" + "ME"}),
    (rules.no_test_sleeps, {"tests/a.py": "import time\ndef test_a():\n    time.sleep(1)"}),
    (rules.no_test_sleeps, {"tests/a.py": "async def test_a():\n    await asyncio.sleep(0.1)"}),
    (rules.no_test_sleeps, {"tests/a.py": "from time import sleep\nsleep(1)"}),
    (rules.no_machine_is_named, {"Makefile": "x:\n\tcp /ro" + "ot/x ."}),
    (rules.no_machine_is_named, {"docs/a.md": "in `/ho" + "me/somebody/x`"}),
    (
        rules.no_machine_is_named,
        {"Makefile": "x:\n\tcurl https:" + "//registry.example.org/simple"},
    ),
    (
        rules.no_machine_is_named,
        {"examples/package-lock.json": '  "resolved": "https:' + '//registry.example.org/x.tgz"'},
    ),
    (rules.every_link_resolves, {"docs/a.md": "[b](b.md)"}),
    (rules.every_link_resolves, {"docs/a.md": "[b](../x/b.md)", "docs/b.md": ""}),
    (rules.every_link_resolves, {"docs/a.md": "[b](b.md#two)", "docs/b.md": "# One\n"}),
    (rules.every_link_resolves, {"docs/a.md": "[b](#two)\n# One"}),
    (rules.every_link_resolves, {"README.md": "![life](docs/life.svg)"}),
    (rules.every_page_is_found_from_the_index, {"docs/a.md": "", "docs/index.md": "[b](b.md)"}),
    (rules.every_decision_is_indexed, {"docs/adr/0001-a.md": "", "docs/adr/README.md": ""}),
    (
        rules.every_decision_is_indexed,
        {"docs/adr/0002-a.md": "", "docs/adr/README.md": "(0002-a.md)"},
    ),
    (rules.everything_public_says_what_it_is, {"shared/pullwork/a.py": "x = 1"}),
    (rules.everything_public_says_what_it_is, {"shared/pullwork/a.py": '"""A."""\ndef f(): ...'}),
    (rules.everything_public_says_what_it_is, {"shared/pullwork/a.py": '"""A."""\nclass F: ...'}),
    (
        rules.everything_public_says_what_it_is,
        {"shared/pullwork/a.py": '"""A."""\nclass F:\n    """F."""\n    def g(self): ...'},
    ),
    (rules.the_changelog_knows_this_version, {"pyproject.toml": PYPROJECT}),
    (
        rules.the_changelog_knows_this_version,
        {"pyproject.toml": PYPROJECT, "CHANGELOG.md": "## [0.0.9]\n"},
    ),
]

# What comes near to breaking a rule and does not.
ALLOWED: list[tuple[Rule, dict[str, str]]] = [
    (rules.no_file_is_long, {"shared/pullwork/v1/a_pb2.py": "x = 1\n" * 401}),
    (rules.no_name_is_empty, {"shared/pullwork/commonly_used.py": "class Communication: ..."}),
    (rules.no_test_sleeps, {"tests/a.py": "async def test_a():\n    await asyncio.sleep(0)"}),
    (rules.no_test_sleeps, {"tests/a.py": "def until(true):\n    time.sleep(0.01)"}),
    (rules.no_test_sleeps, {"shared/pullwork/a.py": "def f():\n    time.sleep(1)"}),
    (rules.no_machine_is_named, {"docs/a.md": "${HOME}/work/x and http://127.0.0.1:8080/home"}),
    (
        rules.no_machine_is_named,
        {"examples/package-lock.json": '        "url": "https:' + '//sponsors.example.org/x"'},
    ),
    (rules.every_link_resolves, {"docs/a.md": "[b](b.md#a-b)", "docs/b.md": "## A b!\n"}),
    (rules.every_link_resolves, {"docs/a.md": "[b](adr)", "docs/adr/README.md": ""}),
    (rules.every_link_resolves, {"docs/a.md": "```\n[b](nowhere.md)\n```\n"}),
    (
        rules.everything_public_says_what_it_is,
        {"shared/pullwork/a.py": '"""A."""\ndef _f(): ...\nclass S:\n "S"\n def Get(self): ...'},
    ),
    (
        rules.no_machine_is_named,
        {"proto/google/api/http.proto": "// https:" + "//elsewhere.example.org/"},
    ),
]


def _label(planted: tuple[Rule, dict[str, str]]) -> str:
    return planted[0].__name__


@pytest.fixture(scope="module")
def real() -> Tree:
    return Tree.real()


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_repository_is_tidy(rule: Rule, real: Tree) -> None:
    broken = list(rule(real))
    assert not broken, "\n".join([rule.__doc__ or "", *broken])


@pytest.mark.parametrize(("rule", "texts"), PLANTED, ids=map(_label, PLANTED))
def test_a_planted_violation_is_caught(rule: Rule, texts: dict[str, str]) -> None:
    assert list(rule(Tree(texts)))


@pytest.mark.parametrize(("rule", "texts"), ALLOWED, ids=map(_label, ALLOWED))
def test_a_rule_leaves_alone_what_it_does_not_mean(rule: Rule, texts: dict[str, str]) -> None:
    assert list(rule(Tree(texts))) == []


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _ in PLANTED} == set(rules.RULES)


def test_the_real_tree_is_the_one_that_people_clone(real: Tree) -> None:
    assert {"Makefile", "README.md", ".ci/run", "tests/tidy/rules.py"} <= real.texts.keys()
    assert not any(path.startswith((".venv/", ".git/")) for path in real.texts)
