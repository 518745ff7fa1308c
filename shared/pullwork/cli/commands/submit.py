"""`submit` and `run`: give the master work."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pullwork.cli.complete import complete_queue, complete_type
from pullwork.cli.connect import with_client
from pullwork.cli.exits import ExitCode
from pullwork.cli.options import Address, AsJson, Config

if TYPE_CHECKING:
    from pullwork.client import Client
    from pullwork.handle import Handle
    from pullwork.submission import SubmitOptions
    from pullwork.task_info import TaskInfo

TaskType = Annotated[
    str, typer.Argument(metavar="TYPE", help="What is to be done.", autocompletion=complete_type)
]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ARGUMENTS",
        help="A JSON object, @FILE of one, or - for stdin; or each as NAME=VALUE, where a value "
        "that is JSON is taken as such (n=3), and as text otherwise.",
    ),
]
ContentType = Annotated[
    str | None,
    typer.Option(
        help="How the payload is to be read; takes @FILE or - as bytes.",
        show_default="application/json",
    ),
]
Owner = Annotated[
    str | None,
    typer.Option("--owner", "-o", help="Whose task it is.", show_default="a new one"),
]
Queue = Annotated[
    str | None,
    typer.Option(
        "--queue",
        "-q",
        help="Where it waits.",
        show_default="default",
        autocompletion=complete_queue,
    ),
]
Priority = Annotated[
    int, typer.Option("--priority", "-p", help="From -100 to 100; the higher goes first.")
]
Span = str | None
Delay = Annotated[Span, typer.Option(help="Start no sooner than after this, e.g. 5m.")]
NotBefore = Annotated[
    datetime | None,
    typer.Option(
        help="Start no sooner than at this local time.",
        formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
        metavar="TIME",
    ),
]
ExecutionTimeout = Annotated[Span, typer.Option(help="Stop an attempt after this, e.g. 30s.")]
ProgressTimeout = Annotated[Span, typer.Option(help="Stop an attempt that is silent for this.")]
MaxAttempts = Annotated[
    int | None,
    typer.Option(help="How many attempts may fail, the first included.", show_default="1"),
]
InitialBackoff = Annotated[
    Span, typer.Option(help="The wait before the first retry.", show_default="1s")
]
MaxBackoff = Annotated[Span, typer.Option(help="The longest wait.", show_default="5m")]
Multiplier = Annotated[
    float | None, typer.Option(help="How the wait grows with each retry.", show_default="2")
]
MaxWorkerDeaths = Annotated[
    int | None,
    typer.Option(help="How many deaths of its worker it may witness.", show_default="3"),
]
Retention = Annotated[
    Span, typer.Option(help="How long it is kept after its end.", show_default="the master's")
]
UniqueKey = Annotated[
    str | None, typer.Option(help="While a task of this key waits or runs, make no second.")
]
LimitKey = Annotated[
    str | None, typer.Option(help="Whose share of the queue's limits per key it takes.")
]
TaskId = Annotated[
    str | None, typer.Option("--id", help="Its id, a UUID: makes the command safe to repeat.")
]
Headers = Annotated[
    list[str] | None, typer.Option("--header", metavar="NAME=VALUE", help="Travels with the task.")
]


def submit(
    type: TaskType,
    words: Words = None,
    *,
    content_type: ContentType = None,
    queue: Queue = None,
    priority: Priority = 0,
    delay: Delay = None,
    not_before: NotBefore = None,
    execution_timeout: ExecutionTimeout = None,
    progress_timeout: ProgressTimeout = None,
    max_attempts: MaxAttempts = None,
    initial_backoff: InitialBackoff = None,
    max_backoff: MaxBackoff = None,
    multiplier: Multiplier = None,
    max_worker_deaths: MaxWorkerDeaths = None,
    retention: Retention = None,
    unique_key: UniqueKey = None,
    limit_key: LimitKey = None,
    task_id: TaskId = None,
    header: Headers = None,
    owner: Owner = None,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Submit a task and print its id; it is stored when the command returns."""
    given = dict(locals())
    handle = with_client(
        address, config, lambda client: _submit(client, given), owner=owner, traced=True
    )
    _say_submitted(handle, as_json)


def run(
    type: TaskType,
    words: Words = None,
    *,
    content_type: ContentType = None,
    queue: Queue = None,
    priority: Priority = 0,
    timeout: Annotated[
        Span, typer.Option(help="Give up waiting after this; the task goes on.")
    ] = None,
    execution_timeout: ExecutionTimeout = None,
    progress_timeout: ProgressTimeout = None,
    max_attempts: MaxAttempts = None,
    initial_backoff: InitialBackoff = None,
    max_backoff: MaxBackoff = None,
    multiplier: Multiplier = None,
    max_worker_deaths: MaxWorkerDeaths = None,
    retention: Retention = None,
    unique_key: UniqueKey = None,
    limit_key: LimitKey = None,
    task_id: TaskId = None,
    header: Headers = None,
    owner: Owner = None,
    address: Address = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Submit a task, wait for its end, and print its result."""
    from pullwork.cli.arguments import read_span
    from pullwork.errors import DeadlineError

    given = dict(locals())
    patience = read_span(timeout, "--timeout")

    async def submit_and_wait(client: Client) -> TaskInfo:
        from pullwork.cli.group import say

        handle = await _submit(client, given)
        try:
            return await handle.wait(patience)
        except DeadlineError as error:
            say(f"{error}; `pullwork wait {handle.id}` waits on")
            raise typer.Exit(ExitCode.TIMED_OUT) from None
        except asyncio.CancelledError:  # Ctrl-C
            say(f"task {handle.id} goes on; `pullwork cancel {handle.id}` ends it")
            raise

    task = with_client(address, config, submit_and_wait, owner=owner, traced=True)
    _print_end(task, as_json)


async def _submit(client: Client, given: dict[str, Any]) -> Handle[Any]:
    from pullwork.cli.arguments import read_payload

    payload = read_payload(given["words"] or [], given["content_type"])
    return await client.submit_raw(
        given["type"], payload.data, payload.content_type, **_options(given)
    )


def _options(given: dict[str, Any]) -> SubmitOptions:
    from pullwork.cli.arguments import read_headers, read_span
    from pullwork.submission import SubmitOptions

    def seconds(name: str) -> float | None:
        return read_span(given.get(name), "--" + name.replace("_", "-"))

    moment = given.get("not_before")
    options = SubmitOptions(
        priority=given["priority"],
        delay=seconds("delay"),
        not_before=moment.astimezone() if moment is not None else None,
        timeout=seconds("execution_timeout"),
        progress_timeout=seconds("progress_timeout"),
        max_worker_deaths=given["max_worker_deaths"],
        retention=seconds("retention"),
        unique_key=given["unique_key"],
        limit_key=given["limit_key"],
        task_id=given["task_id"],
        headers=read_headers(given["header"] or []),
    )
    if given["queue"]:
        options["queue"] = given["queue"]
    backoff = {
        "max_attempts": given["max_attempts"],
        "initial_backoff": seconds("initial_backoff"),
        "max_backoff": seconds("max_backoff"),
        "multiplier": given["multiplier"],
    }
    said = {name: value for name, value in backoff.items() if value is not None}
    if said:
        from pullwork.tasks import Retry

        options["retry"] = Retry(**{"max_attempts": 1, **said})
    return options


def _say_submitted(handle: Handle[Any], as_json: bool) -> None:
    from pullwork.cli.documents import print_document
    from pullwork.cli.group import say

    if as_json:
        print_document({"id": handle.id, "duplicate": handle.duplicate})
        return
    print(handle.id)
    if handle.duplicate:
        say("this task was there already")


def _print_end(task: TaskInfo, as_json: bool) -> None:
    import sys

    from pullwork.cli.documents import is_json, print_document
    from pullwork.cli.group import say
    from pullwork.cli.words import failure_text, payload_text

    if as_json:
        print_document(task)
    elif task.result is not None and is_json(task.result.content_type):
        print(payload_text(task.result))
    elif task.result is not None:
        sys.stdout.buffer.write(task.result.data)
        sys.stdout.buffer.flush()
    if task.state != "SUCCEEDED":
        why = failure_text(task.failure) or "somebody cancelled it"
        say(f"task {task.id} ended as {task.state}: {why}")
        raise typer.Exit(ExitCode.FAILED)
