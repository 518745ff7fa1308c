"""gRPC alone: a server that only answers, and a client that only asks.

    python -m bench.bare_rpc serve          prints its address as JSON, serves until stdin ends
    python -m bench.bare_rpc call ADDRESS   takes commands as `bench.load` does

The messages are those of SubmitTasks, so that their cost is that of real ones.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import uuid
from typing import Any, Final

import grpc.aio

from bench.work import text_of
from pullwork.v1 import task_pb2, task_service_pb2, task_service_pb2_grpc

CALLS_AT_ONCE: Final = 4
Request = task_service_pb2.SubmitTasksRequest
Response = task_service_pb2.SubmitTasksResponse


async def answer(request: Request, context: Any) -> Response:
    """Reads each task and answers with its receipt; keeps nothing."""
    receipts = [task_service_pb2.Receipt(task_id=it.task_id) for it in request.tasks]
    return Response(receipts=receipts)


async def serve() -> None:
    """Serves on any free port until stdin ends."""
    server = grpc.aio.server()
    service = task_service_pb2.DESCRIPTOR.services_by_name["TaskService"].full_name
    handler = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=Request.FromString,
        response_serializer=Response.SerializeToString,
    )
    server.add_registered_method_handlers(service, {"SubmitTasks": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"address": f"127.0.0.1:{port}"}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(None)


async def call(address: str) -> None:
    """Does commands until there are no more."""
    loop = asyncio.get_running_loop()
    async with grpc.aio.insecure_channel(address) as channel:
        stub = task_service_pb2_grpc.TaskServiceStub(channel)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await batches(stub, **json.loads(line))), flush=True)


async def batches(stub: Any, tasks: int, batch: int, at_once: int = CALLS_AT_ONCE) -> Any:
    """Sends tasks in calls of so many, so many calls at once; tells the time of each call."""
    specs = [_spec(number) for number in range(tasks)]
    starts = iter(range(0, tasks, batch))
    took_ms: list[float] = []
    wrong = 0

    async def one_by_one() -> None:
        nonlocal wrong
        for first in starts:
            begun = time.perf_counter()
            request = Request(tasks=specs[first : first + batch])
            receipts = (await stub.SubmitTasks(request)).receipts
            wrong += len(request.tasks) - len(receipts)
            took_ms.append((time.perf_counter() - begun) * 1000)

    start = time.perf_counter()
    await asyncio.gather(*(one_by_one() for _ in range(at_once)))
    return {"seconds": time.perf_counter() - start, "took_ms": took_ms, "wrong": wrong}


def _spec(number: int) -> task_pb2.TaskSpec:
    data = json.dumps({"text": text_of(number, 100)}).encode()
    return task_pb2.TaskSpec(task_id=str(uuid.uuid4()), type="bench.bare", payload=data)


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "serve" else call(sys.argv[2]))
