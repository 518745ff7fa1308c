"""Deadlines that pass in the middle of a commit: the caller is gone, the effect may be there."""

from __future__ import annotations

import random
import time

import grpc.aio

from fault_harness.bench import Bench
from fault_harness.fault import Fault
from fault_harness.work import quick
from pullwork.channel import open_channel
from pullwork.ids import new_task_id
from pullwork.payload import encode_args
from pullwork.v1.task_pb2 import TaskSpec
from pullwork.v1.task_service_pb2 import SubmitTasksRequest
from pullwork.v1.task_service_pb2_grpc import TaskServiceStub

BATCH = 20
LONGEST_S = 0.012


class Deadlines(Fault):
    """Recovery: until the repeat of a call whose deadline passed is answered."""

    name = "deadlines"
    law = "a call whose deadline passed did all of it or nothing, and is safe to repeat"

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._left = 0

    def bound_s(self) -> float:
        return 5.0

    async def inject(self, bench: Bench) -> None:
        self._left = 0

    async def heal(self, bench: Bench) -> None:
        bench.did("repeat with patience")

    async def trial(self, bench: Bench) -> None:
        await self.inject(bench)
        await bench.start_master()
        bench.start_worker()
        load = bench.load(lambda _: quick.with_args())
        load.start()
        await load.until_ended(100)
        stored = 0
        async with open_channel(bench.fleet.address) as channel:
            stub = TaskServiceStub(channel)
            for _ in range(self.scale.pick(300, 3_000)):
                stored += await self._one(bench, stub)
        await load.finish()
        await bench.judge()
        bench.require(bool(self._left), "no deadline passed: nothing was tried")
        bench.note(
            f"{self._left} deadlines passed; behind {stored} of them all {BATCH} tasks were stored "
            "all the same, behind the others none"
        )

    async def _one(self, bench: Bench, stub: object) -> bool:
        """Submits with hardly any time; returns whether it timed out and was stored."""
        assert isinstance(stub, TaskServiceStub)
        ids = [new_task_id() for _ in range(BATCH)]
        payload = encode_args(quick, (), {})
        request = SubmitTasksRequest(
            tasks=[
                TaskSpec(
                    task_id=task_id,
                    type=quick.type,
                    payload=payload.data,
                    content_type=payload.content_type,
                    owner=bench.client.owner,
                )
                for task_id in ids
            ]
        )
        bench.history.attempted(ids)
        bench.row.times += 1
        began = time.monotonic()
        try:
            await stub.SubmitTasks(request, timeout=random.uniform(0.0005, LONGEST_S))
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
        else:
            bench.history.acknowledged(ids)
            return False
        self._left += 1
        answer = await stub.SubmitTasks(request, timeout=10)
        bench.recovered(began)
        bench.history.acknowledged(ids)
        duplicates = [receipt.duplicate for receipt in answer.receipts]
        bench.require(len(set(duplicates)) == 1, "a part of a batch was stored")
        return duplicates[0]
