"""A worker in a process of its own that listens, says so, and waits to be frozen."""

from __future__ import annotations

import asyncio
import sys

from pullwork.channel import open_channel
from pullwork.v1 import master_service_pb2, master_service_pb2_grpc


async def main(address: str) -> None:
    """Registers and listens until it is killed."""
    async with open_channel(address) as channel:
        master = master_service_pb2_grpc.MasterServiceStub(channel)
        registered = await master.Register(
            master_service_pb2.RegisterRequest(
                worker_name="frozen", boot_id="frozen", task_types=["t"], slots=1
            )
        )
        request = master_service_pb2.TaskIncomingRequest(session_id=registered.session_id)
        async for _ in master.TaskIncoming(request):
            print("listening", flush=True)


asyncio.run(main(sys.argv[1]))
