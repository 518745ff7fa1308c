"""Pullwork: durable distributed work over gRPC.

Everything public is here. Names are loaded when first used, because processes that only run
task functions import this package too, and must not load gRPC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pullwork.client import Client as Client
    from pullwork.context import TaskContext as TaskContext
    from pullwork.context import current as current
    from pullwork.errors import DeadlineError as DeadlineError
    from pullwork.errors import DiskFullError as DiskFullError
    from pullwork.errors import InstanceNotFoundError as InstanceNotFoundError
    from pullwork.errors import InternalError as InternalError
    from pullwork.errors import InvalidFieldError as InvalidFieldError
    from pullwork.errors import NodeUnreachableError as NodeUnreachableError
    from pullwork.errors import NoTaskError as NoTaskError
    from pullwork.errors import NotFoundError as NotFoundError
    from pullwork.errors import PayloadError as PayloadError
    from pullwork.errors import PullworkError as PullworkError
    from pullwork.errors import QueueFullError as QueueFullError
    from pullwork.errors import QueueNotFoundError as QueueNotFoundError
    from pullwork.errors import RevisionConflictError as RevisionConflictError
    from pullwork.errors import RolloutFailedError as RolloutFailedError
    from pullwork.errors import ServiceExistsError as ServiceExistsError
    from pullwork.errors import ServiceNotFoundError as ServiceNotFoundError
    from pullwork.errors import SettingsError as SettingsError
    from pullwork.errors import ShuttingDownError as ShuttingDownError
    from pullwork.errors import TaskCancelledError as TaskCancelledError
    from pullwork.errors import TaskDefinitionError as TaskDefinitionError
    from pullwork.errors import TaskEndedError as TaskEndedError
    from pullwork.errors import TaskError as TaskError
    from pullwork.errors import TaskFailedError as TaskFailedError
    from pullwork.errors import TaskIdConflictError as TaskIdConflictError
    from pullwork.errors import TaskNotFoundError as TaskNotFoundError
    from pullwork.errors import TaskNotRetryableError as TaskNotRetryableError
    from pullwork.errors import TooManyRequestsError as TooManyRequestsError
    from pullwork.errors import UnavailableError as UnavailableError
    from pullwork.errors import WorkerNotFoundError as WorkerNotFoundError
    from pullwork.handle import Handle as Handle
    from pullwork.node_info import Change as Change
    from pullwork.node_info import MemberInfo as MemberInfo
    from pullwork.node_info import MemberRole as MemberRole
    from pullwork.node_info import RegistryChange as RegistryChange
    from pullwork.node_info import WorkerInfo as WorkerInfo
    from pullwork.node_info import WorkerState as WorkerState
    from pullwork.payload import Encoded as Encoded
    from pullwork.queue_info import LimitChanges as LimitChanges
    from pullwork.queue_info import LineInfo as LineInfo
    from pullwork.queue_info import QueueInfo as QueueInfo
    from pullwork.queue_info import QueueLimits as QueueLimits
    from pullwork.queue_info import QueueUse as QueueUse
    from pullwork.queues import Queues as Queues
    from pullwork.service_info import Address as Address
    from pullwork.service_info import InstanceExit as InstanceExit
    from pullwork.service_info import InstanceInfo as InstanceInfo
    from pullwork.service_info import InstanceSet as InstanceSet
    from pullwork.service_info import InstanceState as InstanceState
    from pullwork.service_info import NodeInfo as NodeInfo
    from pullwork.service_info import Rollout as Rollout
    from pullwork.service_info import RolloutState as RolloutState
    from pullwork.service_info import ServiceChange as ServiceChange
    from pullwork.service_info import ServiceEvent as ServiceEvent
    from pullwork.service_info import ServiceInfo as ServiceInfo
    from pullwork.service_info import ServiceLogLine as ServiceLogLine
    from pullwork.service_info import ServiceUpdate as ServiceUpdate
    from pullwork.service_spec import CommandCheck as CommandCheck
    from pullwork.service_spec import DisconnectPolicy as DisconnectPolicy
    from pullwork.service_spec import HealthCheck as HealthCheck
    from pullwork.service_spec import HttpCheck as HttpCheck
    from pullwork.service_spec import Placement as Placement
    from pullwork.service_spec import Port as Port
    from pullwork.service_spec import Resources as Resources
    from pullwork.service_spec import RestartPolicy as RestartPolicy
    from pullwork.service_spec import ServiceSpec as ServiceSpec
    from pullwork.service_spec import TcpCheck as TcpCheck
    from pullwork.service_spec import UpdateFailureAction as UpdateFailureAction
    from pullwork.service_spec import UpdatePolicy as UpdatePolicy
    from pullwork.services import Services as Services
    from pullwork.submission import SharedOptions as SharedOptions
    from pullwork.submission import SubmitOptions as SubmitOptions
    from pullwork.task_info import Attempt as Attempt
    from pullwork.task_info import AttemptEnd as AttemptEnd
    from pullwork.task_info import Explanation as Explanation
    from pullwork.task_info import Failure as Failure
    from pullwork.task_info import FailureKind as FailureKind
    from pullwork.task_info import Progress as Progress
    from pullwork.task_info import TaskFilter as TaskFilter
    from pullwork.task_info import TaskInfo as TaskInfo
    from pullwork.task_info import TaskState as TaskState
    from pullwork.task_info import WaitReason as WaitReason
    from pullwork.tasks import Call as Call
    from pullwork.tasks import Retry as Retry
    from pullwork.tasks import Task as Task
    from pullwork.tasks import task as task
    from pullwork.watch import Watch as Watch
    from pullwork.window import Ended as Ended

_HOMES = {
    "client": ("Client",),
    "context": ("TaskContext", "current"),
    "errors": (
        "DeadlineError",
        "DiskFullError",
        "InstanceNotFoundError",
        "InternalError",
        "InvalidFieldError",
        "NoTaskError",
        "NodeUnreachableError",
        "NotFoundError",
        "PayloadError",
        "PullworkError",
        "QueueFullError",
        "QueueNotFoundError",
        "RevisionConflictError",
        "RolloutFailedError",
        "ServiceExistsError",
        "ServiceNotFoundError",
        "SettingsError",
        "ShuttingDownError",
        "TaskCancelledError",
        "TaskDefinitionError",
        "TaskEndedError",
        "TaskError",
        "TaskFailedError",
        "TaskIdConflictError",
        "TaskNotFoundError",
        "TaskNotRetryableError",
        "TooManyRequestsError",
        "UnavailableError",
        "WorkerNotFoundError",
    ),
    "handle": ("Handle",),
    "node_info": (
        "Change",
        "MemberInfo",
        "MemberRole",
        "RegistryChange",
        "WorkerInfo",
        "WorkerState",
    ),
    "payload": ("Encoded",),
    "queue_info": ("LimitChanges", "LineInfo", "QueueInfo", "QueueLimits", "QueueUse"),
    "queues": ("Queues",),
    "service_info": (
        "Address",
        "InstanceExit",
        "InstanceInfo",
        "InstanceSet",
        "InstanceState",
        "NodeInfo",
        "Rollout",
        "RolloutState",
        "ServiceChange",
        "ServiceEvent",
        "ServiceInfo",
        "ServiceLogLine",
        "ServiceUpdate",
    ),
    "service_spec": (
        "CommandCheck",
        "DisconnectPolicy",
        "HealthCheck",
        "HttpCheck",
        "Placement",
        "Port",
        "Resources",
        "RestartPolicy",
        "ServiceSpec",
        "TcpCheck",
        "UpdateFailureAction",
        "UpdatePolicy",
    ),
    "services": ("Services",),
    "submission": ("SharedOptions", "SubmitOptions"),
    "task_info": (
        "Attempt",
        "AttemptEnd",
        "Explanation",
        "Failure",
        "FailureKind",
        "Progress",
        "TaskFilter",
        "TaskInfo",
        "TaskState",
        "WaitReason",
    ),
    "tasks": ("Call", "Retry", "Task", "task"),
    "watch": ("Watch",),
    "window": ("Ended",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'pullwork' has no attribute {name!r}")
    value: object = getattr(import_module(f"pullwork.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
