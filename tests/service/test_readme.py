"""The first task of the README, as a reader would try it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from cluster import PATIENCE_S, Cluster

README = Path(__file__).parents[2] / "README.md"


async def test_the_first_task_of_the_readme_runs(cluster: Cluster) -> None:
    found = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    program = cluster.folder / "hello.py"
    program.write_text(found[1])
    await cluster.master()
    cluster.worker("reader", tasks="hello")
    hello = await asyncio.create_subprocess_exec(
        sys.executable,
        program,
        env=os.environ | {"PULLWORK_ADDRESS": cluster.address},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        printed, _ = await hello.communicate()
    assert printed.decode() == "HELLO! HELLO! HELLO!\n"
