"""Between tasks and instances: what a task's payload says, and what its end means."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError

from pullwork.ids import new_task_id
from pullwork.v1 import node_service_pb2, service_pb2
from pullwork_master.core.commands import NewTask
from pullwork_master.core.flows import flow_of
from pullwork_master.core.model import Retry, Spec, State, Task
from pullwork_master.orchestrator.records import host_ports, milliseconds, moment
from pullwork_master.reconciler.model import (
    NODE_PREFIX,
    Exit,
    Instance,
    Phase,
    Start,
)

# Of the tasks that instances are: they tell for a while what happened, and are then forgotten.
RETENTION_MS: Final = 3_600_000
# The death of a node is not the fault of what ran there, however often it happens.
DEATHS_MAX: Final = 2**31 - 1
CONTENT_TYPE: Final = "application/vnd.pullwork.instance-spec"
LOG_BYTES_MAX: Final = 4 * 1024
REASON_CHARS_MAX: Final = 400


@dataclass(slots=True, eq=False)
class Live:
    """A task of an instance that has not ended, and what its node says of it."""

    task_id: str
    node: str
    spec: service_pb2.InstanceSpec
    created_ms: int
    # It waits for this moment; 0: it does not.
    not_before_ms: int
    # The ports of its node, and the cores and the memory, that it takes.
    host_ports: tuple[int, ...]
    room: tuple[float, int]
    report: node_service_pb2.InstanceReport | None = None
    # Since when it has been HEALTHY without a break; 0: it is not.
    healthy_ms: int = 0
    # What was last made of it, for those who look; None: it has changed since.
    shown: service_pb2.Instance | None = None
    modelled: Instance | None = None

    @property
    def phase(self) -> Phase:
        """Where it is in its life."""
        if self.not_before_ms:
            return Phase.FAILED if self.spec.HasField("last_exit") else Phase.PENDING
        return Phase.PENDING if self.report is None else Phase(self.report.state)

    def model(self) -> Instance:
        """Returns what the reconciler knows of it."""
        if self.modelled is None:
            spec = self.spec
            self.modelled = Instance(
                task_id=self.task_id,
                id=spec.instance_id,
                service=spec.service,
                version=spec.version,
                node=self.node,
                phase=self.phase,
                created_ms=self.created_ms,
                healthy_ms=self.healthy_ms,
                not_before_ms=self.not_before_ms,
                restarts=spec.restarts,
                quick_restarts=spec.quick_restarts,
                last_exit=_exit(spec.last_exit) if spec.HasField("last_exit") else None,
            )
        return self.modelled


def live(task: Task) -> Live:
    """Makes an instance of a task that has not ended."""
    spec = _spec_of(task)
    made_of = spec.spec
    return Live(
        task_id=task.spec.id,
        node=task.spec.queue.removeprefix(NODE_PREFIX),
        spec=spec,
        created_ms=task.created_ms,
        not_before_ms=waits_until(task),
        host_ports=host_ports(made_of),
        room=(made_of.resources.cpus, made_of.resources.memory_bytes),
    )


def _spec_of(task: Task) -> service_pb2.InstanceSpec:
    """Reads a payload; what we did not write is an instance of no service, and so is stopped."""
    try:
        return service_pb2.InstanceSpec.FromString(task.spec.payload)
    except DecodeError:
        return service_pb2.InstanceSpec()


def waits_until(task: Task) -> int:
    """Returns the moment that a task waits for; 0: it does not."""
    return task.ready_ms if task.state is State.SCHEDULED else 0


def new_task(start: Start) -> NewTask:
    """Makes the task that an instance is to be."""
    spec = service_pb2.InstanceSpec(
        instance_id=start.id,
        service=start.service,
        version=start.version,
        spec=service_pb2.ServiceSpec.FromString(start.template),
        restarts=start.restarts,
        quick_restarts=start.quick_restarts,
    )
    if start.last_exit is not None:
        spec.last_exit.CopyFrom(_shown_exit(start.last_exit))
    owner = f"service/{start.service}"
    return NewTask(
        Spec(
            id=new_task_id(),
            queue=NODE_PREFIX + start.node,
            type=start.runner.task_type,
            payload=spec.SerializeToString(deterministic=True),
            content_type=CONTENT_TYPE,
            not_before_ms=start.not_before_ms,
            retry=Retry(max_attempts=1),
            max_worker_deaths=DEATHS_MAX,
            owner=owner,
            retention_ms=RETENTION_MS,
            flow=flow_of(owner, ""),
        )
    )


def exit_of(task: Task, report: node_service_pb2.InstanceReport | None) -> Exit:
    """Tells how an instance ended whose task did, whoever ended it, and as far as is known."""
    started_ms = milliseconds(report.started_at) if report is not None else 0
    if task.state is State.CANCELLED:
        return Exit("its task was cancelled", None, task.ended_ms, "", started_ms)
    if task.failure is not None and task.state is State.FAILED:
        reason = task.failure.message or task.failure.type or "it ended without a word"
        facts, code = _facts(task.failure.details), None
    else:
        reason = "it ended with exit code 0"
        facts, code = _facts(task.result or b""), 0
    return Exit(
        reason=_sentence(str(facts.get("reason") or reason)),
        code=_number(facts.get("code"), code),
        ended_ms=_number(facts.get("ended_at_ms"), None) or task.ended_ms,
        log=_last(str(facts.get("log") or "")),
        started_ms=_number(facts.get("started_at_ms"), None) or started_ms,
    )


def _facts(text: str | bytes) -> dict[str, Any]:
    try:
        facts = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _number(value: object, default: int | None) -> int | None:
    """Takes a whole number that fits where it goes."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return default
    return int(value) if -(2**31) <= value < 2**53 else default


def _sentence(text: str) -> str:
    return " ".join(text.split())[:REASON_CHARS_MAX]


def _last(text: str) -> str:
    """Cuts a text to its last bytes."""
    return text.encode(errors="replace")[-LOG_BYTES_MAX:].decode(errors="ignore")


def _exit(shown: service_pb2.Exit) -> Exit:
    code = shown.code if shown.HasField("code") else None
    return Exit(shown.reason, code, milliseconds(shown.time), shown.log)


def _shown_exit(exit: Exit) -> service_pb2.Exit:
    made = service_pb2.Exit(reason=exit.reason, time=moment(exit.ended_ms), log=exit.log)
    if exit.code is not None:
        made.code = max(-(2**31), min(exit.code, 2**31 - 1))
    return made
