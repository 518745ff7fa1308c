"""A node at work: a worker of its own for instances, beside the one for ordinary tasks."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pullwork.channel import open_channel
from pullwork.errors import SessionLostError, SettingsError
from pullwork.v1 import master_service_pb2 as pb
from pullwork.v1 import node_service_pb2_grpc
from pullwork_worker.config import WorkerSettings
from pullwork_worker.machine import Machine
from pullwork_worker.machine import instructions as do
from pullwork_worker.machine.ticket import Kind
from pullwork_worker.runner import WorkerRunner
from pullwork_worker.services.inventory import Inventory
from pullwork_worker.services.keeper import Keeper
from pullwork_worker.services.logs import LogSender
from pullwork_worker.services.process import ProcessRunner
from pullwork_worker.services.runner import Runner, Scope
from pullwork_worker.session import Identity, Session
from pullwork_worker.usage import Usage

# The name and the only queue of a node's worker begin with it.
NODE_PREFIX: Final = "pullwork.node/"
# How long the machine waits for a ticket to be let go of. While a node drains that is as long as
# its program takes to stop, which may be an hour.
_STOP_GRACE_S: Final = 4000.0

log = logging.getLogger("pullwork.worker")


class NodeRunner(WorkerRunner):
    """Drives a node. What it runs goes on when it ends, unless a person ends it."""

    def __init__(self, machine: Machine, drain_grace_s: float) -> None:
        super().__init__(machine)
        self.keeper: Keeper
        self.logs: LogSender
        self.inventory: Inventory
        self._drain_grace_s = drain_grace_s

    def drain(self, reason: str) -> None:
        """Leaves: at once, with everything left running; for Ctrl-C only once all is stopped."""
        if reason == "SIGINT" and not self.machine.draining:
            log.info("stopping all instances: %s; again to leave them running", reason)
            self.keeper.stop_all(self._drain_grace_s)
            self._tell(self.machine.drain, reason)
        else:
            self.keeper.wait_for_none()
            self._tell(self.machine.leave, reason, 0)

    def session_id(self) -> str:
        """Returns the session; empty: there is none."""
        return self.machine.link.session_id

    def session_lost(self, session_id: str, error: SessionLostError) -> None:
        """Registers anew, if this is still the session."""
        log.debug("the report of instances: %s", error)
        self._tell(self.machine.session_lost, session_id)

    def log_stop(self, instruction: do.Stop) -> None:
        """Says that a ticket is let go of."""
        log.info("letting go of an instance's ticket: %s", instruction.reason)


class NodeSession(Session):
    """The session of a node: it hears whose instances it keeps, and what became of their ends."""

    def __init__(self, address: str, identity: Identity, runner: NodeRunner, node: str) -> None:
        super().__init__(address, identity, runner, runner.set_payload_bytes_max)
        self._node_runner = runner
        self._node = node

    def welcomed(self, answer: pb.RegisterResponse) -> None:
        """Takes note of the cluster."""
        super().welcomed(answer)
        masters = [it.id for it in answer.masters]
        # A master of before does not say which cluster it is of.
        cluster = answer.cluster_id or next(iter(masters), "") or "unnamed"
        self._node_runner.keeper.enter(Scope(cluster, self._node))
        self._node_runner.keeper.changed.set()

    def judged(self, call: do.Report, verdicts: Sequence[pb.Verdict.ValueType]) -> None:
        """Lets go of what the master has taken."""
        super().judged(call, verdicts)
        tokens = (token for token, _ in call.outcomes)
        accepted = (it == pb.VERDICT_ACCEPTED for it in verdicts)
        self._node_runner.keeper.settled(dict(zip(tokens, accepted, strict=False)))

    def log_wanted(self, wanted: pb.TaskIncomingResponse.LogWanted) -> None:
        """Sends a log."""
        self._node_runner.logs.begin(self._node_runner.session_id(), wanted)

    async def parting(self, session_id: str) -> None:
        """Tells what is left, so that nobody takes what was just removed for unreachable."""
        await self._node_runner.keeper.at_rest()
        await self._node_runner.inventory.report(session_id)

    def name_taken(self) -> None:
        """Leaves: a node's name is where its instances are sought, so it takes no other."""
        reason = (
            f"another worker is the node {self._node!r} now; give each its own --node, and start "
            "this one again"
        )
        log.error(reason)
        machine = self._node_runner.machine
        self._node_runner.carry_out(machine.leave(reason, 2, self._node_runner.now()))


class Node:
    """A node and all its parts, on the running loop."""

    def __init__(self, settings: WorkerSettings, runners: Sequence[Runner] | None = None) -> None:
        if runners is None:
            runners = make_runners(settings, os.environ)
        types = {f"pullwork.{it.kind}": Kind.INSTANCE for it in runners}
        name = NODE_PREFIX + settings.node
        machine = Machine(
            types,
            slots=settings.instances_max,
            look_ahead_max=0,
            stop_grace_s=_STOP_GRACE_S,
            drain_grace_s=settings.drain_grace,
        )
        identity = Identity(
            name=name,
            boot_id=str(uuid.uuid4()),
            queues=(name,),
            task_types=tuple(sorted(types)),
            slots=settings.instances_max,
            look_ahead_max=0,
            labels=dict(settings.labels),
            version=version("pullwork"),
        )
        self._settings = settings
        self._channel = open_channel(settings.address)
        stub = node_service_pb2_grpc.NodeServiceStub(self._channel)
        usage = Usage(asyncio.get_running_loop().time())
        self.runner = NodeRunner(machine, settings.drain_grace)
        self.keeper = self.runner.keeper = Keeper(runners, self.runner, lambda: machine.draining)
        self.runner.logs = LogSender(stub, self.keeper)
        self._inventory = self.runner.inventory = Inventory(
            stub, self.keeper, self.runner, usage.capacity
        )
        session = NodeSession(settings.address, identity, self.runner, settings.node)
        self.runner.connect(session, {Kind.INSTANCE: self.keeper})

    async def run(self) -> do.Exit:
        """Keeps instances until it is over. Raises SettingsError if another one does here."""
        with_lock = _lock(Path(self._settings.state), self._settings.node)
        log.info(
            "node starts",
            extra={
                "node": self._settings.node,
                "offers": ",".join(it.kind for it in self.keeper.runners),
                "instances_max": self._settings.instances_max,
                "state": str(self._settings.state),
            },
        )
        reports = asyncio.create_task(self._inventory.run(), name="inventory")
        reports.add_done_callback(self._reports_over)
        try:
            return await self.runner.run()
        finally:
            reports.cancel()
            await asyncio.gather(reports, return_exceptions=True)
            await self.runner.logs.close()
            await self._channel.close(None)
            os.close(with_lock)

    def _reports_over(self, reports: asyncio.Task[None]) -> None:
        error = None if reports.cancelled() else reports.exception()
        if error is not None:
            self.runner.crash(error)


def make_runners(settings: WorkerSettings, environ: Mapping[str, str]) -> list[Runner]:
    """Makes what this node offers; raises SettingsError for what it can't."""
    runners: list[Runner] = []
    if "process" in settings.offer:
        env = {name: environ[name] for name in settings.pass_env if name in environ}
        runners.append(ProcessRunner(Path(settings.state), settings.advertise_host, env))
    if "container" in settings.offer:
        runners.append(_container_runner(settings, environ))
    return runners


def _container_runner(settings: WorkerSettings, environ: Mapping[str, str]) -> Runner:
    try:
        from pullwork_worker.services.container import ContainerRunner
        from pullwork_worker.services.engine import engine_url
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"worker.offer: to run containers the package {error.name!r} is needed; "
            "pip install 'pullwork[containers]'"
        ) from error
    if settings.images == ["*"]:
        log.warning(
            "ANY IMAGE MAY RUN HERE: whoever reaches the master decides which; bound it by "
            "worker.images"
        )
    url = engine_url(settings.engine, environ)
    return ContainerRunner(url, settings.images, settings.publish_host, settings.advertise_host)


def _lock(state: Path, node: str) -> int:
    """Takes the node for this worker; the lock ends with its process."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(state / f"{node}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SettingsError(
            f"worker.state can't be {state}: {error.strerror}; name a folder that this worker may "
            "write to, e.g. --state ./pullwork-node"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise SettingsError(
            f"another worker on this machine is the node {node!r} already (state in {state}); stop "
            "it, or give this one its own --node"
        ) from error
    return file
