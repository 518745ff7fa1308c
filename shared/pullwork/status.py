"""Between the table of errors and gRPC statuses: the master packs, clients unpack.

Every error travels as a `google.rpc.Status` with an `ErrorInfo` (reason, domain, metadata),
a `BadRequest` where a field is to blame, and a `RetryInfo` where waiting helps.
"""

from __future__ import annotations

import grpc
import grpc.aio
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from pullwork.errors import (
    BY_REASON,
    DOMAIN,
    DeadlineError,
    PullworkError,
    UnavailableError,
)


def to_status(error: PullworkError) -> grpc.Status:
    """Packs an error for `context.abort_with_status`."""
    message = str(error)
    details: list[any_pb2.Any] = []

    def add(
        detail: error_details_pb2.ErrorInfo
        | error_details_pb2.BadRequest
        | error_details_pb2.RetryInfo,
    ) -> None:
        packed = any_pb2.Any()
        packed.Pack(detail)
        details.append(packed)

    add(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=message
        )
        add(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(error.retry_after_s * 1000))
        add(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(
        code=code_pb2.Code.Value(error.code), message=message, details=details
    )
    packed_status: grpc.Status = rpc_status.to_status(status)
    return packed_status


def from_rpc_error(error: grpc.aio.AioRpcError) -> PullworkError:
    """Unpacks what a master answered, or says that none answered, as a public exception."""
    return _unpacked(rpc_status.from_call(error), error.code(), error.details() or "")


def from_status(status: grpc.Status) -> PullworkError:
    """Unpacks what `to_status` packed."""
    packed = dict(status.trailing_metadata or ()).get(rpc_status.GRPC_DETAILS_METADATA_KEY, b"")
    rich = status_pb2.Status.FromString(packed)
    return _unpacked(rich, status.code, status.details)


def _unpacked(
    status: status_pb2.Status | None, code: grpc.StatusCode, message: str
) -> PullworkError:
    info = error_details_pb2.ErrorInfo()
    field = ""
    retry_after_s = None
    for detail in status.details if status is not None else ():
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            field = bad.field_violations[0].field if bad.field_violations else ""
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    known = BY_REASON.get(info.reason) if info.domain == DOMAIN else None
    if known is not None:
        return known(
            message,
            field=field,
            metadata=dict(info.metadata),
            retry_after_s=retry_after_s,
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return UnavailableError(f"the master can't be reached: {message}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineError()
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return PullworkError(
            f"the master does not know this call ({message}): it is older than this program, which "
            "can be used once the master is brought up to date"
        )
    return PullworkError(f"{code.name}: {message}")
