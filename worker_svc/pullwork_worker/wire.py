"""Between the contract's messages and the machine's words; nothing else knows both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import task_pb2, worker_pb2
from pullwork_worker.executors.work import Work
from pullwork_worker.machine.instructions import HeldLine, Report
from pullwork_worker.machine.ticket import Failure, Success, Ticket

# The contract's bounds.
_TYPE_CHARS_MAX: Final = 256
_MESSAGE_BYTES_MAX: Final = 4 * 1024
_DETAILS_BYTES_MAX: Final = 32 * 1024


def ticket_of(message: worker_pb2.Ticket) -> Ticket:
    """Returns a ticket with its work."""
    timeout_s = None
    if message.HasField("execution_timeout"):
        timeout_s = message.execution_timeout.ToNanoseconds() / 1e9
    token, type = message.lease_token, message.type
    headers = message.headers
    work = Work(
        token,
        type,
        message.task_id,
        message.attempt,
        message.queue,
        message.owner,
        message.payload,
        message.content_type,
        dict(headers) if len(headers) else {},
        message.checkpoint,
        message.former_attempt,
    )
    return Ticket(token, type, timeout_s, work)


def report_to(call: Report) -> pb.ReportResultRequest:
    """Returns the message for a report."""
    request = pb.ReportResultRequest(
        session_id=call.session_id, request_tasks=call.tickets_max, request_id=call.request_id
    )
    # Filled in place: messages that are made first and handed over are copied, field by field.
    for token, outcome in call.outcomes:
        message = request.outcomes.add()
        message.lease_token = token
        if isinstance(outcome, Success):
            success = message.success
            success.SetInParent()  # an empty result is one too
            success.data = outcome.data
            success.content_type = outcome.content_type
        elif isinstance(outcome, Failure):
            message.failure.CopyFrom(_failure_to(outcome))
        else:
            message.released.SetInParent()
    return request


def _failure_to(failure: Failure) -> task_pb2.Failure:
    return task_pb2.Failure(
        kind=task_pb2.FailureKind.ValueType(int(failure.blame)),
        type=_text(failure.type)[:_TYPE_CHARS_MAX],
        message=_cut(failure.message, _MESSAGE_BYTES_MAX, keep_end=False),
        details=_cut(failure.details, _DETAILS_BYTES_MAX, keep_end=True),
        retryable=failure.retryable,
    )


def held_to(lines: Iterable[HeldLine]) -> list[worker_pb2.HeldLease]:
    """Returns the inventory's messages."""
    messages = []
    for line in lines:
        message = worker_pb2.HeldLease(lease_token=line.token, started=line.started)
        if line.note is not None:
            if line.note.fraction is not None:
                message.fraction = line.note.fraction
            if line.note.message is not None:
                message.message = _text(line.note.message)
            if line.note.checkpoint is not None:
                message.checkpoint = line.note.checkpoint
        messages.append(message)
    return messages


def _text(words: str) -> str:
    """Returns words that UTF-8 can say: no lone surrogates."""
    return words.encode(errors="replace").decode()


def _cut(words: str, bytes_max: int, *, keep_end: bool) -> str:
    data = words.encode(errors="replace")
    if len(data) <= bytes_max:
        return data.decode()
    data = data[-bytes_max:] if keep_end else data[:bytes_max]
    return data.decode(errors="ignore")
