"""What the core refuses, by the contract's reasons; the wire layer turns them into statuses."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The reasons of the contract that the core itself may give."""

    INVALID_FIELD = "INVALID_FIELD"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    WORKER_NOT_FOUND = "WORKER_NOT_FOUND"
    QUEUE_NOT_FOUND = "QUEUE_NOT_FOUND"
    TASK_ID_CONFLICT = "TASK_ID_CONFLICT"
    SESSION_LOST = "SESSION_LOST"
    SERVICE_NOT_FOUND = "SERVICE_NOT_FOUND"
    INSTANCE_NOT_FOUND = "INSTANCE_NOT_FOUND"
    SERVICE_EXISTS = "SERVICE_EXISTS"
    REVISION_CONFLICT = "REVISION_CONFLICT"
    TASK_ENDED = "TASK_ENDED"
    TASK_NOT_RETRYABLE = "TASK_NOT_RETRYABLE"
    QUEUE_FULL = "QUEUE_FULL"
    DISK_FULL = "DISK_FULL"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    NODE_UNREACHABLE = "NODE_UNREACHABLE"


class Rejection(Exception):
    """A command is refused, and nothing of it was done."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        field: str = "",
        retry_after_ms: int | None = None,
        **metadata: str,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.metadata = metadata


def shutting_down() -> Rejection:
    """Makes the refusal of a master that stops."""
    return Rejection(Reason.SHUTTING_DOWN, "the master is stopping; try again")
