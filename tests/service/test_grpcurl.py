"""The whole contract by hand: docs/grpcurl.sh, with reflection only, against a real master."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest
from cluster import PATIENCE_S, Cluster

SCRIPT = Path(__file__).parents[2] / "docs" / "grpcurl.sh"


@pytest.fixture
def grpcurl() -> str:
    """The program, from the virtual environment or the PATH."""
    beside_python = str(Path(sys.executable).parent)
    found = shutil.which("grpcurl", path=beside_python) or shutil.which("grpcurl")
    if found is None:
        pytest.skip("grpcurl is not there; remedy: docs/grpcurl.md says how to install it")
    return found


async def test_a_person_with_grpcurl_can_be_client_and_worker(
    cluster: Cluster, grpcurl: str
) -> None:
    await cluster.master()
    script = await asyncio.create_subprocess_exec(
        SCRIPT,
        cluster.address,
        env=os.environ | {"GRPCURL": grpcurl},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(3 * PATIENCE_S):
        said, told = await script.communicate()
    assert script.returncode == 0, told.decode()
    assert 'is done: "Hello, world!"' in said.decode()
    for seen in (
        "pullwork.v1.TaskService",
        "NO_WORKER",
        "available",
        "VERDICT_ACCEPTED",
        "INSTANCE_STATE_PENDING",
    ):
        assert seen in told.decode()
