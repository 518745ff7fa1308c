"""Services from Python, against a real master and a real node."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest
from task_cluster import Process, TaskCluster, until

from pullwork import (
    Client,
    DeadlineError,
    DisconnectPolicy,
    InstanceNotFoundError,
    InstanceState,
    InvalidFieldError,
    NodeUnreachableError,
    Placement,
    Port,
    RevisionConflictError,
    RolloutFailedError,
    RolloutState,
    ServiceEvent,
    ServiceExistsError,
    ServiceNotFoundError,
    ServiceSpec,
    blocking,
)

pytestmark = pytest.mark.service

IDLE = ("sh", "-c", "echo up; exec sleep 600")
ENDS = ("sh", "-c", "echo no milk; exit 3")
SPEC = ServiceSpec(command=IDLE, stop_grace=1.0)
NOWHERE = Placement(constraints={"disk": "tape"})


class NodeCluster(TaskCluster):
    """A cluster with nodes of processes, of which nothing is left behind."""

    def node(self, name: str, *more: str) -> Process:
        """Starts a worker that keeps instances."""
        flags = ["--offer", "process", "--node", name, "--state", str(self.folder / "state")]
        env = {"PULLWORK_ADDRESS": self.address}
        return self._start(name, ["pullwork_worker", *flags, *more], env)

    def close(self) -> None:
        """Ends all processes, and the programs that outlive their node."""
        super().close()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.cwd().startswith(str(self.folder / "state")):
                    process.kill()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeCluster]:
    """A master and a node."""
    cluster = NodeCluster(tmp_path_factory.mktemp("services"))

    async def start() -> None:
        await cluster.master()
        cluster.node("desk")
        async with Client(cluster.address) as client:
            await until(client.services.nodes, "the node registers")

    asyncio.run(start())
    yield cluster
    cluster.close()


@pytest.fixture
def address(nodes: NodeCluster) -> str:
    return nodes.address


@pytest.fixture
async def client(address: str) -> AsyncIterator[Client]:
    async with Client(address, deadline=10) as client:
        yield client
        for service in await client.services.list():
            await client.services.delete(service.name)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_"))
    return str(words[:36].strip("-"))


async def test_a_service_is_made_waited_for_and_found(client: Client, name: str) -> None:
    made = await client.services.create(name, SPEC)
    assert (made.name, made.spec.instances, made.spec.stop_grace) == (name, 1, 1.0)
    healthy = await client.services.wait_healthy(made, 30)
    assert healthy.settled
    assert healthy.rollout.state is RolloutState.DONE
    assert (await client.services.get(name)).healthy == 1
    assert [it.name for it in await client.services.list()] == [name]
    [instance] = await client.services.instances(name, states=[InstanceState.HEALTHY])
    assert (instance.id, instance.node, instance.service) == (f"{name}-1", "desk", name)
    assert (await client.get(instance.task_id)).state == "RUNNING"
    assert await client.services.instances(name, node="other") == []
    node = next(it for it in await client.services.nodes() if it.name == "desk")
    assert (node.name, node.runners, node.instances) == ("desk", ("process",), 1)


async def test_a_dry_run_makes_and_changes_nothing(client: Client, name: str) -> None:
    would = await client.services.create(name, SPEC, dry_run=True)
    assert would.spec.instances == 1
    assert await client.services.list() == []
    with pytest.raises(InvalidFieldError, match="instances"):
        await client.services.create(name, ServiceSpec(command=IDLE, instances=-1), dry_run=True)
    made = await client.services.create(name, SPEC)
    with pytest.raises(ServiceExistsError):
        await client.services.create(name, SPEC, dry_run=True)
    update = await client.services.update(name, ServiceSpec(env={"A": "1"}), dry_run=True)
    assert (update.changed, update.replaces_instances) == (True, True)
    assert (await client.services.get(name)).revision == made.revision


async def test_an_update_is_fenced_by_the_revision_that_was_looked_at(
    client: Client, name: str
) -> None:
    made = await client.services.create(name, SPEC)
    # Its rollout, when it is through, is a revision too.
    scaled = await client.services.wait_healthy(await client.services.scale(name, 0), 30)
    assert scaled.revision > made.revision
    with pytest.raises(RevisionConflictError):
        await client.services.update(
            name, ServiceSpec(instances=3), expected_revision=made.revision
        )
    done = await client.services.update(
        name, ServiceSpec(disconnect=DisconnectPolicy(60)), expected_revision=scaled.revision
    )
    assert (done.changed, done.replaces_instances) == (True, False)
    same = await client.services.update(name, ServiceSpec(disconnect=DisconnectPolicy(60)))
    assert not same.changed
    whole = (await client.services.update(name, SPEC, replace=True)).service.spec
    assert whole.disconnect is not None
    assert (whole.disconnect.replace_after, whole.instances) == (30, 1)


async def test_a_failed_update_is_raised_to_whom_waits_and_to_nobody_after_it(
    client: Client, name: str
) -> None:
    await client.services.wait_healthy(await client.services.create(name, SPEC), 30)
    update = await client.services.update(name, ServiceSpec(command=ENDS))
    with pytest.raises(RolloutFailedError, match=r"failed.*ended") as caught:
        await client.services.wait_healthy(update.service, 60)
    assert caught.value.service is not None
    assert caught.value.service.rollout.state is RolloutState.RETURNED
    with pytest.raises(RolloutFailedError):
        await client.services.wait_healthy(name, 30)
    scaled = await client.services.scale(name, 2)
    assert (await client.services.wait_healthy(scaled, 30)).healthy == 2


async def test_what_has_no_place_is_waited_for_no_longer_than_said(
    client: Client, name: str
) -> None:
    spec = ServiceSpec(command=IDLE, placement=NOWHERE)
    made = await client.services.create(name, spec)
    with pytest.raises(DeadlineError, match=r"0 of 1 are healthy.*disk=tape"):
        await client.services.wait_healthy(made, 3)
    [waiting] = await client.services.instances(name)
    assert (waiting.id, waiting.state) == ("", InstanceState.PENDING)
    assert "disk=tape" in waiting.reason


async def test_services_and_instances_are_watched(client: Client, name: str) -> None:
    changes = client.services.watch()
    first = await anext(changes)
    assert (first.event, first.services) == (ServiceEvent.SNAPSHOT, ())
    await client.services.create(name, SPEC)
    news = await anext(changes)
    assert (news.event, news.services[0].name) == (ServiceEvent.CHANGED, name)
    generation = 0
    async for seen in client.services.watch_instances(name):
        assert seen.generation > generation
        generation = seen.generation
        if [it.state for it in seen.instances] == [InstanceState.HEALTHY]:
            break
    await client.services.delete(name)
    async for news in changes:
        if news.event is ServiceEvent.DELETED:
            assert [it.name for it in news.services] == [name]
            break
    with pytest.raises(ServiceNotFoundError):
        await anext(client.services.watch_instances(name))
    with pytest.raises(ServiceNotFoundError):
        await client.services.wait_healthy(name)
    await changes.aclose()


async def test_logs_are_read_and_followed(client: Client, name: str) -> None:
    ticks = ("sh", "-c", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done")
    made = await client.services.create(name, ServiceSpec(command=ticks, stop_grace=1.0))
    await client.services.wait_healthy(made, 30)
    lines = client.services.logs(name, follow=True, tail_lines=1)
    found = [await anext(lines) for _ in range(5)]
    await lines.aclose()
    numbers = [int(it.text) for it in found]
    assert numbers == list(range(numbers[0], numbers[0] + 5))
    assert {(it.instance, it.stderr) for it in found} == {(f"{name}-1", False)}
    assert [it async for it in client.services.logs(name, tail_lines=2)]
    with pytest.raises(InstanceNotFoundError):
        await anext(client.services.logs(name, instance=f"{name}-9"))


async def test_logs_of_a_node_that_is_gone_are_refused_at_once(
    client: Client, nodes: NodeCluster, name: str
) -> None:
    node = nodes.node("lost", "--label", "disk=lost")
    spec = ServiceSpec(command=IDLE, placement=Placement(constraints={"disk": "lost"}))
    await client.services.wait_healthy(await client.services.create(name, spec), 30)
    node.kill()

    async def missed() -> bool:
        return any(it.disconnected_since for it in await client.services.nodes())

    await until(missed, "the node is missed")
    # Sooner than the client gives up a master that can't be reached.
    async with asyncio.timeout(8):
        with pytest.raises(NodeUnreachableError, match="lost"):
            await anext(client.services.logs(name, instance=f"{name}-1"))
    [instance] = await client.services.instances(name)
    assert instance.disconnected


def test_the_blocking_client_does_the_same(address: str) -> None:
    with blocking.Client(address, deadline=10) as client:
        spec = ServiceSpec(command=IDLE, stop_grace=1.0, ports=[Port("http")])
        made = client.services.create("blocking", spec)
        assert client.services.wait_healthy(made, timeout=30).healthy == 1
        [instance] = client.services.instances("blocking")
        assert instance.addresses[0].name == "http"
        assert "desk" in [it.name for it in client.services.nodes()]
        assert next(client.services.watch()).services[0].name == "blocking"
        assert next(client.services.watch_instances("blocking")).instances == (instance,)
        assert next(client.services.follow("blocking")).name == "blocking"
        assert [it.text for it in client.services.logs("blocking")] == ["up"]
        assert client.services.scale("blocking", 0).spec.instances == 0
        assert client.services.update("blocking", ServiceSpec(labels={"a": "b"})).changed
        assert client.services.get("blocking").spec.labels == {"a": "b"}
        assert [it.name for it in client.services.list()] == ["blocking"]
        assert client.services.delete("blocking").name == "blocking"
