"""A node's side of the contract, by hand, and services whose instances a test places itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf import json_format
from wired_master import WiredMaster, WireWorker, read

from pullwork.v1 import master_service_pb2 as m
from pullwork.v1 import node_service_pb2 as n
from pullwork.v1 import orchestrator_service_pb2 as o
from pullwork.v1 import service_pb2, worker_pb2
from pullwork_master.core.commands import Submit
from pullwork_master.orchestrator import instances
from pullwork_master.reconciler.model import NODE_PREFIX, Runner, Start

HEALTHY = service_pb2.INSTANCE_STATE_HEALTHY
TYPES = [runner.task_type for runner in Runner]
LEAST = {"command": ["serve"], "ports": [{}]}


def spec(**fields: Any) -> service_pb2.ServiceSpec:
    """Makes a spec of JSON's words; of a process, if nothing else is said."""
    return json_format.ParseDict(fields or LEAST, service_pb2.ServiceSpec())


async def create(master: WiredMaster, name: str = "web", **fields: Any) -> service_pb2.Service:
    """Makes a service."""
    request = o.CreateServiceRequest(name=name, spec=spec(**fields))
    return (await master.services.CreateService(request)).service


async def get(master: WiredMaster, name: str = "web") -> service_pb2.Service:
    """Shows a service."""
    return (await master.services.GetService(o.GetServiceRequest(name=name))).service


async def update(
    master: WiredMaster, name: str = "web", more: dict[str, Any] | None = None, **fields: Any
) -> o.UpdateServiceResponse:
    """Changes a service; `more` are the other fields of the request."""
    change = json_format.ParseDict(fields, service_pb2.ServiceSpec())
    request = o.UpdateServiceRequest(name=name, spec=change, **(more or {}))
    return await master.services.UpdateService(request)


async def place(master: WiredMaster, node: str, number: int = 1, service: str = "web") -> str:
    """Submits the task of an instance, as the loop does; returns its id."""
    kept = master.orchestrator.roster.services[service]
    start = Start(
        id=f"{service}-{number}",
        service=service,
        version=kept.row.version,
        node=node,
        template=kept.service.wanted.template,
        runner=kept.service.wanted.runner,
    )
    new = instances.new_task(start)
    await master.engine.ask(Submit((new,)))
    return new.spec.id


class HandNode:
    """A node that does what a test tells it."""

    def __init__(self, master: WiredMaster, name: str, worker: WireWorker) -> None:
        self.master = master
        self.name = name
        self.worker = worker
        self.session_id = worker.session_id
        self.has: dict[str, n.InstanceReport] = {}
        self.news: Any = None

    async def listen(self) -> None:
        """Opens its stream of news."""
        self.news = await self.worker.listening()

    async def wanted_log(self) -> m.TaskIncomingResponse.LogWanted:
        """Reads news until somebody wants a log."""
        while True:
            event = await read(self.news)
            if event.WhichOneof("event") == "log_wanted":
                wanted: m.TaskIncomingResponse.LogWanted = event.log_wanted
                return wanted

    async def take(self, *, state: Any = HEALTHY) -> list[worker_pb2.Ticket]:
        """Takes the tickets that there are, and has their instances in a state."""
        tickets = await self.worker.request(max_tasks=100)
        for ticket in tickets:
            told = service_pb2.InstanceSpec.FromString(ticket.payload)
            self.has[ticket.task_id] = n.InstanceReport(
                task_id=ticket.task_id,
                instance_id=told.instance_id,
                state=state,
                addresses=[service_pb2.Address(name="main", host="10.0.0.1", port=20_000)],
            )
        return tickets

    async def report(self, **more: Any) -> list[str]:
        """Reports all that it has; returns what of it is unwanted."""
        request = n.ReportInstancesRequest(
            session_id=self.session_id,
            instances=self.has.values(),
            **{"runners": ["process", "container"], "cpus": 4, "memory_bytes": 1 << 33, **more},
        )
        answer = await self.master.nodes.ReportInstances(request)
        return list(answer.unwanted_task_ids)

    async def step(self) -> None:
        """Does what a node does every moment: takes what is wanted, gives up what is not."""
        await self.take()
        for task_id in await self.report():
            del self.has[task_id]

    def send_logs(
        self, log_id: str, *parts: Iterable[str], problem: str = "", hold: Any = None
    ) -> Any:
        """Begins to send lines, a message for each part; with `hold`, it ends after that event."""

        async def messages() -> AsyncIterator[n.SendLogsRequest]:
            first = n.SendLogsRequest(session_id=self.session_id, log_id=log_id)
            yield first
            for part in parts:
                yield n.SendLogsRequest(lines=[o.LogLine(text=text) for text in part])
            if problem:
                yield n.SendLogsRequest(problem=problem)
            if hold is not None:
                await hold.wait()

        return self.master.nodes.SendLogs(messages())


async def node(master: WiredMaster, name: str = "n1") -> HandNode:
    """Registers a node, which listens and has reported that it has nothing."""
    queue = NODE_PREFIX + name
    worker = await master.worker(queue, queues=[queue], task_types=TYPES, slots=100)
    made = HandNode(master, name, worker)
    await made.listen()
    await made.report()
    return made


async def running(master: WiredMaster, count: int = 1, **fields: Any) -> HandNode:
    """Makes a service `web` and a node that has that many healthy instances of it."""
    await create(master, **fields)
    made = await node(master)
    for number in range(1, count + 1):
        await place(master, made.name, number)
    await made.take()
    await made.report()
    return made


def texts(message: o.WatchLogsResponse) -> list[str]:
    """Returns the lines of a message."""
    return [line.text for line in message.lines]
