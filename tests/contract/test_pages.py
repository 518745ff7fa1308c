"""The Python in the pages is Python, and imports what there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks() -> Iterator[tuple[str, str]]:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text(encoding="utf-8")
        for number, block in enumerate(BLOCK.findall(text), 1):
            yield f"{page.relative_to(ROOT)} {number}", block


BLOCKS = dict(_blocks())


def test_the_pages_have_examples() -> None:
    assert len(BLOCKS) > 3


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_an_example_imports_only_what_there_is(block: str) -> None:
    # Pages leave out the `async def` around an `await`.
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(block, "example", "exec", flags, dont_inherit=True)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pullwork"):
            for name in node.names:
                _import(node.module or "", name.name)


def _import(module: str, name: str) -> None:
    if not hasattr(import_module(module), name):
        import_module(f"{module}.{name}")
