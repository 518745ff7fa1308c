"""Runs instances as containers of an engine, and finds them again by their labels.

While the engine is away nothing is decided: tickets are kept, and once it is back it is looked
what became of each container.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from aiodocker import DockerError
from aiodocker.containers import DockerContainer

from pullwork_worker.services.container_config import (
    CLUSTER,
    NODE,
    container_config,
    container_name,
    is_ours,
    order_in,
)
from pullwork_worker.services.container_program import ContainerProgram
from pullwork_worker.services.engine import (
    CONFLICT,
    NOT_FOUND,
    Engine,
    EngineTrouble,
    is_away,
    words,
)
from pullwork_worker.services.order import Order
from pullwork_worker.services.runner import (
    IMAGE_NOT_ALLOWED,
    IMAGE_PULL_FAILED,
    START_FAILED,
    Program,
    Scope,
    StartError,
)

# From one try to reach the engine to the next.
_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0)
# From one try to fetch an image to the next; then it has failed.
PULL_WAITS_S: Final = (1.0, 4.0)
# What no other try would change. The words are those of registries and engines.
_LASTING: Final = (
    "not found",
    "manifest unknown",
    "access denied",
    "unauthorized",
    "authentication required",
    "does not exist",
    "invalid reference",
)
# Events of the moment before the list are heard twice rather than never.
_OVERLAP_S: Final = 2

log = logging.getLogger("pullwork.worker")


class ContainerRunner:
    """Containers of one node; see `Runner`."""

    kind = "container"

    def __init__(
        self,
        url: str,
        images: Sequence[str],
        publish_host: str,
        advertise_host: str,
        pull_waits_s: Sequence[float] = PULL_WAITS_S,
    ) -> None:
        self.problem = ""
        self.looked = asyncio.Event()
        self._engine = Engine(url)
        self._images = tuple(images)
        self._publish_host = publish_host
        self._advertise_host = advertise_host
        self._pull_waits_s = tuple(pull_waits_s)
        self._scope: Scope | None = None
        self._ready = asyncio.Event()
        # By the container's id.
        self._programs: dict[str, ContainerProgram] = {}
        # By task: what the engine was asked to make. It makes it, whether somebody still waits for
        # the answer or not, so nobody can say that there is nothing to remove before that came.
        self._made: dict[str, asyncio.Task[DockerContainer]] = {}

    async def keep(
        self, scope: Scope, found: Callable[[Sequence[Program]], None], changed: Callable[[], None]
    ) -> None:
        """Lists what is there and listens to the engine; again, whenever that was away."""
        self._scope = scope
        self._programs.clear()
        failures = 0
        while True:
            try:
                await self._follow(scope, found, changed)
                why = "its stream of events ended"
            except EngineTrouble as error:
                why = words(error)
            except ValueError as error:
                why = f"its address can't be used: {error}"
            failures = 0 if self._ready.is_set() else min(failures + 1, len(_RETRY_S) - 1)
            self._ready.clear()
            if not self.problem:
                log.warning("the container engine is away; trying again until it is back: %s", why)
            self.problem = f"the container engine at {self._engine.url} does not answer: {why}"
            self.looked.set()
            changed()
            await asyncio.sleep(_RETRY_S[failures])

    async def _follow(
        self, scope: Scope, found: Callable[[Sequence[Program]], None], changed: Callable[[], None]
    ) -> None:
        since = int(time.time()) - _OVERLAP_S
        programs = await self._list(scope)
        if self.problem:
            log.info("the container engine is back")
        self.problem = ""
        self._ready.set()
        found(programs)
        self.looked.set()
        changed()
        # Its methods have no types.
        events: Any = self._engine.docker.events
        subscriber = events.subscribe(create_task=False)
        filters = json.dumps(_filters(scope) | {"event": ["die", "destroy"]})
        listening = asyncio.create_task(events.run(since=since, filters=filters), name="events")
        try:
            while (event := await subscriber.get()) is not None:
                program = self._programs.get(event.get("id") or event["Actor"]["ID"])
                if program is not None:
                    await program.look()
            await listening
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _list(self, scope: Scope) -> list[ContainerProgram]:
        """Returns all that were started; what was made and not started is removed."""
        listed = await self._engine.docker.containers.list(
            all=True, filters=json.dumps(_filters(scope))
        )
        there = {it.id for it in listed}
        for id, program in list(self._programs.items()):
            if id not in there:
                program.vanished()
        programs = []
        for container in listed:
            order = order_in(container["Labels"])
            if order is None:
                log.error("a container has our labels but no instance", extra={"id": container.id})
            elif container["State"] == "created" and container.id not in self._programs:
                await container.delete(force=True)
            else:
                programs.append(await self._program(order, container))
        return programs

    async def _program(self, order: Order, container: DockerContainer) -> ContainerProgram:
        program = self._programs.get(container.id)
        if program is None:
            program = ContainerProgram(order, container, self._engine, self._advertise_host)
            self._programs[container.id] = program
        await program.look()
        return program

    async def start(self, order: Order, pulling: Callable[[str], None]) -> Program:
        """Adopts an instance's container, or makes one."""
        if not any(fnmatchcase(order.image, it) for it in self._images):
            raise StartError(
                IMAGE_NOT_ALLOWED,
                f"the image {order.image!r} is not allowed on this node: its setting worker.images "
                f"allows {', '.join(self._images) or 'none'}",
            )
        while True:
            await self._ready.wait()
            try:
                return await self._start(order, pulling)
            except EngineTrouble as error:
                if not is_away(error):
                    raise StartError(START_FAILED, words(error)) from error
            await asyncio.sleep(_RETRY_S[0])

    async def _start(self, order: Order, pulling: Callable[[str], None]) -> Program:
        assert self._scope is not None, "nothing is started before it is known for whom"
        containers, name = self._engine.docker.containers, container_name(order)
        try:
            container = await containers.get(name)
        except DockerError as error:
            if error.status != NOT_FOUND:
                raise
            await self._fetch(order.image, pulling)
            config = container_config(order, self._scope, self._publish_host)
            making = asyncio.create_task(containers.create(config, name=name), name=name)
            self._made[order.task_id] = making
            container = await asyncio.shield(making)
        seen = await container.show()
        if not is_ours(seen["Config"]["Labels"] or {}, self._scope):
            raise StartError(START_FAILED, f"the container {name} is not this node's")
        if seen["State"]["Status"] == "created":
            try:
                await container.start()
            except DockerError as error:
                if not is_away(error):
                    await container.delete(force=True)
                raise
        return await self._program(order, container)

    async def _fetch(self, image: str, pulling: Callable[[str], None]) -> None:
        """Fetches an image that is not there; raises StartError."""
        images = self._engine.docker.images
        try:
            await images.inspect(image)
            return
        except DockerError as error:
            if error.status != NOT_FOUND:
                raise
        pulling(f"fetching {image}")
        for wait_s in (*self._pull_waits_s, None):
            try:
                await images.pull(image)
                return
            except EngineTrouble as error:
                why = words(error)
                if any(it in why.lower() for it in _LASTING):
                    message = f"there is no image {image!r} to be had: {why}"
                    raise StartError(IMAGE_PULL_FAILED, message) from error
                if wait_s is None:
                    tries = len(self._pull_waits_s) + 1
                    message = f"the image {image!r} can't be fetched, tried {tries} times: {why}"
                    raise StartError(IMAGE_PULL_FAILED, message) from error
            pulling(f"fetching {image} again in {wait_s:g} s: {why}")
            await asyncio.sleep(wait_s)

    async def remove(self, order: Order) -> None:
        """Removes the container, by force if it runs."""
        making = self._made.pop(order.task_id, None)
        if making is not None:
            await asyncio.gather(making, return_exceptions=True)
        while True:
            try:
                # By its name: what was never ours may have that.
                container = await self._engine.docker.containers.get(container_name(order))
                labels = container["Config"]["Labels"] or {}
                if self._scope is not None and not is_ours(labels, self._scope):
                    break
                await container.delete(force=True, v=True)
            except EngineTrouble as error:
                if isinstance(error, DockerError) and error.status == NOT_FOUND:
                    break
                if (
                    isinstance(error, DockerError)
                    and error.status != CONFLICT
                    and not is_away(error)
                ):
                    log.warning("the engine does not remove a container: %s", words(error))
                await asyncio.sleep(_RETRY_S[0])
        self._programs = {
            id: it for id, it in self._programs.items() if it.order.task_id != order.task_id
        }

    async def close(self) -> None:
        """Closes the connection; containers go on."""
        for making in self._made.values():
            making.cancel()
        await asyncio.gather(*self._made.values(), return_exceptions=True)
        await self._engine.close()


def _filters(scope: Scope) -> dict[str, list[str]]:
    return {"label": [f"{CLUSTER}={scope.cluster}", f"{NODE}={scope.node}"]}
