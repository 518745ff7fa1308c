"""The page about services, run as a reader would: every command, file and program on it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cluster import PATIENCE_S, Cluster, until

from pullwork import Client
from pullwork.cli.service_file import read_services

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "services.md").read_text(encoding="utf-8")
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILES = re.compile(r"^```(?:yaml|python)\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def reader(cluster: Cluster) -> Iterator[dict[str, str]]:
    """The environment of a reader's shells, of whose programs nothing is left."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    state = cluster.folder / "state"
    cluster.address = address
    cluster.env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PULLWORK_ADDRESS": address,
        "PULLWORK_MASTER_LISTEN": address,
        "PULLWORK_MASTER_DATA": str(cluster.data),
        "PULLWORK_WORKER_STATE": str(state),
        "PULLWORK_WORKER_NODE": "desk",
    }
    yield {**os.environ, **cluster.env}
    cluster.close()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.cwd().startswith(str(state)):
                process.kill()


async def shell(script: str, env: dict[str, str], folder: Path) -> str:
    """Runs a script and returns what it printed; fails if a command of it does."""
    program = await asyncio.create_subprocess_exec(
        *("bash", "-euc", script),
        env=env,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(3 * PATIENCE_S):
        said, _ = await program.communicate()
    assert program.returncode == 0, f"{script}\n{said.decode()}"
    return said.decode()


@pytest.mark.timeout(240)
async def test_all_that_the_page_has_a_reader_type_works(
    cluster: Cluster, reader: dict[str, str]
) -> None:
    first, *others = SHELL.findall(PAGE)
    master, worker, *create = first.splitlines()
    assert (master, worker) == ("pullwork master", "pullwork worker --offer process")
    cluster.program("master", "pullwork_master")
    cluster.program("worker", "pullwork_worker", *worker.split()[2:])
    async with Client(cluster.address) as client:
        await until(client.services.nodes, "the node registers")
    assert "hello: 1 of 1 instances healthy" in await shell(
        "\n".join(create), reader, cluster.folder
    )
    for name, text in FILES.findall(PAGE):
        (cluster.folder / name).write_text(text)
    said = [await shell(script, reader, cluster.folder) for script in others]
    assert "hello: 3 of 3 instances healthy" in said[0]
    assert "hello is deleted" in said[0]
    assert "= site, clock: as it is wanted" in said[1]
    kept = await shell("python keep.py", reader, cluster.folder)
    assert kept == "2\nkept-1 True\nkept-2 True\n"


def test_the_files_of_the_examples_are_what_apply_reads() -> None:
    for folder, names in (
        ("examples/services", {"site", "clock", "hello"}),
        ("deploy/discovery", {"web"}),
    ):
        files = [str(path) for path in sorted((ROOT / folder).glob("*services*.yaml"))]
        files += [str(path) for path in (ROOT / folder).glob("hello.yaml")]
        assert set(read_services(files)) == names
