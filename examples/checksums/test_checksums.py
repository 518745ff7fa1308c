"""A worker dies in the middle: another goes on from the checkpoint, and the result is whole."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from threading import Thread

import pytest
from checksum_tasks import digest_files

from pullwork import FailureKind, Handle
from pullwork.testing import Cluster

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.pullwork_cluster(tasks=[digest_files], workers=2, slots=1),
]
Digests = dict[str, str]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two files, and between them a pipe, at which a reader waits until somebody writes."""
    first, gate, last = (tmp_path / name for name in ("first", "gate", "last"))
    first.write_text("one")
    os.mkfifo(gate)
    last.write_text("three")
    return [str(first), str(gate), str(last)]


async def half_done(cluster: Cluster, handle: Handle[Digests]) -> str:
    """Waits until the first file is done and told to the master; returns the worker's name."""
    name = await cluster.started(handle)
    while not handle.done():
        progress = await handle.progress()
        if progress is not None and progress.message and progress.message.endswith("first"):
            break
        await cluster.advance(1)
    return name


async def test_another_worker_goes_on_where_the_dead_one_was(
    pullwork_cluster: Cluster, files: list[str]
) -> None:
    handle = await pullwork_cluster.client.submit(digest_files.with_args(files))
    name = await half_done(pullwork_cluster, handle)
    # Were it read again, its checksum would be another.
    write(files[0], "changed")
    await pullwork_cluster.kill_worker(name)
    await pullwork_cluster.advance(2)
    assert await pullwork_cluster.started(handle) != name
    Thread(target=write, args=[files[1], "two"]).start()
    assert list((await handle.result(30)).values()) == [
        sha256("one"),
        sha256("two"),
        sha256("three"),
    ]
    assert (await handle.status()).attempt == 2


async def test_a_file_that_never_ends_is_given_up(
    pullwork_cluster: Cluster, files: list[str]
) -> None:
    handle = await pullwork_cluster.client.submit(digest_files.with_args(files))
    await half_done(pullwork_cluster, handle)
    await pullwork_cluster.advance(330)
    story = (await handle.status()).attempts
    assert story[0].failure is not None
    assert story[0].failure.kind is FailureKind.TIMEOUT
