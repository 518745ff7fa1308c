"""Builds the images of this tree, once for each state of it, by the target that people call."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors

ROOT = Path(__file__).parents[2]
# What `.dockerignore` lets through, and what tells how it is built.
PARTS = (
    *("Dockerfile.master", "Dockerfile.worker", "requirements.lock", "requirements-build.lock"),
    *("pyproject.toml", "README.md", "LICENSE", "shared", "master_svc", "worker_svc"),
)
HARNESS = ROOT / "tests" / "faults" / "fault_harness"

# The three lines that docs/containers.md tells users to write.
TASKS_DOCKERFILE = """\
FROM {worker}
COPY fault_harness /app/fault_harness/
ENV PULLWORK_WORKER_TASKS=fault_harness.work
"""
# Another version of the same code: what a rolling upgrade needs to see.
NEXT_VERSION = "99.0.0"
NEXT_DOCKERFILE = """\
FROM {image}
USER root
RUN sed -i 's/^Version: .*/Version: {version}/' \\
    /opt/pullwork/lib/python3*/site-packages/pullwork-*/METADATA
USER 10001:10001
"""


@dataclass(frozen=True)
class Images:
    """Their names."""

    master: str
    worker: str
    # A worker with a task module, made as docs/containers.md says.
    tasks: str
    next_master: str
    next_tasks: str


def build_images(engine: docker.DockerClient, folder: Path) -> Images:
    """Builds what is not there yet. Another process may be at it: one waits for the other."""
    tag = f"test-{_digest()}"
    images = Images(
        master=f"pullwork-master:{tag}",
        worker=f"pullwork-worker:{tag}",
        tasks=f"pullwork-tasks:{tag}",
        next_master=f"pullwork-master:{tag}-next",
        next_tasks=f"pullwork-tasks:{tag}-next",
    )
    with _alone():
        if not _is_there(engine, images.next_tasks):
            _make(tag)
            shutil.copytree(HARNESS, folder / "fault_harness")
            _derive(folder, images.tasks, TASKS_DOCKERFILE.format(worker=images.worker))
            for image, made in (
                (images.master, images.next_master),
                (images.tasks, images.next_tasks),
            ):
                _derive(folder, made, NEXT_DOCKERFILE.format(image=image, version=NEXT_VERSION))
    return images


def _digest() -> str:
    """Returns a mark that changes with everything that the images are made of."""
    mark = hashlib.sha256(os.environ.get("IMAGE_BASE", "").encode())
    for path in [*_files(), *sorted(HARNESS.rglob("*.py")), Path(__file__)]:
        mark.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return mark.hexdigest()[:12]


def _files() -> Iterator[Path]:
    for part in PARTS:
        path = ROOT / part
        if path.is_file():
            yield path
        for file in sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


class _alone:
    """Keeps other processes of this machine out of what it surrounds."""

    def __enter__(self) -> None:
        self._file = (Path(tempfile.gettempdir()) / "pullwork-images.lock").open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _is_there(engine: docker.DockerClient, image: str) -> bool:
    try:
        engine.images.get(image)
    except docker.errors.ImageNotFound:
        return False
    return True


def _make(tag: str) -> None:
    """Calls what people call; `IMAGE_BASE` of the shell is heeded."""
    _run("make", "--no-print-directory", "images", f"IMAGE_TAG={tag}")


def _derive(folder: Path, image: str, dockerfile: str) -> None:
    (folder / "Dockerfile").write_text(dockerfile)
    _run("docker", "build", "--quiet", "--tag", image, str(folder))


def _run(*words: str) -> None:
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(words)}:\n{ran.stdout[-4000:]}{ran.stderr[-8000:]}"
