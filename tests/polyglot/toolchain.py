"""The workers and clients in other languages: how they are built and started.

As a program it prints which of them this machine can't build, as extras of this distribution.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD_S = 600


@dataclass(frozen=True)
class Language:
    """One language's example."""

    name: str
    # The program whose version decides, how to ask for it, and the least that will do.
    program: str
    ask: tuple[str, ...]
    least: tuple[int, ...]
    remedy: str
    worker: tuple[str, ...]
    client: tuple[str, ...]

    def missing(self) -> str:
        """Says what this machine lacks, and the remedy; nothing if it lacks nothing."""
        found = shutil.which(self.program, path=search_path())
        least = ".".join(map(str, self.least))
        if found is None:
            return f"no {self.program} here; remedy: {self.remedy}"
        said = subprocess.run(
            [found, *self.ask], capture_output=True, text=True, check=False
        ).stdout
        version = tuple(map(int, re.findall(r"\d+", said)[:2]))
        if version < self.least:
            return f"{found} is {said.strip()}, {least} is needed; remedy: {self.remedy}"
        return ""


GO = Language(
    name="go",
    program="go",
    ask=("version",),
    least=(1, 26),
    remedy="install Go 1.26 or newer, or run: make toolchains",
    worker=(str(ROOT / "examples/go/bin/worker"),),
    client=(str(ROOT / "examples/go/bin/client"),),
)
NODE = Language(
    name="node",
    program="node",
    ask=("--version",),
    least=(20, 3),
    remedy="install Node.js 20.3 or newer with npm, or run: make toolchains",
    worker=("node", str(ROOT / "examples/node/dist/worker.js")),
    client=("node", str(ROOT / "examples/node/dist/client.js")),
)
LANGUAGES = (GO, NODE)


def search_path() -> str:
    """Returns where programs are looked for: also beside this Python, where pip puts some."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def built(language: Language) -> Language:
    """Builds an example once, however many test processes ask for it; skips where it can't."""
    lack = language.missing()
    if lack:
        pytest.skip(lack)
    lock = ROOT / "examples" / language.name / ".building"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", f"example-{language.name}"],
            cwd=ROOT,
            env=os.environ | {"PATH": search_path()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
    assert done.returncode == 0, f"make example-{language.name} failed:\n{done.stdout[-4000:]}"
    return language


if __name__ == "__main__":
    print(",".join(language.name for language in LANGUAGES if language.missing()))
