"""Tells the master all instances of a node, and hears which of them are unwanted.

As long as no answer comes, everything stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from pullwork.errors import SessionLostError
from pullwork.status import from_rpc_error
from pullwork.v1 import node_service_pb2 as pb
from pullwork.v1 import node_service_pb2_grpc, service_pb2
from pullwork_worker.services.instance import Instance
from pullwork_worker.services.keeper import Keeper

# At once when something changed, though not more often than the one; else every other.
GAP_S: Final = 0.1
EVERY_S: Final = 2.0
# A master that has not answered by then is not worth more waiting: it is told again.
_CALL_S: Final = 5.0
# What was just found is not told before it was asked how it is: it would look ill for a moment.
_FIRST_CHECK_S: Final = 3.0
# The contract's bound.
_INSTANCES_MAX: Final = 10_000

log = logging.getLogger("pullwork.worker")


class Node(Protocol):
    """Who has the session."""

    def session_id(self) -> str:
        """Returns the session; empty: there is none."""

    def session_lost(self, session_id: str, error: SessionLostError) -> None:
        """Registers anew, if this is still the session."""


class Inventory:
    """The reports of one node."""

    def __init__(
        self,
        stub: node_service_pb2_grpc.NodeServiceAsyncStub,
        keeper: Keeper,
        node: Node,
        capacity: Callable[[], tuple[float, int]],
    ) -> None:
        self._stub = stub
        self._keeper = keeper
        self._node = node
        self._capacity = capacity
        self._refused = ""

    async def run(self) -> None:
        """Reports for ever, while there is a session."""
        told = ""
        while True:
            session_id = self._node.session_id()
            if session_id and session_id != told:
                await self._know_first()
                told = session_id
            self._keeper.changed.clear()
            if session_id:
                await self.report(session_id)
            await asyncio.sleep(GAP_S)
            try:
                async with asyncio.timeout(EVERY_S - GAP_S):
                    await self._keeper.changed.wait()
            except TimeoutError:
                continue

    async def _know_first(self) -> None:
        """Waits until it was looked what is there, and how what was found is."""
        for runner in self._keeper.runners:
            await runner.looked.wait()
        checks = [
            asyncio.create_task(it.checked.wait(), name="first check")
            for it in self._keeper.instances.values()
            if it.program is not None
        ]
        if checks:
            _, late = await asyncio.wait(checks, timeout=_FIRST_CHECK_S)
            for check in late:
                check.cancel()

    async def report(self, session_id: str) -> None:
        """Tells all that there is, and obeys the answer if the session still stands."""
        try:
            answer = await self._stub.ReportInstances(self._request(session_id), timeout=_CALL_S)
        except grpc.aio.AioRpcError as rpc_error:
            error = from_rpc_error(rpc_error)
            if isinstance(error, SessionLostError):
                self._node.session_lost(session_id, error)
            elif str(error) != self._refused and rpc_error.code() not in _PASSING:
                log.error("the master does not take the report of instances: %s", error)
                self._refused = str(error)
            return
        self._refused = ""
        # An answer to another session may be another cluster's.
        if self._node.session_id() == session_id:
            self._keeper.unwanted(answer.unwanted_task_ids)

    def _request(self, session_id: str) -> pb.ReportInstancesRequest:
        runners = self._keeper.runners
        cpus, memory_bytes = self._capacity()
        instances = list(self._keeper.instances.values())[:_INSTANCES_MAX]
        return pb.ReportInstancesRequest(
            session_id=session_id,
            instances=[_line(it) for it in instances],
            runners=[it.kind for it in runners if not it.problem],
            problem="; ".join(it.problem for it in runners if it.problem),
            cpus=cpus,
            memory_bytes=memory_bytes,
        )


_PASSING: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def _line(instance: Instance) -> pb.InstanceReport:
    report = pb.InstanceReport(
        task_id=instance.order.task_id,
        instance_id=instance.order.instance_id,
        state=service_pb2.InstanceState.ValueType(int(instance.phase)),
        reason=instance.reason,
    )
    program = instance.program
    if program is not None:
        report.addresses.extend(
            service_pb2.Address(name=it.name, host=it.host, port=it.port)
            for it in program.addresses
        )
        if program.started_ms:
            at = Timestamp()
            at.FromMilliseconds(program.started_ms)
            report.started_at.CopyFrom(at)
    return report
