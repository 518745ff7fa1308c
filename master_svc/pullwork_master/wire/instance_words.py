"""What ExplainTask says of a task that is an instance of a service."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from pullwork.v1 import service_pb2
from pullwork_master.core.explain import Explanation, Why
from pullwork_master.core.model import NODE_PREFIX

# In the place of what is said of queues and workers, of which a node has but one.
_OF_NODES: Final = {
    Why.NO_WORKER: "the node is not connected, or does not offer what it needs; it is placed "
    "elsewhere if that lasts, unless its service waits",
    Why.WORKERS_LEAVING: "the node is draining or out of contact",
    Why.ALL_BUSY: "the node has as many instances as it takes, and begins with it when one ends",
    Why.IN_LINE: "the node has not fetched it yet",
}


def explained(told: Explanation) -> str:
    """Returns the sentence, which names the instance, its service and its node."""
    task = told.task
    if not task.is_instance:
        return told.sentence
    try:
        spec = service_pb2.InstanceSpec.FromString(task.spec.payload)
    except DecodeError:
        spec = service_pb2.InstanceSpec()
    if not spec.instance_id:
        return told.sentence  # not of our making
    node = task.spec.queue.removeprefix(NODE_PREFIX)
    about = f"It is instance {spec.instance_id} of service {spec.service!r} on node {node!r}"
    if told.why in _OF_NODES:
        return f"{about}: {_OF_NODES[told.why]}."
    if told.why is Why.DELAYED and spec.HasField("last_exit"):
        return f"{about}. It ended ({spec.last_exit.reason}) and starts again. {told.sentence}"
    return f"{about}. {told.sentence}"
