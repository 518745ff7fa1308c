"""`workers`, `members`, `drain` and `evict`: the nodes of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pullwork.cli.complete import complete_worker
from pullwork.cli.connect import with_client
from pullwork.cli.options import Address, AsJson, Config, Queue, Type

if TYPE_CHECKING:
    from pullwork.node_info import WorkerInfo

Worker = Annotated[
    str,
    typer.Argument(
        metavar="WORKER",
        help="Its session id, or its name if only one has it; of a node pullwork.node/NAME.",
        autocompletion=complete_worker,
    ),
]


def workers(
    queue: Queue = None,
    type: Type = None,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the workers, with what they can do and how busy they are."""
    found = with_client(
        address,
        config,
        lambda client: client.workers(queue=queue or "", task_type=type or ""),
    )
    from pullwork.cli.documents import print_document
    from pullwork.cli.group import say
    from pullwork.cli.tables import print_workers

    if as_json:
        print_document(found)
    elif found:
        print_workers(found)
    elif queue or type:
        say("no worker matches; `pullwork workers` without a filter lists all")
    else:
        say("no worker; `pullwork worker --tasks MODULE` starts one")


def members(address: Address = None, config: Config = None, as_json: AsJson = False) -> None:
    """List the nodes of the cluster: masters, then workers."""
    found = with_client(address, config, lambda client: client.members())
    from pullwork.cli.documents import print_document
    from pullwork.cli.tables import print_members

    if as_json:
        print_document(found)
    else:
        print_members(found)


def drain(
    worker: Worker, address: Address = None, config: Config = None, as_json: AsJson = False
) -> None:
    """Ask a worker to take no more work, finish what it runs, and leave."""
    found = with_client(address, config, lambda client: client.drain(worker))
    from pullwork.cli.documents import print_document

    if as_json:
        print_document(found)
    else:
        print(f"{found.name} ({found.session_id}) drains: {_left(found)}")


def _left(worker: WorkerInfo) -> str:
    several = "s" * (worker.held != 1)
    if worker.name.startswith("pullwork.node/"):
        return f"{worker.held} instance{several} to move to other nodes"
    return f"{worker.held} task{several} to finish"


def evict(
    worker: Worker, address: Address = None, config: Config = None, as_json: AsJson = False
) -> None:
    """End a worker's session at once; its tasks go back to their queues."""
    requeued = with_client(address, config, lambda client: client.evict(worker))
    from pullwork.cli.documents import print_document

    if as_json:
        print_document({"requeued": requeued})
    else:
        print(f"{worker} is evicted: {requeued} task{'s' * (requeued != 1)} went back")
