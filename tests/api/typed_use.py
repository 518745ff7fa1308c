"""What editors know of a program that uses Pullwork; read by mypy, never run."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, assert_type

from pullwork import (
    Call,
    Client,
    Ended,
    Handle,
    InstanceInfo,
    Port,
    Retry,
    ServiceInfo,
    ServiceSpec,
    ServiceUpdate,
    TaskInfo,
    TaskState,
    blocking,
    task,
)


@task
def size(path: str, limit: int = 3) -> dict[str, int]:
    return {path: limit}


@task(type="text.upper", retry=Retry(max_attempts=5), timeout=30)
async def upper(text: str) -> str:
    return text.upper()


@task
def ping() -> None: ...


def calls() -> None:
    assert_type(size("a"), dict[str, int])
    running: Coroutine[Any, Any, str] = upper("a")
    running.close()
    assert_type(size.with_args("a", limit=1), Call[dict[str, int]])
    assert_type(upper.with_args("a"), Call[str])
    size.with_args(1)  # type: ignore[arg-type]
    size.with_args("a", depth=1)  # type: ignore[call-arg]
    size.with_args()  # type: ignore[call-arg]
    task(timeout="soon")  # type: ignore[call-overload]


async def submits(client: Client) -> None:
    handle = await client.submit(upper.with_args("a"), priority=5, delay=1.5)
    assert_type(handle, Handle[str])
    assert_type(await handle, str)
    assert_type(await handle.result(timeout=1), str)
    assert_type(await client.run(size.with_args("a")), dict[str, int])
    many = await client.submit_many([upper.with_args("a")])
    assert_type(many, list[Handle[str]])
    assert_type(client.handle(handle.id, upper), Handle[str])
    assert_type(await client.get(handle.id), TaskInfo)
    assert_type((await handle.status()).state, TaskState)
    await client.submit(upper.with_args("a"), priority="high")  # type: ignore[arg-type]
    await client.submit(upper.with_args("a"), proirity=1)  # type: ignore[call-arg]
    await client.submit(upper)  # type: ignore[arg-type]


async def maps(client: Client) -> None:
    async for ended in client.map(size, ["a", "b"], window=10, priority=1):
        assert_type(ended, Ended[str, dict[str, int]])
        assert_type(ended.item, str)
        assert_type(ended.result(), dict[str, int])
    async for made in client.map_calls([upper.with_args("a")], ordered=True):
        assert_type(made.result(), str)
    client.map(size, [1, 2])  # type: ignore[arg-type]
    client.map(ping, ["a"])  # type: ignore[arg-type]


def blocks(client: blocking.Client) -> None:
    assert_type(client.submit(upper.with_args("a")), blocking.Handle[str])
    assert_type(client.submit(upper.with_args("a")).result(), str)
    assert_type(client.run(size.with_args("a"), timeout=None), dict[str, int])
    for ended in client.map(upper, ["a"]):
        assert_type(ended, Ended[str, str])
    for info in client.list(states=[TaskState.FAILED]):
        assert_type(info, TaskInfo)
    client.submit(upper.with_args(1))  # type: ignore[arg-type]


async def keeps(client: Client) -> None:
    spec = ServiceSpec(command=["a"], ports=[Port("http")], env={"A": "1"})
    made = await client.services.create("web", spec)
    assert_type(made, ServiceInfo)
    assert_type(await client.services.wait_healthy(made, timeout=5), ServiceInfo)
    assert_type(await client.services.update("web", ServiceSpec(instances=2)), ServiceUpdate)
    assert_type(await client.services.instances("web"), list[InstanceInfo])
    ServiceSpec(instances="two")  # type: ignore[arg-type]
    ServiceSpec(ports=[80])  # type: ignore[list-item]
    ServiceSpec(instanzes=2)  # type: ignore[call-arg]


def keeps_blocking(client: blocking.Client) -> None:
    assert_type(client.services.scale("web", 2), ServiceInfo)
    for found in client.services.watch_instances("web"):
        assert_type(found.instances, tuple[InstanceInfo, ...])
