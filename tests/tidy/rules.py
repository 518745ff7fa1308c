"""The rules of style that a machine can check. Each takes a tree and tells what breaks it.

A rule that can't be planted is no rule: test_tidy.py breaks every one of them on purpose.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from posixpath import dirname, join, normpath

from tree import VENDORED, Tree

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
# Names that say where something was put, not what it is.
EMPTY_NAMES = {"util", "utils", "common", "helper", "helpers", "manager", "misc"}
UNFINISHED = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b")
# Whose machine it was is nobody's business, and the path is wrong everywhere else.
MACHINE_PATH = re.compile(r"(?<![\w.$}/~-])/(?:root|home|Users|work|mnt)/")
URL = re.compile(r"https?://([A-Za-z0-9.-]+)")
# Pages that docs may point to. No other host is named: a build asks its package client.
HOSTS = {
    "127.0.0.1",
    "localhost",
    "example.com",
    "buf.build",
    "docs.python.org",
    "github.com",
    "grpc.io",
    "keepachangelog.com",
    "opentelemetry.io",
    "protobuf.dev",
    "semver.org",
    "sqlite.org",
    "www.apache.org",
    "www.w3.org",
}
# A function with such a word in its name polls a condition: it may sleep between its looks.
POLLERS = {"until", "eventually", "wait", "poll"}
# What npm writes into a lock file about those who wrote a package; nothing is fetched from there.
FUNDING = re.compile(r'^ *"url": "')
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
ADR = re.compile(r"docs/adr/\d{4}-[a-z0-9-]+\.md")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def no_file_is_long(tree: Tree) -> Iterator[str]:
    """A file past its bound holds more than one noun."""
    for path, text in tree.named(".py", ".proto", ".sql", ".sh"):
        if (lines := len(text.splitlines())) > FILE_LINES_MAX:
            yield f"{path}: {lines} lines, at most {FILE_LINES_MAX}"


def no_function_is_long(tree: Tree) -> Iterator[str]:
    """A function past its bound does more than its name says."""
    for path, module in tree.modules.items():
        for node in ast.walk(module):
            if isinstance(node, Function):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    yield f"{path}:{node.lineno}: {node.name} has {lines} lines"


def no_name_is_empty(tree: Tree) -> Iterator[str]:
    """A file, class or function is called by what it is."""
    for path, module in tree.modules.items():
        parts = set(re.split(r"[/._]", path.lower()))
        if found := parts & EMPTY_NAMES:
            yield f"{path}: '{found.pop()}' says nothing"
        for node in ast.walk(module):
            if isinstance(node, Function | ast.ClassDef):
                words = {it.lower() for it in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", node.name)}
                if found := words & EMPTY_NAMES:
                    yield f"{path}:{node.lineno}: '{found.pop()}' in {node.name} says nothing"


def nothing_is_left_undone(tree: Tree) -> Iterator[str]:
    """What is to be done stands in an issue, not in the code."""
    for path, text in tree.named(".py", ".proto", ".sql", ".md", ".toml", ".sh", "Makefile"):
        for number, line in enumerate(text.splitlines(), 1):
            if UNFINISHED.search(line):
                yield f"{path}:{number}: {line.strip()}"


def no_test_sleeps(tree: Tree) -> Iterator[str]:
    """A test waits for what it needs; only a poller with a deadline may sleep between looks."""
    for path, module in tree.modules.items():
        if not path.startswith("tests/"):
            continue
        for function, call in _calls(module):
            if _is_sleep(call) and not POLLERS & set(function.split("_")):
                yield f"{path}:{call.lineno}: sleeps in {function or 'the module'}"


def no_machine_is_named(tree: Tree) -> Iterator[str]:
    """No path of somebody's machine, and no host but those that docs may point to."""
    for path, text in tree.texts.items():
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                yield f"{path}:{number}: a path of one machine: {line.strip()}"
            if path.startswith(VENDORED) or (
                path.endswith("package-lock.json") and FUNDING.match(line)
            ):
                continue
            for host in URL.findall(line):
                if host.rstrip(".") not in HOSTS:
                    yield f"{path}:{number}: the host {host}"


def every_link_resolves(tree: Tree) -> Iterator[str]:
    """A link in a page leads to a file that is there, and to a heading that it has."""
    for path, text in tree.named(".md"):
        for target in LINK.findall(CODE_BLOCK.sub("", text)):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, anchor = target.partition("#")
            leads_to = normpath(join(dirname(path), file)) if file else path
            if not tree.has(leads_to):
                yield f"{path}: {target} leads nowhere"
            elif anchor and anchor not in _anchors(tree.texts.get(leads_to, "")):
                yield f"{path}: {target}: no such heading"


def every_page_is_found_from_the_index(tree: Tree) -> Iterator[str]:
    """The index of the documentation leads to every page."""
    links = LINK.findall(tree.texts.get("docs/index.md", ""))
    for path, _ in tree.named(".md"):
        folder, _, name = path.rpartition("/")
        if folder == "docs" and name != "index.md" and name not in links:
            yield f"{path}: not in docs/index.md"


def every_decision_is_indexed(tree: Tree) -> Iterator[str]:
    """The index of decisions lists every one, in order, and the numbers have no gap."""
    index = tree.texts.get("docs/adr/README.md", "")
    records = [path for path in sorted(tree.texts) if ADR.fullmatch(path)]
    for number, path in enumerate(records, 1):
        name = path.rsplit("/", 1)[1]
        if not name.startswith(f"{number:04}-"):
            yield f"{path}: its number should be {number:04}"
        if f"({name})" not in index:
            yield f"{path}: not in docs/adr/README.md"


def everything_public_says_what_it_is(tree: Tree) -> Iterator[str]:
    """Modules, and public classes and functions in them, have a docstring."""
    for path, module in tree.published.items():
        if not ast.get_docstring(module):
            yield f"{path}: the module has no docstring"
        if "/." in path or path.rsplit("/", 1)[1].startswith("_"):
            continue
        for owner, node in _definitions(module):
            if not _is_private(node) and not ast.get_docstring(node):
                yield f"{path}:{node.lineno}: {owner}{node.name} has no docstring"


def the_changelog_knows_this_version(tree: Tree) -> Iterator[str]:
    """The changelog has a section for what comes next, or for the version that this is."""
    version = tomllib.loads(tree.texts["pyproject.toml"])["project"]["version"]
    changelog = tree.texts.get("CHANGELOG.md", "")
    if "## [Unreleased]" not in changelog and f"## [{version}]" not in changelog:
        yield f"CHANGELOG.md: neither [Unreleased] nor [{version}]"


RULES = (
    no_file_is_long,
    no_function_is_long,
    no_name_is_empty,
    nothing_is_left_undone,
    no_test_sleeps,
    no_machine_is_named,
    every_link_resolves,
    every_page_is_found_from_the_index,
    every_decision_is_indexed,
    everything_public_says_what_it_is,
    the_changelog_knows_this_version,
)


def _calls(node: ast.AST, function: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Yields every call with the name of the innermost function around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield function, child
        yield from _calls(child, child.name if isinstance(child, Function) else function)


def _is_sleep(call: ast.Call) -> bool:
    """Says whether a call waits for time to pass; `sleep(0)` only lets others run."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    yields = bool(call.args) and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0
    return name == "sleep" and not yields


def _anchors(markdown: str) -> set[str]:
    """Returns the anchors of a page's headings, as the usual renderers make them."""
    headings = HEADING.findall(CODE_BLOCK.sub("", markdown))
    return {re.sub(r"[^\w\- ]", "", it.lower()).replace(" ", "-") for it in headings}


def _definitions(module: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    for node in module.body:
        if isinstance(node, Function | ast.ClassDef):
            yield "", node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, Function | ast.ClassDef):
                    yield f"{node.name}.", inner


def _is_private(node: Function | ast.ClassDef) -> bool:
    """Says whether a name is ours alone, or its meaning stands elsewhere.

    An overload and an override are told about where the name is first defined; an RPC's
    method is told about in the contract.
    """
    marks = {getattr(it, "id", getattr(it, "attr", "")) for it in node.decorator_list}
    is_rpc = isinstance(node, Function) and node.name[:1].isupper()
    return node.name.startswith("_") or is_rpc or bool(marks & {"overload", "override", "setter"})
