"""Blocking queries: answered upon a change and not before, and bounded in time and number."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from cluster import until
from http_door import HttpDoor, client_of
from listed_instances import ListedInstances, instance

from pullwork_master.gateway.discovery.parking import FullError, Parking
from pullwork_master.gateway.discovery.questions import WAIT_S, WAIT_S_MAX, read

PATIENCE_S = 20.0
WEB = "/v1/health/service/web"
ON_ALL = ["/v1/catalog/services", "/v1/catalog/nodes", "/v1/health/state/any"]
ON_ONE = [WEB, "/v1/catalog/service/web", "/v1/health/checks/web"]


async def _never() -> None:
    await asyncio.Event().wait()


async def _parked(parking: Parking, number: int) -> None:
    async def there() -> bool:
        return parking.parked == number

    await until(there, f"{number} requests wait", PATIENCE_S)


@pytest.mark.parametrize("path", [*ON_ALL, *ON_ONE])
async def test_a_wait_ends_with_a_change_and_tells_the_new_index(
    listed: ListedInstances, http: httpx.AsyncClient, path: str
) -> None:
    listed.put("web", [instance("web", 1)])
    first = await http.get(path)
    waiting = asyncio.create_task(http.get(f"{path}?index={first.headers['x-consul-index']}"))
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    index = listed.put("web", [instance("web", 1), instance("web", 2, node="n2")])
    second = await waiting
    assert second.headers["x-consul-index"] == str(index)
    assert index > int(first.headers["x-consul-index"])
    if path not in ON_ALL[:1]:
        assert len(second.json()) > len(first.json())


async def test_one_service_is_not_woken_by_another(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    index = listed.put("web", [instance("web", 1)])
    waiting = asyncio.create_task(http.get(f"{WEB}?index={index}"))
    listed.put("db", [instance("db", 1)])
    done, _ = await asyncio.wait({waiting}, timeout=0.5)
    assert not done
    index = listed.put("web", [])
    answer = await waiting
    assert answer.json() == []
    # A service that is gone has an index nevertheless, and none that goes back.
    assert int(answer.headers["x-consul-index"]) >= index


async def test_a_service_that_is_not_there_yet_can_be_waited_for(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    first = await http.get(WEB)
    index = int(first.headers["x-consul-index"])
    assert index > 0
    waiting = asyncio.create_task(http.get(f"{WEB}?index={index}"))
    listed.put("web", [instance("web", 1)])
    answer = await waiting
    assert len(answer.json()) == 1
    assert int(answer.headers["x-consul-index"]) > index


async def test_a_wait_without_a_change_ends_in_time_with_the_same_index(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    index = listed.put("web", [instance("web", 1)])
    answer = await asyncio.wait_for(http.get(f"{WEB}?index={index}&wait=200ms"), PATIENCE_S)
    assert answer.headers["x-consul-index"] == str(index)
    assert len(answer.json()) == 1


@pytest.mark.parametrize("index", [0, 1, 2**63])
async def test_an_index_of_another_time_is_answered_at_once(
    listed: ListedInstances, http: httpx.AsyncClient, index: int
) -> None:
    """An index from before, or from a store that was put back since: the client begins anew."""
    now = listed.put("web", [instance("web", 1)])
    answer = await asyncio.wait_for(http.get(f"{WEB}?index={index}"), PATIENCE_S)
    assert answer.headers["x-consul-index"] == str(now)


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        ("", WAIT_S),
        ("0", WAIT_S),
        ("10s", 10.0),
        ("60000ms", 60.0),
        ("1m30s", 90.0),
        ("1.5h", WAIT_S_MAX),
        ("99999999999h", WAIT_S_MAX),
        ("250us", 0.00025),
    ],
)
def test_a_wait_is_as_go_writes_it_and_has_a_bound(wait: str, seconds: float) -> None:
    assert read("/v1/catalog/services", [("wait", wait)]).wait_s == pytest.approx(seconds)


async def test_who_is_woken_gathers_for_a_moment(listed: ListedInstances) -> None:
    parking = Parking(listed, gather_s=3_600)
    waiting = asyncio.create_task(parking.wait(listed.generation(), "", 60, _never))
    await _parked(parking, 1)
    listed.put("web", [instance("web", 1)])
    done, _ = await asyncio.wait({waiting}, timeout=1)
    assert not done
    # Unless there is nothing more to gather.
    parking.end()
    assert await asyncio.wait_for(waiting, PATIENCE_S) is True


async def test_no_more_may_wait_than_there_is_room_for(listed: ListedInstances) -> None:
    parking = Parking(listed, parked_max=2)
    now = listed.generation()
    waits = [asyncio.create_task(parking.wait(now, "", 60, _never)) for _ in range(2)]
    await _parked(parking, 2)
    with pytest.raises(FullError):
        await asyncio.wait_for(parking.wait(now, "", 60, _never), PATIENCE_S)
    listed.put("web", [instance("web", 1)])
    assert await asyncio.gather(*waits) == [True, True]
    assert parking.parked == 0


async def test_who_finds_no_room_is_told_to_come_later(
    listed: ListedInstances, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = listed.put("web", [instance("web", 1)])

    async def full(*_: object) -> bool:
        raise FullError

    monkeypatch.setattr(Parking, "wait", full)
    answer = await http.get(f"{WEB}?index={index}")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert (await http.get(WEB)).status_code == 200


async def test_who_waits_is_not_refused_by_a_master_that_does_not_know_yet(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    listed.settled = False
    waiting = asyncio.create_task(http.get(f"{WEB}?index=1"))
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    # One of two nodes has reported.
    listed.put("web", [instance("web", 1)])
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    listed.settled = True
    index = listed.put("web", [instance("web", 1), instance("web", 2)])
    answer = await asyncio.wait_for(waiting, PATIENCE_S)
    assert (answer.status_code, len(answer.json())) == (200, 2)
    assert answer.headers["x-consul-index"] == str(index)
    listed.settled = False
    late = await http.get(f"{WEB}?index=1&wait=200ms")
    assert (late.status_code, late.text) == (500, "No cluster leader")


async def test_who_leaves_frees_the_place(listed: ListedInstances) -> None:
    parking = Parking(listed)
    left = asyncio.Event()

    async def gone() -> None:
        await left.wait()

    waiting = asyncio.create_task(parking.wait(listed.generation(), "", 60, gone))
    await _parked(parking, 1)
    left.set()
    assert await asyncio.wait_for(waiting, PATIENCE_S) is False
    assert parking.parked == 0


async def test_a_master_that_stops_answers_those_who_wait(
    listed: ListedInstances, door: HttpDoor
) -> None:
    index = listed.put("web", [instance("web", 1)])
    async with client_of(door) as http:
        waiting = asyncio.create_task(http.get(f"{WEB}?index={index}"))
        await asyncio.wait({waiting}, timeout=0.3)
        await door.door.stop(30)
        assert (await waiting).headers["x-consul-index"] == str(index)
