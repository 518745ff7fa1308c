"""Runs the demo of services from start to verdict."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console
from rich.markup import escape

from pullwork.client import Client
from pullwork.demo.cluster import DemoError
from pullwork.demo.run import stopped_by_signals
from pullwork.demo.service_cluster import Runner, ServiceCluster
from pullwork.demo.service_story import Story, WrongError, until
from pullwork.errors import PullworkError


class Steps(Protocol):
    """What is to be done, and seen to be right."""

    def steps(self) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """Returns what is done and how, in its order; each returns what was seen."""
        ...


NODES: Final = ("node-1", "node-2", "node-3")


def run_service_demo(runner: Runner, image: str) -> bool:
    """Runs the whole demo and returns whether every step was right."""
    console = Console(highlight=False)
    try:
        return asyncio.run(_run(console, runner, image))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _run(console: Console, runner: Runner, image: str) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pullwork-demo-") as folder, stopped_by_signals():
        async with ServiceCluster(Path(folder), runner, image) as cluster:
            await cluster.start_master()
            nodes = [f"{name}-{cluster.mark}" for name in NODES]
            for name in nodes:
                await cluster.start_node(name)
            async with Client(cluster.address) as client:
                await _until_there(client, cluster, nodes)
                _say(
                    console,
                    f"a master and {len(nodes)} nodes that run {runner}es"
                    if runner is Runner.process
                    else f"a master and {len(nodes)} nodes that run containers of {image}",
                )
                right = await tell(console, Story(cluster, client, nodes))
    verdict = "[bold green]RIGHT[/]" if right else "[bold red]WRONG[/]"
    console.print(f"{verdict}, after {time.monotonic() - began:.1f} s in all")
    return right


async def _until_there(client: Client, cluster: ServiceCluster, nodes: list[str]) -> None:
    async def all_there() -> bool:
        for member in cluster.nodes.values():
            cluster.check(member)
        there = {it.name for it in await client.services.nodes() if it.runners}
        return there.issuperset(nodes)

    try:
        await until(all_there, "the nodes are there")
    except WrongError as error:
        words = "\n".join(it.last_words() for it in cluster.nodes.values())
        raise DemoError(f"{error}; they last said:\n{words}") from None


async def tell(console: Console, story: Steps) -> bool:
    """Does the steps and says of each whether it was right; stops at the first that was not."""
    for what, step in story.steps():
        began = time.monotonic()
        try:
            seen, right = await step(), True
        except (WrongError, PullworkError, OSError) as error:
            seen, right = str(error), False
        verdict = "[bold green]RIGHT[/]" if right else "[bold red]WRONG[/]"
        took = f"{time.monotonic() - began:4.1f} s"
        _say(console, f"{verdict}  {took}  {escape(what)}: {escape(seen)}")
        if not right:
            _say(console, "what was to follow was left out")
            return False
    return True


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=not console.is_terminal)
