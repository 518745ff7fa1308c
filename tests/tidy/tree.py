"""The repository as the tidy rules see it: paths and texts, real or made up by a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Remade by tools, kept by tools, or not ours.
SKIPPED = {"__pycache__", "dist", "build", "pullwork-data", "node_modules", "stubs"}
HIDDEN_BUT_OURS = {".ci", ".github", ".pre-commit-config.yaml", ".gitignore"}
VENDORED = ("proto/third_party/", "proto/google/")
GENERATED = (
    "shared/pullwork/v1/",
    "master_svc/pullwork_master/keda/",
    "master_svc/pullwork_master/stored/",
    *VENDORED,
)
PACKAGES = ("shared/pullwork/", "master_svc/pullwork_master/", "worker_svc/pullwork_worker/")


@dataclass(frozen=True)
class Tree:
    """Texts by their path from the root, with `/` between the parts."""

    texts: dict[str, str] = field(repr=False)

    @classmethod
    def real(cls) -> Tree:
        """Reads what stands in this checkout; files that are no text are known by name only."""
        return cls({path.relative_to(ROOT).as_posix(): _text(path) for path in _files(ROOT)})

    def named(self, *suffixes: str) -> Iterator[tuple[str, str]]:
        """Yields path and text of the files that we wrote and whose name ends so."""
        for path, text in sorted(self.texts.items()):
            if path.endswith(suffixes) and not path.startswith(GENERATED):
                yield path, text

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """All Python files that we wrote, parsed."""
        return {path: ast.parse(text, path) for path, text in self.named(".py")}

    @cached_property
    def published(self) -> dict[str, ast.Module]:
        """The parsed files that a user imports: the packages, without the tests."""
        return {path: tree for path, tree in self.modules.items() if path.startswith(PACKAGES)}

    def has(self, path: str) -> bool:
        """Says whether a file or a folder stands there."""
        return path in self.texts or any(it.startswith(path.rstrip("/") + "/") for it in self.texts)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") and path.name not in HIDDEN_BUT_OURS
        if hidden or path.name in SKIPPED or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""
