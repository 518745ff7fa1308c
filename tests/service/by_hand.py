"""A worker from bare stubs that does only what a test says; it sends no heartbeats by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import worker_pb2
from pullwork.v1.task_pb2 import Failure, Payload

if TYPE_CHECKING:
    from pullwork.v1.master_service_pb2_grpc import MasterServiceAsyncStub


class ByHand:
    """One process as the master sees it: the same boot id, whatever its session."""

    def __init__(
        self,
        stub: MasterServiceAsyncStub,
        *,
        name: str = "by hand",
        types: Sequence[str] = ("jobs.square",),
        slots: int = 1,
    ) -> None:
        self.stub = stub
        self.session_id = ""
        self.name = name
        self._types = types
        self._slots = slots

    async def register(self, held: Iterable[str] = ()) -> pb.RegisterResponse:
        """Begins a session, always as the same process."""
        request = pb.RegisterRequest(
            worker_name=self.name,
            boot_id=f"{self.name} 1",
            task_types=self._types,
            slots=self._slots,
            held=[worker_pb2.HeldLease(lease_token=token) for token in held],
        )
        answer = await self.stub.Register(request)
        self.session_id = answer.session_id
        return answer

    async def listening(self) -> None:
        """Opens the stream and hears its first event."""
        self.stream = self.stub.TaskIncoming(pb.TaskIncomingRequest(session_id=self.session_id))
        await anext(aiter(self.stream))

    async def ticket(
        self, *, request_id: str = "", wait_s: int = 0, max_tasks: int = 1
    ) -> pb.RequestTaskResponse:
        """Asks for one task, or for some."""
        return await self.stub.RequestTask(
            pb.RequestTaskRequest(
                session_id=self.session_id,
                max_tasks=max_tasks,
                wait=Duration(seconds=wait_s),
                request_id=request_id,
            )
        )

    async def report(self, token: str, data: bytes) -> pb.Verdict:
        """Reports a success and returns the verdict."""
        payload = Payload(data=data, content_type="application/json")
        return await self.tell(pb.Outcome(lease_token=token, success=payload))

    async def report_failure(self, token: str, message: str) -> pb.Verdict:
        """Reports a failure and returns the verdict."""
        failure = Failure(type="by.Hand", message=message)
        return await self.tell(pb.Outcome(lease_token=token, failure=failure))

    async def tell(self, outcome: pb.Outcome) -> pb.Verdict:
        """Reports one outcome and returns the verdict."""
        answer = await self.stub.ReportResult(
            pb.ReportResultRequest(session_id=self.session_id, outcomes=[outcome])
        )
        return answer.verdicts[0]

    async def heartbeat(self, held: Iterable[str] = ()) -> pb.HeartbeatResponse:
        """Says what it holds."""
        lines = [worker_pb2.HeldLease(lease_token=token) for token in held]
        return await self.stub.Heartbeat(
            pb.HeartbeatRequest(session_id=self.session_id, held=lines)
        )
