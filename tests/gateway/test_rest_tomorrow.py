"""A service that nobody wrote a line for here is served by its annotations alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import google.api.annotations_pb2
import grpc
import grpc.aio
import pytest
from google.api.annotations_pb2 import http as http_rule
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from http_door import client_of, events, opened, refused
from wired_master import WiredMaster

from pullwork_master.gateway.refusals import MethodNotAllowedError, NoSuchPathError
from pullwork_master.gateway.routes import Routes
from pullwork_master.wire.calls import Calls
from pullwork_master.wire.refusals import Refusals

SERVICE = "pullwork.tomorrow.v1.OrchestratorService"
PATHS = {
    "ListServices": ("get", ["/services"], ""),
    "GetService": ("get", ["/services/{name}", "/service/{name}"], ""),
    "PutService": ("put", ["/services/{name}", "/service/{name}"], "*"),
    "DeleteService": ("delete", ["/services/{name}"], ""),
    "WatchLogs": ("get", ["/services/{name}/logs"], ""),
    "Hidden": ("get", [], ""),
}


def _contract() -> FileDescriptorProto:
    """Makes a contract: one message, which every call takes and answers."""
    file = FileDescriptorProto(
        name="pullwork/tomorrow/v1/services.proto",
        package="pullwork.tomorrow.v1",
        syntax="proto3",
        dependency=["google/api/annotations.proto"],
    )
    message = file.message_type.add(name="Service")
    kinds = {"name": FieldDescriptorProto.TYPE_STRING, "instances": FieldDescriptorProto.TYPE_INT32}
    for number, (name, kind) in enumerate(kinds.items(), 1):
        message.field.add(name=name, number=number, type=kind, label=1)
    service = file.service.add(name="OrchestratorService")
    for name, (verb, paths, body) in PATHS.items():
        method = service.method.add(
            name=name,
            input_type=".pullwork.tomorrow.v1.Service",
            output_type=".pullwork.tomorrow.v1.Service",
            server_streaming=name == "WatchLogs",
        )
        for number, path in enumerate(paths):
            rule = method.options.Extensions[http_rule]
            at = rule.additional_bindings.add() if number else rule
            setattr(at, verb, path)
            at.body = body
    return file


@pytest.fixture(scope="module", autouse=True)
def service() -> Iterator[None]:
    """Makes the contract known to the process, as an import of stubs does."""
    assert google.api.annotations_pb2
    descriptor_pool.Default().Add(_contract())
    return


class Orchestrator:
    """A servicer of it, which answers what it is asked."""

    async def unary(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        """Answers with the request; aborts for one name."""
        if request.name == "absent":
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "no such thing yet")
        return request

    async def stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """Counts down."""
        for left in range(3, 0, -1):
            yield type(request)(name=request.name, instances=left)


def _calls() -> Calls:
    calls = Calls(grpc.aio.server(), [Refusals()])
    served = Orchestrator()
    found = descriptor_pool.Default().FindServiceByName(SERVICE)
    message = GetMessageClass(found.methods_by_name["GetService"].input_type)
    handlers = {}
    for method in found.methods:
        unary = not method.server_streaming
        make = (
            grpc.unary_unary_rpc_method_handler if unary else grpc.unary_stream_rpc_method_handler
        )
        handlers[method.name] = make(
            served.unary if unary else served.stream,
            message.FromString,
            message.SerializeToString,
        )
    calls.add_registered_method_handlers(SERVICE, handlers)
    return calls


async def test_a_new_service_is_served_without_new_code(master: WiredMaster) -> None:
    async with opened(master, calls=_calls()) as door, client_of(door) as http:
        made = await http.put("/services/web", json={"instances": 3})
        assert made.json() == {"name": "web", "instances": 3}
        for path in ("/services/web", "/service/web"):
            assert (await http.get(path)).json()["name"] == "web"
        assert (await http.delete("/services/web?instances=2")).json()["instances"] == 2
        refused(await http.get("/services/absent"), 501, "UNIMPLEMENTED")
        wrong = await http.put("/services/web", json={"instances": "many"})
        assert refused(wrong, 400, "INVALID_FIELD")["field"] == "instances"
        async with http.stream("GET", "/services/web/logs") as response:
            told = [event async for event in events(response)]
        assert [event.data.get("instances") for event in told] == [3, 2, 1, None]
        assert told[-1].kind == "end"


def test_a_call_without_a_path_is_not_reached_over_http() -> None:
    routes = Routes([SERVICE])
    assert {route.method.name for route in routes.all} == PATHS.keys() - {"Hidden"}
    with pytest.raises(NoSuchPathError):
        routes.find("GET", "/hidden")


def test_a_word_goes_before_a_variable_whatever_the_method() -> None:
    routes = Routes(["pullwork.v1.TaskService"])
    assert routes.find("GET", "/tasks/watch")[0].method.name == "WatchTasks"
    assert routes.find("GET", "/tasks/watches")[0].method.name == "GetTask"
    with pytest.raises(MethodNotAllowedError):
        routes.find("GET", "/tasks/run")
