"""Replies that the master gave and nobody got: a proxy swallows them, then cuts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import grpc.aio
from cluster import until

from fault_harness.bench import Bench
from fault_harness.executions import ExecutionLog
from fault_harness.fault import Fault
from fault_harness.late import again, beating, late_report, said, worker_by_hand
from fault_harness.load import until_passed
from fault_harness.proxy import Proxy
from fault_harness.work import mark
from fault_harness.work_by_hand import by_hand as call_by_hand
from pullwork.errors import TaskNotFoundError
from pullwork.ids import new_task_id
from pullwork.task_info import TaskState
from pullwork.v1 import master_service_pb2 as pb


class LostReplies(Fault):
    """Recovery: from the lost reply until its ticket is back in the queue, by the inventory."""

    name = "lost-replies"
    law = (
        "a lost reply costs nothing: the repeat brings the same tickets, a repeated result is "
        "ACCEPTED again, another one is a CONFLICT"
    )

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self._proxy: Proxy

    def bound_s(self) -> float:
        # An interval that a ticket may be on its way, and two heartbeats that do not list it.
        return 3 * self.settings().heartbeat + 0.2

    async def inject(self, bench: Bench) -> None:
        bench.did("lose replies")
        self._proxy.lose_replies = True

    async def heal(self, bench: Bench) -> None:
        await self._proxy.cut()
        self._proxy.lose_replies = False
        bench.did("cut, and let pass")

    async def trial(self, bench: Bench) -> None:
        await bench.start_master()
        async with Proxy(bench.fleet.address) as self._proxy:
            for _ in range(self.scale.pick(3, 20)):
                await self._tickets_again(bench)
                await self._tickets_never(bench)
                await self._result_again(bench)
                bench.row.times += 5
            await late_report(bench, _nothing)
            await self._result_outlives_the_master(bench)
            await self._workers(bench)
        await bench.judge()

    async def _tickets_again(self, bench: Bench) -> None:
        """The reply of RequestTask is lost; the same request brings the same ticket."""
        task_id = new_task_id()
        async with worker_by_hand(self._proxy.address, "asker") as worker:
            await bench.submit(call_by_hand.with_args(), task_id)
            await self._lose(bench, lambda: worker.ticket(request_id="one"), task_id)
            await again(worker.listening)
            answers = [await worker.ticket(request_id="one") for _ in range(2)]
            tokens = [[ticket.lease_token for ticket in answer.tickets] for answer in answers]
            bench.require(
                len(tokens[0]) == 1 and tokens[0] == tokens[1],
                f"the repeated request brought {tokens} instead of the one ticket twice",
            )
            ticket = answers[0].tickets[0]
            bench.require(ticket.attempt == 1, "the lost reply cost an attempt")
            log = ExecutionLog(bench.folder)
            result = log.end(log.start(task_id, ticket.attempt), ticket.attempt)
            await worker.report(ticket.lease_token, said(result))
        await bench.hear(task_id)

    async def _tickets_never(self, bench: Bench) -> None:
        """It is lost and never asked for again; heartbeats that do not list it free the task."""
        task_id = new_task_id()
        async with worker_by_hand(self._proxy.address, "forgetful") as worker:
            await bench.submit(call_by_hand.with_args(), task_id)
            await self._lose(bench, worker.ticket, task_id)
            lost_at = time.monotonic()
            await again(worker.listening)
            pulse = asyncio.create_task(beating(worker, bench.settings.heartbeat, list))
            await until(lambda: _is(bench, task_id, TaskState.QUEUED), "the inventory frees it")
            bench.recovered(lost_at)
            task = await bench.client.get(task_id)
            bench.require(
                (task.worker_deaths, task.failures) == (0, 0), "a ticket that never came cost"
            )
            ticket = (await worker.ticket()).tickets[0]
            pulse.cancel()
            log = ExecutionLog(bench.folder)
            result = log.end(log.start(task_id, ticket.attempt), ticket.attempt)
            await worker.report(ticket.lease_token, said(result))
        await bench.hear(task_id)

    async def _result_again(self, bench: Bench) -> None:
        """The reply of ReportResult is lost three times; one result, and no other."""
        task_id = new_task_id()
        log = ExecutionLog(bench.folder)
        async with worker_by_hand(self._proxy.address, "reporter") as worker:
            await bench.submit(call_by_hand.with_args(), task_id)
            ticket = (await worker.ticket()).tickets[0]
            result = log.end(log.start(task_id, ticket.attempt), ticket.attempt)
            for _ in range(3):
                await self._lose(
                    bench,
                    lambda: worker.report(ticket.lease_token, said(result)),
                    task_id,
                    TaskState.SUCCEEDED,
                )
                await again(worker.listening)
            first = await bench.client.get(task_id)
            verdicts = [await worker.report(ticket.lease_token, said(result)) for _ in range(3)]
            other = [
                await worker.report(ticket.lease_token, said("666")),
                await worker.report_failure(ticket.lease_token, "changed its mind"),
            ]
            bench.require(
                verdicts == [pb.VERDICT_ACCEPTED] * 3, f"the repeats got {_names(verdicts)}"
            )
            bench.require(
                other == [pb.VERDICT_CONFLICT] * 2, f"another outcome got {_names(other)}"
            )
            bench.require(await bench.client.get(task_id) == first, "a repeat changed the task")
        await bench.hear(task_id)

    async def _result_outlives_the_master(self, bench: Bench) -> None:
        """ACCEPTED is heard, and the master dies at once: the result is on disk."""
        log = ExecutionLog(bench.folder)
        for _ in range(3):
            task_id = new_task_id()
            async with worker_by_hand(bench.fleet.address, "swift") as worker:
                await bench.submit(call_by_hand.with_args(), task_id)
                ticket = (await worker.ticket()).tickets[0]
                result = log.end(log.start(task_id, ticket.attempt), ticket.attempt)
                verdict = await worker.report(ticket.lease_token, said(result))
                bench.master.kill()
            await bench.restart_master()
            state = await _state(bench, task_id)
            bench.require(
                verdict == pb.VERDICT_ACCEPTED and state is TaskState.SUCCEEDED,
                f"its worker heard {pb.Verdict.Name(verdict)}, and the task is {state} "
                "after a restart: what was acknowledged is lost",
            )
            if state is TaskState.SUCCEEDED:
                await bench.hear(task_id)
            bench.row.times += 1

    async def _workers(self, bench: Bench) -> None:
        """Real workers under load, whose replies are lost at random moments."""
        for _ in range(2):
            bench.start_worker(address=self._proxy.address)
        load = bench.load(lambda _: mark.with_args(0.005), in_flight=300)
        load.start()
        await load.until_ended(100)
        for _ in range(self.scale.pick(5, 40)):
            ended = load.ended
            await self.inject(bench)
            await until_passed(0.15)
            await self.heal(bench)
            await load.until_ended(ended + 20)
            bench.row.times += 1
        await load.finish()

    async def _lose(
        self,
        bench: Bench,
        call: Callable[[], Awaitable[object]],
        task_id: str,
        state: TaskState = TaskState.RUNNING,
    ) -> None:
        """Makes a call that the master carries out, and whose reply is lost."""
        await self.inject(bench)
        calling = asyncio.ensure_future(call())
        await until(lambda: _is(bench, task_id, state), f"the task is {state}")
        await until(lambda: self._proxy.lost_bytes > 0, "a reply is lost")
        await self.heal(bench)
        self._proxy.lost_bytes = 0
        with contextlib.suppress(grpc.aio.AioRpcError):
            await calling
            bench.require(False, "the reply came through")


async def _is(bench: Bench, task_id: str, state: TaskState) -> bool:
    return await _state(bench, task_id) is state


async def _state(bench: Bench, task_id: str) -> TaskState | None:
    try:
        return (await bench.client.get(task_id)).state
    except TaskNotFoundError:
        return None


async def _nothing() -> None:
    return None


def _names(verdicts: list[pb.Verdict]) -> str:
    return ", ".join(pb.Verdict.Name(verdict) for verdict in verdicts)
