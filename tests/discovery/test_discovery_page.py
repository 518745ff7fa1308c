"""What docs/discovery.md tells to set up is what deploy/discovery has, and its Python works."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import yaml
from http_door import HttpDoor
from listed_instances import ListedInstances, instance
from real_programs import DEPLOY, DOOR, ROOT

from pullwork.cli.service_file import read_services
from pullwork_master.gateway.discovery import parking, questions

PAGE = (ROOT / "docs" / "discovery.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def _example(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def test_the_page_shows_the_examples() -> None:
    traefik, prometheus = (yaml.safe_load(block) for block in _blocks("yaml"))
    assert traefik == _example("traefik.yml")
    (job,) = _example("prometheus.yml")["scrape_configs"]
    del job["relabel_configs"]
    assert prometheus == {"scrape_configs": [job]}


def test_the_file_of_services_can_be_read_and_is_what_the_flags_say() -> None:
    ((_, spec),) = read_services([str(DEPLOY / "services.yaml")]).values()
    (command,) = (block for block in _blocks("sh") if "services create" in block)
    labels = dict(re.findall(r"--label '?([^=\s]+)=([^'\n]+?)'? \\\n", command))
    assert labels == _example("services.yaml")["services"]["web"]["labels"]
    assert _example("services.yaml")["services"]["web"]["command"][2] in command
    assert spec is not None


async def test_the_python_of_the_page_works(listed: ListedInstances, door: HttpDoor) -> None:
    (block,) = _blocks("python")
    host, _, port = DOOR.rpartition(":")
    own_host, _, own_port = door.address.rpartition(":")
    assert f'"{host}"' in block
    assert port in block
    code = block.replace(host, own_host).replace(port, own_port)
    listed.put("web", [instance("web", 1)])
    seen: dict[str, Any] = {}
    told: list[tuple[object, ...]] = []
    running = asyncio.create_task(
        asyncio.to_thread(exec, code, {"print": lambda *words: told.append(words)}, seen)
    )
    done, _ = await asyncio.wait({running}, timeout=0.5)
    assert not done
    index = listed.put("web", [instance("web", 2), instance("web", 3)])
    await asyncio.wait_for(running, 60)
    seen["client"].http.session.close()
    assert told == [("127.0.0.1", 8000)]
    assert (int(seen["index"]), len(seen["instances"])) == (index, 2)


def test_the_page_tells_every_path_and_bound() -> None:
    for path in questions.LISTS | questions.FIXED:
        assert f"`/v1/{path}`" in PAGE
    for path in questions.NAMED:
        assert re.search(rf"`/v1/{path}/(NAME|STATE)`", PAGE)
    assert f"At most {parking.PARKED_MAX} requests may wait" in PAGE
    assert (questions.WAIT_S, questions.WAIT_S_MAX, parking.JITTER) == (300, 600, 1 / 16)
