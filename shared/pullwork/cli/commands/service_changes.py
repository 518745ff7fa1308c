"""`services create`, `scale`, `update` and `delete`: say what is wanted, and see it come to be."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pullwork.cli import service_flags as flags
from pullwork.cli.connect import with_client
from pullwork.cli.exits import ExitCode
from pullwork.cli.options import Address, AsJson, Config, Service, Yes

if TYPE_CHECKING:
    from pullwork.cli.rollout import Following, Waiting
    from pullwork.client import Client
    from pullwork.service_info import ServiceInfo

TIMEOUT: Final = "5m"
TRIES: Final = 5

NewName = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Its name: a-z, 0-9 and -, beginning with a letter."),
]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Wait until all instances are healthy.")
]
Timeout = Annotated[
    str, typer.Option(metavar="SPAN", help="Give up waiting after this; the service goes on.")
]


def create(
    name: NewName,
    command: flags.Command = None,
    *,
    image: flags.Image = None,
    instances: flags.Instances = None,
    port: flags.Ports = None,
    env: flags.EnvWords = None,
    env_file: flags.EnvFiles = None,
    cpus: flags.Cpus = None,
    memory: flags.Memory = None,
    health: flags.Health = None,
    constraint: flags.Constraints = None,
    spread_by: flags.SpreadBy = None,
    max_per_node: flags.MaxPerNode = None,
    replace_after: flags.ReplaceAfter = None,
    label: flags.Labels = None,
    stop_grace: flags.StopGrace = None,
    stop_delay: flags.StopDelay = None,
    wait: Wait = True,
    timeout: Timeout = TIMEOUT,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Keep a program running: N instances of a command, or of an image, and wait until healthy.

    As processes, which need nothing installed; $PORT is a free port that each is given:
    `pullwork services create hello --port http -- sh -c 'exec python3 -m http.server $PORT'`

    As containers: `pullwork services create web --image nginx:1.27 -n 3 --port 80 --health http:/`

    All that a service can be told stands in a file for `pullwork apply`.
    """
    given = dict(locals())
    spec = flags.spec_of_flags(given)
    waiting = read_waiting(wait, timeout, as_json)

    async def made(client: Client) -> Following:
        from pullwork.cli.rollout import settle

        return await settle(client, await client.services.create(name, spec), waiting)

    _tell_end(with_client(address, config, made), as_json)


def scale(
    service: Service,
    instances: Annotated[int, typer.Argument(metavar="N", help="How many; 0 keeps the service.")],
    *,
    wait: Wait = True,
    timeout: Timeout = TIMEOUT,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change how many instances a service has, and wait until it has them."""
    waiting = read_waiting(wait, timeout, as_json)

    async def scaled(client: Client) -> Following:
        from pullwork.cli.rollout import settle

        return await settle(client, await client.services.scale(service, instances), waiting)

    _tell_end(with_client(address, config, scaled), as_json)


def update(
    service: Service,
    command: flags.Command = None,
    *,
    image: flags.Image = None,
    instances: flags.Instances = None,
    port: flags.Ports = None,
    env: flags.EnvWords = None,
    env_file: flags.EnvFiles = None,
    cpus: flags.Cpus = None,
    memory: flags.Memory = None,
    health: flags.Health = None,
    constraint: flags.Constraints = None,
    spread_by: flags.SpreadBy = None,
    max_per_node: flags.MaxPerNode = None,
    replace_after: flags.ReplaceAfter = None,
    label: flags.Labels = None,
    stop_grace: flags.StopGrace = None,
    stop_delay: flags.StopDelay = None,
    wait: Wait = True,
    timeout: Timeout = TIMEOUT,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change a service, and wait until all instances are healthy: `pullwork services update web
    --image nginx:1.28`

    What is not named stays as it is; an option that may be repeated replaces all of its kind. New
    instances come before old ones end; if they are not well in time, what was before comes back.
    """
    given = dict(locals())
    waiting = read_waiting(wait, timeout, as_json)

    async def updated(client: Client) -> Following:
        from pullwork.cli.rollout import settle
        from pullwork.errors import RevisionConflictError

        for _ in range(TRIES):
            # What came between the look and the change is looked at again.
            with contextlib.suppress(RevisionConflictError):
                return await settle(client, await _update(client, service, given), waiting)
        return await settle(client, await _update(client, service, given), waiting)

    _tell_end(with_client(address, config, updated), as_json)


async def _update(client: Client, name: str, given: dict[str, Any]) -> ServiceInfo:
    from pullwork.cli.group import say
    from pullwork.cli.service_tables import differences_of
    from pullwork.errors import InvalidFieldError
    from pullwork.service_spec import ServiceSpec

    before = await client.services.get(name)
    spec = flags.spec_of_flags(given, before.spec)
    if spec.to_proto() == ServiceSpec().to_proto():
        raise InvalidFieldError("say what to change, e.g. --image nginx:1.28")
    # A part of which a flag says only a part was completed by what it was.
    done = await client.services.update(name, spec, expected_revision=before.revision)
    if not given["as_json"]:
        for line in differences_of(before, done.service):
            say(line)
        if not done.changed:
            say(f"{name} is so already")
    return done.service


def delete(
    service: Service,
    yes: Yes = False,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """End a service: its instances are stopped, and it is forgotten."""
    from pullwork.errors import InvalidFieldError

    if not yes and not sys.stdin.isatty():
        raise InvalidFieldError("delete asks first, but nobody is at a terminal: add --yes")

    async def deleted(client: Client) -> ServiceInfo:
        if not yes:
            found = await client.services.get(service)
            typer.confirm(
                f"Delete {service} and its {found.running} instances?", abort=True, err=True
            )
        return await client.services.delete(service)

    found = with_client(address, config, deleted)
    from pullwork.cli.documents import print_document

    if as_json:
        print_document(found)
    else:
        print(f"{service} is deleted, and what ran of it is stopped")


def read_waiting(wait: bool, timeout: str, as_json: bool) -> Waiting:
    """Reads how a command is to wait; raises InvalidFieldError."""
    from pullwork.cli.arguments import read_span
    from pullwork.cli.rollout import Waiting

    return Waiting(wait, read_span(timeout, "--timeout"), as_json)


def _tell_end(following: Following, as_json: bool) -> None:
    """Says how it ended, and ends the command as it did."""
    from pullwork.cli.documents import print_document
    from pullwork.cli.group import say
    from pullwork.cli.rollout import End
    from pullwork.cli.service_tables import print_instances

    if as_json:
        print_document(following.service)
    elif following.end in (End.SETTLED, End.UNSEEN):
        print(following.told())
        if following.instances:
            print_instances(following.instances)
    else:
        say("\n".join([following.told(), *following.why()]))
    if following.end in (End.FAILED, End.CRASHING):
        raise typer.Exit(ExitCode.FAILED)
    if following.end is End.TIMED_OUT:
        raise typer.Exit(ExitCode.TIMED_OUT)
