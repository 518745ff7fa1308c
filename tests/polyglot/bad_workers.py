"""Workers that break one rule each: `python bad_workers.py RULE` starts one, `none` the good one.

Each is the small worker with one step changed; the kit must catch it by its rule's name.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from stub_worker import StubWorker

from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1.task_pb2 import FAILURE_KIND_APPLICATION
from pullwork.v1.worker_pb2 import HeldLease, Ticket

# More than the kit allows within a second.
HASTY_STREAMS: Final = 20

BROKEN: Final[dict[str, type[StubWorker]]] = {"none": StubWorker}


def breaks(rule: str) -> Any:
    """Lists a worker under the rule that it breaks."""

    def listed(worker: type[StubWorker]) -> type[StubWorker]:
        BROKEN[rule] = worker
        return worker

    return listed


@breaks("starts-first")
class _GivesUp(StubWorker):
    async def pause(self, wait_s: float) -> float:
        sys.exit(1)


@breaks("register")
class _HasNoSlots(StubWorker):
    slots = 0


@breaks("boot-id")
class _IsAlwaysTheSame(StubWorker):
    def __init__(self) -> None:
        super().__init__()
        self.boot_id = "always"


@breaks("stream")
class _DoesNotListen(StubWorker):
    async def listen(self) -> None:
        return


@breaks("credit")
class _AsksForTooMuch(StubWorker):
    def credit(self, free: int) -> int:
        return self.slots + 1


@breaks("no-busy-loop")
class _AsksInALoop(StubWorker):
    park_s = 0.0


@breaks("request-id")
class _AsksAnew(StubWorker):
    def asked(self, ask: pb.RequestTaskRequest) -> None:
        ask.request_id = self.request_id()


@breaks("result")
class _ReturnsSomethingElse(StubWorker):
    def success(self, ticket: Ticket, data: bytes) -> pb.Outcome:
        return super().success(ticket, b"null")


@breaks("report-once")
class _ReportsTwice(StubWorker):
    async def report(self, token: str, outcome: pb.Outcome) -> None:
        for _ in range(2):
            running = self.held.get(token) or asyncio.create_task(asyncio.sleep(0, outcome))
            self.held[token] = running
            await super().report(token, outcome)


@breaks("report-repeat")
class _ChangesItsMind(StubWorker):
    def told(self, outcome: pb.Outcome) -> pb.Outcome:
        changed = pb.Outcome()
        changed.CopyFrom(outcome)
        changed.success.data = self.request_id().encode()
        return changed


@breaks("tokens")
class _RewritesTokens(StubWorker):
    def inventory(self) -> list[HeldLease]:
        return [HeldLease(lease_token=quote(token), started=True) for token in self.held]


@breaks("heartbeat")
class _ComputesOnItsOnlyThread(StubWorker):
    async def work(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass


@breaks("heartbeat-interval")
class _KeepsItsFirstInterval(StubWorker):
    def obey(self, answer: pb.HeartbeatResponse) -> None:
        interval_s = self.interval_s
        super().obey(answer)
        self.interval_s = interval_s


@breaks("lease-duration")
class _KeepsItsFirstLease(StubWorker):
    def obey(self, answer: pb.HeartbeatResponse) -> None:
        lease_s = self.lease_s
        super().obey(answer)
        self.lease_s = lease_s


@breaks("inventory")
class _ListsNothing(StubWorker):
    def heartbeat(self, terms: pb.RegisterResponse) -> pb.HeartbeatRequest:
        return pb.HeartbeatRequest(session_id=terms.session_id)


@breaks("abandon")
class _KeepsWhatWasTakenBack(StubWorker):
    def taken_back(self, tokens: Iterable[str]) -> None:
        return


@breaks("cancel")
class _KeepsWhatWasCancelled(StubWorker):
    def cancelled(self, tokens: Iterable[str]) -> None:
        return


@breaks("unknown-event")
class _DiesOfTheFuture(StubWorker):
    def hear(self, event: pb.TaskIncomingResponse) -> None:
        if event.WhichOneof("event") is None:
            raise LookupError("an event that this worker has no branch for")
        super().hear(event)


@breaks("unknown-type")
class _RunsAnything(StubWorker):
    def unknown_type(self, ticket: Ticket) -> pb.Outcome:
        return self.success(ticket, b"null")


@breaks("bad-payload")
class _BlamesItself(StubWorker):
    def bad_payload(self, ticket: Ticket, error: ValueError) -> pb.Outcome:
        return self.failure(ticket, FAILURE_KIND_APPLICATION, str(error))


@breaks("oversize-result")
class _SendsAnySize(StubWorker):
    def bytes_max(self) -> int:
        return 2**40


@breaks("timeout")
class _CallsATimeoutAFailure(StubWorker):
    def timed_out(self, ticket: Ticket) -> pb.Outcome:
        return self.failure(ticket, FAILURE_KIND_APPLICATION, "stopped")


@breaks("session-lost")
class _ForgetsWhatItHolds(StubWorker):
    def introduced(self) -> list[HeldLease]:
        return []


@breaks("held-verdict")
class _KeepsWhatWasNotKept(StubWorker):
    def not_kept(self, tokens: Iterable[str]) -> None:
        return


@breaks("old-session")
class _BeatsUnderItsFirstSession(StubWorker):
    first: pb.RegisterResponse | None = None

    def heartbeat(self, terms: pb.RegisterResponse) -> pb.HeartbeatRequest:
        self.first = self.first or terms
        return super().heartbeat(self.first)


@breaks("name-taken")
class _InsistsOnItsName(StubWorker):
    def __init__(self) -> None:
        super().__init__()
        self.name = "mine"


@breaks("stream-reopen")
class _OpensInHaste(StubWorker):
    async def listen(self) -> None:
        while True:
            terms = await self.session()
            request = pb.TaskIncomingRequest(session_id=terms.session_id)
            # Many at once: one after the other is no haste where the machine is slow.
            streams = [self.master.TaskIncoming(request) for _ in range(HASTY_STREAMS)]
            await streams[-1].read()
            for stream in streams:
                stream.cancel()


@breaks("silent-master")
class _ListensForEver(StubWorker):
    async def next_event(self, stream: Any) -> Any:
        return await stream.read()


@breaks("backoff")
class _CallsInHaste(StubWorker):
    async def pause(self, wait_s: float) -> float:
        return 0.01


@breaks("restart")
class _DiesWithItsMaster(StubWorker):
    def failed(self, terms: pb.RegisterResponse, error: Any) -> None:
        os._exit(1)


@breaks("out-of-contact")
class _RunsOnAlone(StubWorker):
    def out_of_contact(self) -> None:
        return


@breaks("drain-event")
class _LeavesItsWork(StubWorker):
    def drain_event(self) -> None:
        os._exit(0)


@breaks("drain-heartbeat")
class _LeavesWithoutAWord(StubWorker):
    async def leave(self) -> None:
        return


@breaks("sigterm")
class _DiesOfSigterm(StubWorker):
    def sigterm(self) -> None:
        os._exit(143)


async def main(rule: str) -> None:
    """Runs the worker that breaks a rule."""
    await BROKEN[rule]().run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
