"""Judges a trace: is it whole, from the submission to the end of the execution?"""

from __future__ import annotations

import asyncio
import os
import sys

from cluster import Cluster
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from receiver import Receiver, Seen

SHOP, MASTER, WORKER = "shop", "pullwork-master", "pullwork-worker"


async def submitted(told: Cluster, kind: str, payload: str) -> str:
    """Runs a client's program, and returns the id of its task, which succeeded."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PULLWORK_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "trace_client",
        kind,
        payload,
        env=environ | told.env | {"PULLWORK_ADDRESS": told.address},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    task_id, state = out.decode().split()[-2:]
    assert state == "SUCCEEDED"
    return task_id


def of_task(receiver: Receiver, task_id: str, operation: str = "") -> list[Seen]:
    """Returns the spans of a task, in the order in which they began."""
    found = [
        seen
        for seen in receiver.spans()
        if seen.attributes.get("messaging.message.id") == task_id
        and seen.name.startswith(operation)
    ]
    return sorted(found, key=lambda seen: seen.span.start_time_unix_nano)


def faults(receiver: Receiver, task_id: str) -> list[str]:
    """Returns what a trace of one attempt lacks."""
    spans = of_task(receiver, task_id)
    parts = {(seen.service, seen.name.split()[0]): seen for seen in spans}
    wanted = {(SHOP, "submit"), (MASTER, "wait"), (WORKER, "process")}
    if parts.keys() != wanted or len(spans) != 3:
        return [f"there are {sorted(parts)}, not {sorted(wanted)}"]
    submit, wait, process = (parts[key].span for key in sorted(wanted, key=_order))
    found = []
    orders = receiver.spans("order")
    if [submit.parent_span_id] != [order.span.span_id for order in orders]:
        found.append("the submission is no child of what the program was at")
    if len({seen.span.trace_id for seen in (*spans, *orders)}) != 1:
        found.append("there are several traces")
    for name, span in (("wait", wait), ("process", process)):
        if span.parent_span_id != submit.span_id:
            found.append(f"{name} is no child of the submission")
    kinds = (submit.kind, wait.kind, process.kind)
    if kinds != (Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_CONSUMER):
        found.append(f"the kinds are {kinds}")
    if len({seen.resource["process.pid"] for seen in spans}) != 3:
        found.append("they are not from three processes")
    millisecond = 1_000_000
    moments = [
        submit.start_time_unix_nano - millisecond,
        wait.start_time_unix_nano,
        wait.end_time_unix_nano,
        process.start_time_unix_nano + millisecond,
        process.end_time_unix_nano + millisecond,
    ]
    if moments != sorted(moments):
        found.append(f"they are not in order: {moments}")
    return found


def _order(key: tuple[str, str]) -> int:
    return ("submit", "wait", "process").index(key[1])
