"""Prometheus' HTTP service discovery: the whole list, in its form, or an error; nothing between."""

from __future__ import annotations

import httpx
import pytest
from http_door import refused
from listed_instances import ListedInstances, instance, metrics_port

PATH = "/discovery/prometheus"


def _addresses(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [address for group in answer.json() for address in group["targets"]]


async def test_a_target_has_its_address_and_labels(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    listed.put("web", [instance("web", 1, 8001, "n2")])
    answer = await http.get(PATH)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == [
        {
            "targets": ["127.0.0.1:8001"],
            "labels": {
                "__meta_pullwork_service": "web",
                "__meta_pullwork_instance": "web-1",
                "__meta_pullwork_node": "n2",
                "__meta_pullwork_port_name": "http",
                "__meta_pullwork_state": "HEALTHY",
                "__meta_pullwork_label_traefik_enable": "true",
                "__meta_pullwork_label_tier": "front",
                "__meta_pullwork_label_canary": "",
            },
        }
    ]


async def test_nothing_is_an_empty_list(http: httpx.AsyncClient) -> None:
    for path in (PATH, f"{PATH}?service=web"):
        answer = await http.get(path)
        assert (answer.status_code, answer.text) == (200, "[]")


async def test_targets_are_chosen_by_service_and_port(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    web = instance("web", 1, 8001)
    listed.put("web", [web, metrics_port(web, 9001)])
    listed.put("db", [instance("db", 1, 8002)])
    assert _addresses(await http.get(PATH)) == [
        "127.0.0.1:8002",
        "127.0.0.1:8001",
        "127.0.0.1:9001",
    ]
    assert _addresses(await http.get(f"{PATH}?service=db")) == ["127.0.0.1:8002"]
    assert _addresses(await http.get(f"{PATH}?port=metrics")) == ["127.0.0.1:9001"]
    assert _addresses(await http.get(f"{PATH}?service=db&port=metrics")) == []


async def test_what_is_not_well_is_a_target_too_and_says_so(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    listed.put("web", [instance("web", 1), instance("web", 2, healthy=False)])
    states = [group["labels"]["__meta_pullwork_state"] for group in (await http.get(PATH)).json()]
    assert states == ["HEALTHY", "UNHEALTHY"]


async def test_a_master_that_does_not_know_yet_answers_no_list(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    listed.settled = False
    answer = await http.get(PATH)
    refused(answer, 503, "NOT_SETTLED")
    assert answer.headers["retry-after"] == "1"
    listed.settled = True
    assert (await http.get(PATH)).status_code == 200


@pytest.mark.parametrize(
    ("query", "field"), [("x=1", "x"), ("service=", "service"), ("port=a&port=b", "port")]
)
async def test_a_bad_parameter_is_named(http: httpx.AsyncClient, query: str, field: str) -> None:
    told = refused(await http.get(f"{PATH}?{query}"), 400, "INVALID_FIELD")
    assert told["field"] == field


async def test_targets_can_only_be_read(http: httpx.AsyncClient) -> None:
    answer = await http.put(PATH, json=[])
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, HEAD"
    head = await http.head(PATH)
    assert (head.status_code, head.text, head.headers["content-length"]) == (200, "", "2")


async def test_a_page_of_another_name_is_told_nothing(http: httpx.AsyncClient) -> None:
    for path in (PATH, "/v1/catalog/services"):
        refused(await http.get(path, headers={"Host": "evil.example"}), 421, "UNKNOWN_HOST")


async def test_an_address_of_ipv6_is_written_as_in_a_url(
    listed: ListedInstances, http: httpx.AsyncClient
) -> None:
    from dataclasses import replace

    listed.put("web", [replace(instance("web", 1), host="fd00::1", port=80)])
    assert _addresses(await http.get(PATH)) == ["[fd00::1]:80"]
