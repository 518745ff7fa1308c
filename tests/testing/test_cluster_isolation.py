"""A cluster keeps to itself, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import cluster_jobs as jobs
import psutil
import pytest

from pullwork import WaitReason
from pullwork.testing import Cluster, ClusterError

HERE = Path(__file__).parent
WAIT_S = 20.0


async def test_two_clusters_side_by_side_do_not_disturb_each_other() -> None:
    async with Cluster(tasks=[jobs.add]) as one, Cluster(tasks=[jobs.add]) as other:
        delayed = [
            await cluster.client.submit(jobs.add.with_args(1, 2), delay=600)
            for cluster in (one, other)
        ]
        await one.advance(601)
        await other.restart_master()
        assert await delayed[0].result(WAIT_S) == 3
        assert (await other.explain(delayed[1])).reason is WaitReason.DELAYED
        await one.kill_worker("worker-1")
        assert other.workers == ("worker-1",)
        handle = await other.client.submit(jobs.add.with_args(2, 2))
        assert await handle.result(WAIT_S) == 4


async def test_a_cluster_leaves_no_thread_process_or_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = {thread.name for thread in threading.enumerate()}
    # A fixture of the whole session may have processes in this one already.
    of_others = set(psutil.Process().children(recursive=True))
    async with Cluster(tasks=[jobs.hold, jobs.hold_process], workers=2) as cluster:
        for task in (jobs.hold, jobs.hold_process):
            await cluster.started(await cluster.client.submit(task.with_args()))
        await cluster.freeze("worker-2")
        await cluster.client.submit(jobs.hold.with_args())
        assert os.listdir(tmp_path)
        children = set(psutil.Process().children(recursive=True)) - of_others
        assert children
    assert not os.listdir(tmp_path)
    assert not any(child.is_running() for child in children)
    after = {thread.name for thread in threading.enumerate()} - before
    # gRPC's own thread serves the whole process and is gone with its last object.
    assert not {name for name in after if "_poll_wrapper" not in name}


async def test_a_given_folder_is_kept_for_the_next_cluster(tmp_path: Path) -> None:
    async with Cluster(workers=0, data=tmp_path / "data") as cluster:
        handle = await cluster.client.submit(jobs.add.with_args(1, 2))
    async with Cluster(tasks=[jobs.add], data=tmp_path / "data") as cluster:
        assert await cluster.client.handle(handle.id).result(WAIT_S) == 3


async def test_a_cluster_is_used_once() -> None:
    cluster = Cluster(workers=0)
    async with cluster:
        pass
    with pytest.raises(ClusterError, match="once"):
        await cluster.__aenter__()


async def test_a_worker_whose_children_can_not_start_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Imported here and then gone, as a module that only the test's own process can find.
    (tmp_path / "vanishing_jobs.py").write_text(
        "from pullwork import task\n\n@task\ndef work() -> int:\n    return 1\n"
    )
    with monkeypatch.context() as path:
        path.syspath_prepend(str(tmp_path))
        import vanishing_jobs  # type: ignore[import-not-found]
    with pytest.raises(ClusterError, match=r"no child process starts.*vanishing_jobs"):
        async with Cluster(tasks=[vanishing_jobs.work], slots=1):
            raise AssertionError("it must not start")


def test_it_works_under_plain_asyncio_run_and_in_a_script_of_its_own(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio\n"
        "from pullwork import task\n"
        "from pullwork.testing import Cluster\n"
        "@task\n"
        "def double(number: int) -> int:\n"
        "    return 2 * number\n"
        "async def main() -> None:\n"
        "    async with Cluster(tasks=[double]) as cluster:\n"
        "        handle = await cluster.client.submit(double.with_args(21), delay=60)\n"
        "        await cluster.advance(61)\n"
        "        print(await handle.result(20))\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
        "    asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": ""},
    )
    assert (done.stdout, done.stderr) == ("42\n42\n", "")


def test_clusters_of_several_event_loops_one_after_the_other() -> None:
    async def once() -> int:
        async with Cluster(tasks=[jobs.add]) as cluster:
            return await (await cluster.client.submit(jobs.add.with_args(1, 2))).result(WAIT_S)

    assert [asyncio.run(once()) for _ in range(3)] == [3, 3, 3]
