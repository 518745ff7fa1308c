"""Consul's HTTP API: what there is, in Consul's words; read-only; nothing narrowed in silence."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from listed_instances import ListedInstances, instance, metrics_port

TAGS = ["canary", "tier=front", "traefik.enable=true"]
LISTS = [
    "/v1/catalog/services",
    "/v1/catalog/nodes",
    "/v1/catalog/service/web",
    "/v1/health/service/web",
    "/v1/health/checks/web",
    "/v1/health/state/any",
]
FIXED = ["/v1/catalog/datacenters", "/v1/agent/self", "/v1/status/leader", "/v1/status/peers"]


async def test_a_service_is_listed_with_its_labels_as_tags(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    web = instance("web", 1)
    listed.put("web", [web, metrics_port(web, 9001)])
    listed.put("db", [replace(instance("db", 1), labels={})])
    answer = await http.get("/v1/catalog/services")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"db": [], "web": TAGS, "web_metrics": []}


async def test_an_instance_is_told_with_its_node_service_and_check(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    index = listed.put("web", [instance("web", 1, 8001, "n2")])
    (entry,) = (await http.get("/v1/health/service/web")).json()
    assert (entry["Node"]["Node"], entry["Node"]["Address"]) == ("n2", "127.0.0.1")
    service = entry["Service"]
    assert (service["ID"], service["Service"]) == ("web-1", "web")
    assert (service["Address"], service["Port"], service["Tags"]) == ("127.0.0.1", 8001, TAGS)
    assert service["Meta"]["tier"] == "front"
    assert service["Meta"]["pullwork_instance"] == "web-1"
    assert service["ModifyIndex"] == index
    (check,) = entry["Checks"]
    assert (check["Status"], check["ServiceID"]) == ("passing", "web-1")
    assert check["Output"] == "HEALTHY at 127.0.0.1:8001"
    (row,) = (await http.get("/v1/catalog/service/web")).json()
    assert (row["ServiceID"], row["ServiceAddress"], row["ServicePort"]) == (
        "web-1",
        "127.0.0.1",
        8001,
    )
    assert row["ID"] == entry["Node"]["ID"]


async def test_another_port_is_a_service_of_its_own_without_tags(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    web = instance("web", 1, 8001)
    listed.put("web", [web, metrics_port(web, 9001)])
    # A service of that name is no port of `web`.
    listed.put("web-metrics", [instance("web-metrics", 1, 8002)])
    for path, port in {"web": 8001, "web_metrics": 9001, "web-metrics": 8002}.items():
        entries = (await http.get(f"/v1/health/service/{path}")).json()
        assert [entry["Service"]["Port"] for entry in entries] == [port]
    (entry,) = (await http.get("/v1/health/service/web_metrics")).json()
    assert (entry["Service"]["ID"], entry["Service"]["Tags"]) == ("web-1_metrics", [])


async def test_only_what_is_well_passes(listed: ListedInstances, http: httpx.AsyncClient) -> None:
    ill = replace(instance("web", 2, healthy=False), reason="HTTP 500")
    listed.put("web", [instance("web", 1), ill])

    async def ids(path: str) -> list[str]:
        return [each["Service"]["ID"] for each in (await http.get(path)).json()]

    assert await ids("/v1/health/service/web") == ["web-1", "web-2"]
    for flag in ("passing", "passing=1", "passing=true"):
        assert await ids(f"/v1/health/service/web?{flag}") == ["web-1"]
    assert await ids("/v1/health/service/web?passing=false") == ["web-1", "web-2"]

    async def states(state: str) -> list[tuple[str, str]]:
        checks = (await http.get(f"/v1/health/state/{state}")).json()
        return [(check["ServiceID"], check["Output"]) for check in checks]

    assert await states("critical") == [("web-2", "UNHEALTHY at 127.0.0.1:8000: HTTP 500")]
    assert [name for name, _ in await states("passing")] == ["web-1"]
    assert [name for name, _ in await states("any")] == ["web-1", "web-2"]
    assert await states("warning") == []


async def test_both_lists_of_a_service_have_the_same_order(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    listed.put("web", [instance("web", number, healthy=number % 2 == 0) for number in range(1, 9)])
    catalog = (await http.get("/v1/catalog/service/web")).json()
    health = (await http.get("/v1/health/service/web")).json()
    assert [it["ServiceID"] for it in catalog] == [it["Service"]["ID"] for it in health]


async def test_tags_narrow_whatever_their_case(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    listed.put("web", [instance("web", 1)])
    for path in ("/v1/health/service/web", "/v1/catalog/service/web"):
        for query, found in {
            "tag=canary": 1,
            "tag=canary&tag=TIER%3dfront": 1,
            "tag=canary&tag=x": 0,
            "tag=": 1,
        }.items():
            assert len((await http.get(f"{path}?{query}")).json()) == found, query


async def test_nodes_are_those_that_have_something(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    listed.put("web", [instance("web", 1, node="b"), instance("web", 2, node="a")])
    listed.put("db", [instance("db", 1, node="b")])
    nodes = (await http.get("/v1/catalog/nodes")).json()
    assert [(node["Node"], node["Address"]) for node in nodes] == [
        ("a", "127.0.0.1"),
        ("b", "127.0.0.1"),
    ]
    assert len({node["ID"] for node in nodes}) == 2


async def test_an_unknown_service_has_no_instances(http: httpx.AsyncClient) -> None:
    for path in LISTS:
        answer = await http.get(path)
        assert (answer.status_code, len(answer.json())) == (200, 0), path


@pytest.mark.parametrize("path", LISTS)
async def test_every_list_says_its_index_and_that_there_is_a_leader(
    listed: ListedInstances, http: httpx.AsyncClient, path: str
) -> None:
    index = listed.put("web", [instance("web", 1)])
    headers = (await http.get(path)).headers
    assert headers["x-consul-index"] == str(index)
    assert headers["x-consul-knownleader"] == "true"
    assert headers["x-consul-lastcontact"] == "0"


async def test_the_master_answers_for_the_agent(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/catalog/datacenters")).json() == ["dc1"]
    assert (await http.get("/v1/agent/self")).json()["Config"]["Datacenter"] == "dc1"
    leader = (await http.get("/v1/status/leader")).json()
    assert (await http.get("/v1/status/peers")).json() == [leader]


@pytest.mark.parametrize("path", LISTS)
async def test_a_master_that_does_not_know_yet_is_a_consul_without_a_leader(
    listed: ListedInstances, http: httpx.AsyncClient, path: str
) -> None:
    listed.settled = False
    answer = await http.get(path)
    assert (answer.status_code, answer.text) == (500, "No cluster leader")
    assert (await http.get("/v1/status/leader")).json() == ""
    listed.settled = True
    assert (await http.get(path)).status_code == 200
    assert (await http.get("/v1/status/leader")).json() != ""


HARMLESS = "stale&near=_agent&cached&dc=dc1&ns=default&partition=&token=t&pretty&x=y&consistent="


async def test_what_changes_nothing_of_the_answer_is_passed_over(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    listed.put("web", [instance("web", 1)])
    plain = await http.get("/v1/health/service/web")
    for parameter in HARMLESS.split("&"):
        headers = {"X-Consul-Token": "secret", "Authorization": "Bearer secret"}
        answer = await http.get(f"/v1/health/service/web?{parameter}", headers=headers)
        assert answer.content == plain.content, parameter


REFUSED = [
    ("filter=Service.Meta.x==1", 400, "tag="),
    ("node-meta=a:b", 400, "leave it out"),
    ("ns=team", 400, "Enterprise"),
    ("partition=team", 400, "Enterprise"),
    ("peer=other", 400, "Enterprise"),
    ("dc=dc2", 500, "'dc1'"),
    ("stale&consistent", 400, "conflicting"),
    ("passing=perhaps", 400, "neither"),
    ("index=-1", 400, "Invalid index"),
    ("index=x", 400, "Invalid index"),
    ("index=18446744073709551616", 400, "Invalid index"),
    ("index=1&wait=soon", 400, "Invalid wait time"),
    ("index=1&wait=-5s", 400, "Invalid wait time"),
    ("index=1&wait=5", 400, "Invalid wait time"),
]


async def test_what_is_not_understood_is_refused(http: httpx.AsyncClient) -> None:
    for query, status, told in REFUSED:
        answer = await http.get(f"/v1/health/service/web?{query}")
        assert answer.status_code == status, query
        assert answer.headers["content-type"].startswith("text/plain")
        assert told in answer.text


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
async def test_nothing_can_be_written(http: httpx.AsyncClient, method: str) -> None:
    for path in [*LISTS, *FIXED, "/v1/agent/service/register", "/v1/kv/x"]:
        answer = await http.request(method, path)
        assert answer.status_code == 405, path
        assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1/kv/x", "/v1/health/service/", "/v1/agent/services", "/v1/a/b/c", "/v1//"]
)
async def test_an_unknown_path_says_which_there_are(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 404
    assert "/v1/health/service/NAME" in answer.text


async def test_an_unknown_state_says_which_there_are(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/health/state/well")
    assert (answer.status_code, "passing" in answer.text) == (400, True)


async def test_a_head_has_the_length_and_no_body(http: httpx.AsyncClient) -> None:
    for path in [*LISTS, *FIXED]:
        body = await http.get(path)
        head = await http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(body.content))


@pytest.mark.parametrize("name", ["%00", "%ff", "a%2Fb", "%22", "x" * 2000])
async def test_a_strange_name_is_a_service_that_there_is_not(
    http: httpx.AsyncClient, name: str
) -> None:
    answer = await http.get(f"/v1/health/service/{name}")
    assert (answer.status_code, answer.text) == (200, "[]")
