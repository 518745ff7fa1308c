"""The counts are right, whatever happens to a worker or to a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from produce import count
from wordcount_tasks import count_words

from pullwork import WaitReason
from pullwork.testing import Cluster

pytestmark = [pytest.mark.asyncio, pytest.mark.pullwork_cluster(tasks=[count_words], slots=1)]


def write_files(folder: Path, number: int) -> list[Path]:
    paths = [folder / f"{index}.txt" for index in range(number)]
    for path in paths:
        path.write_text("the cat and the dog\n" * 100)
    return paths


async def test_words_of_all_files_are_counted(pullwork_cluster: Cluster, tmp_path: Path) -> None:
    total = await count(pullwork_cluster.client, write_files(tmp_path, 20))
    assert total == {"the": 4000, "cat": 2000, "and": 2000, "dog": 2000}


async def test_nothing_is_lost_or_counted_twice_over_a_restart(
    pullwork_cluster: Cluster, tmp_path: Path
) -> None:
    calls = [count_words.with_args(str(path)) for path in write_files(tmp_path, 20)]
    handles = await pullwork_cluster.client.submit_many(calls)
    await pullwork_cluster.restart_master()
    counted = [await handle.result(30) for handle in handles]
    assert sum(it["cat"] for it in counted) == 2000


async def test_a_file_that_comes_late_is_counted_at_the_next_try(
    pullwork_cluster: Cluster, tmp_path: Path
) -> None:
    path = tmp_path / "late.txt"
    handle = await pullwork_cluster.client.submit(count_words.with_args(str(path)))
    await pullwork_cluster.settled()
    assert (await pullwork_cluster.explain(handle)).reason is WaitReason.BACKING_OFF
    path.write_text("at last")
    await pullwork_cluster.advance(31)
    assert await handle.result(30) == {"at": 1, "last": 1}
