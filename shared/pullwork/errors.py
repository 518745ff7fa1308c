"""The one table of errors: reason → status code → public exception.

The master's wire layer reads it to answer, the client reads it to raise, and
`docs/errors.md` is made from it. It knows nothing of gRPC: codes are names.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pullwork.service_info import ServiceInfo
    from pullwork.task_info import Failure, TaskInfo

DOMAIN = "pullwork"


class PullworkError(Exception):
    """Something that Pullwork refuses or cannot do; the root of all its exceptions."""

    reason: ClassVar[str] = ""
    code: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str = "",
        *,
        field: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", 1)[0])
        self.field = field
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s


class InvalidFieldError(PullworkError):
    """A field of the request is missing, malformed or out of range."""

    reason = "INVALID_FIELD"
    code = "INVALID_ARGUMENT"


class NotFoundError(PullworkError):
    """What was asked for does not exist."""

    code = "NOT_FOUND"


class TaskNotFoundError(NotFoundError):
    """No task has this id; perhaps its retention ended."""

    reason = "TASK_NOT_FOUND"


class WorkerNotFoundError(NotFoundError):
    """No connected worker has this session id or name."""

    reason = "WORKER_NOT_FOUND"


class QueueNotFoundError(NotFoundError):
    """No queue has this name; a queue comes to be with its first task."""

    reason = "QUEUE_NOT_FOUND"


class ServiceNotFoundError(NotFoundError):
    """No service has this name."""

    reason = "SERVICE_NOT_FOUND"


class InstanceNotFoundError(NotFoundError):
    """The service has no instance with this id."""

    reason = "INSTANCE_NOT_FOUND"


class ServiceExistsError(PullworkError):
    """A service with this name is there already; change it, or choose another name."""

    reason = "SERVICE_EXISTS"
    code = "ALREADY_EXISTS"


class RevisionConflictError(PullworkError):
    """Somebody changed the service meanwhile; look at it again, then decide."""

    reason = "REVISION_CONFLICT"
    code = "FAILED_PRECONDITION"


class TaskIdConflictError(PullworkError):
    """A task with this id but other content is there already."""

    reason = "TASK_ID_CONFLICT"
    code = "ALREADY_EXISTS"


class SessionLostError(PullworkError):
    """The master does not know this session any more; register anew."""

    reason = "SESSION_LOST"
    code = "FAILED_PRECONDITION"


class TaskEndedError(PullworkError):
    """The task has ended already, so it can't be cancelled."""

    reason = "TASK_ENDED"
    code = "FAILED_PRECONDITION"


class TaskNotRetryableError(PullworkError):
    """Only FAILED and CANCELLED tasks can be retried."""

    reason = "TASK_NOT_RETRYABLE"
    code = "FAILED_PRECONDITION"


class QueueFullError(PullworkError):
    """The queue holds as many tasks as it may; try again later."""

    reason = "QUEUE_FULL"
    code = "RESOURCE_EXHAUSTED"


class DiskFullError(PullworkError):
    """The master's disk is full; nothing was stored."""

    reason = "DISK_FULL"
    code = "RESOURCE_EXHAUSTED"


class TooManyRequestsError(PullworkError):
    """The master has no room for more of this now; try again later."""

    reason = "TOO_MANY_REQUESTS"
    code = "RESOURCE_EXHAUSTED"


class UnavailableError(PullworkError):
    """The master can't be reached, or went away before it answered."""

    reason = "UNREACHABLE"
    code = "UNAVAILABLE"


class ShuttingDownError(UnavailableError):
    """The master is stopping; another or the next one will answer."""

    reason = "SHUTTING_DOWN"


class NodeUnreachableError(UnavailableError):
    """The node can't be reached now; try again later."""

    reason = "NODE_UNREACHABLE"


class DeadlineError(PullworkError):
    """The caller's deadline passed before the master answered; the work may go on."""

    reason = "DEADLINE"
    code = "DEADLINE_EXCEEDED"


class InternalError(PullworkError):
    """A bug in the master; `metadata["error_id"]` names it in the master's log."""

    reason = "INTERNAL"
    code = "INTERNAL"


class TaskError(PullworkError):
    """A task ended without a result; raised only where somebody waits for it."""

    reason = "TASK_ERROR"

    def __init__(self, message: str = "", *, task: TaskInfo | None = None) -> None:
        super().__init__(message, metadata={"task_id": task.id} if task else None)
        self.task = task


class TaskFailedError(TaskError):
    """The task ended as FAILED; `failure` says why."""

    reason = "TASK_FAILED"

    @property
    def failure(self) -> Failure | None:
        """Why: its kind, type, message and details; `task.attempts` has the earlier ones."""
        return self.task.failure if self.task else None


class TaskCancelledError(TaskError):
    """The task was cancelled."""

    reason = "TASK_CANCELLED"


class RolloutFailedError(PullworkError):
    """A change of a service did not come through; raised only where somebody waits for it."""

    reason = "ROLLOUT_FAILED"

    def __init__(self, message: str = "", *, service: ServiceInfo | None = None) -> None:
        super().__init__(message, metadata={"service": service.name} if service else None)
        self.service = service


class PayloadError(PullworkError):
    """Arguments or a result can't be encoded or decoded, or don't fit the function's signature."""

    reason = "PAYLOAD"


class TaskDefinitionError(PullworkError):
    """A function can't be made a task; the message names it and the remedy."""

    reason = "TASK_DEFINITION"


class NoTaskError(PullworkError):
    """There is no task running here: pullwork.context.current() works inside a task only."""

    reason = "NO_TASK"


class SettingsError(PullworkError):
    """A setting is unknown or unusable; the message names it and the remedy."""

    reason = "SETTINGS"


# What a master may answer. The other exceptions are made on the caller's side.
WIRE_ERRORS: tuple[type[PullworkError], ...] = (
    InvalidFieldError,
    TaskNotFoundError,
    WorkerNotFoundError,
    QueueNotFoundError,
    ServiceNotFoundError,
    InstanceNotFoundError,
    ServiceExistsError,
    RevisionConflictError,
    TaskIdConflictError,
    SessionLostError,
    TaskEndedError,
    TaskNotRetryableError,
    QueueFullError,
    DiskFullError,
    TooManyRequestsError,
    ShuttingDownError,
    NodeUnreachableError,
    InternalError,
)

# How HTTP says what a status code says.
HTTP_STATUS: Mapping[str, int] = MappingProxyType(
    {
        "INVALID_ARGUMENT": 400,
        "OUT_OF_RANGE": 400,
        "UNAUTHENTICATED": 401,
        "PERMISSION_DENIED": 403,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "FAILED_PRECONDITION": 409,
        "ABORTED": 409,
        "RESOURCE_EXHAUSTED": 429,
        "UNIMPLEMENTED": 501,
        "UNAVAILABLE": 503,
        "DEADLINE_EXCEEDED": 504,
        "INTERNAL": 500,
        "UNKNOWN": 500,
    }
)

BY_REASON: dict[str, type[PullworkError]] = {error.reason: error for error in WIRE_ERRORS}
