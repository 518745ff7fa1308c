"""Many workers in one process, each with its own session and connection: the real ones.

python -m fault_harness.crowd 50
"""

from __future__ import annotations

import asyncio
import sys

import grpc.aio

from pullwork.channel import client_options
from pullwork.settings import load
from pullwork_worker import session
from pullwork_worker.config import WorkerSettings
from pullwork_worker.loading import load_abilities
from pullwork_worker.main import make_worker


def _own_channel(address: str) -> grpc.aio.Channel:
    """Opens a channel that shares its connection with no other of this process."""
    options = [*client_options(), ("grpc.use_local_subchannel_pool", 1)]
    return grpc.aio.insecure_channel(address, options=options)


async def _work(count: int) -> None:
    workers = []
    for number in range(count):
        flags = {"name": f"crowd-{number}", "tasks": ["fault_harness.crowd_work"], "slots": 1}
        settings = load(WorkerSettings, flags)
        workers.append(make_worker(settings, load_abilities(settings)))
    await asyncio.gather(*(worker.run() for worker in workers))


if __name__ == "__main__":
    session.open_channel = _own_channel
    asyncio.run(_work(int(sys.argv[1])))
