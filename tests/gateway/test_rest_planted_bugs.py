"""Bugs planted in the door over HTTP, each caught by the law that it breaks."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import test_rest_bad_input as bad
import test_rest_browsers as browsers_laws
import test_rest_calls as calls_laws
import test_rest_errors as errors_laws
import test_rest_services as services_laws
import test_rest_streams as streams_laws
import wired_master
from http_door import HttpDoor, client_of, opened
from starlette.responses import Response
from wired_master import WiredMaster, serving

from pullwork_master.gateway import (
    app,
    body,
    events,
    problems,
    readable,
    reading,
    routes,
    shorthand,
)
from pullwork_master.gateway.browsers import Browsers
from pullwork_master.storage.memory import MemoryStorage
from pullwork_master.wire.calls import Calls

Patch = pytest.MonkeyPatch
Law = Callable[[WiredMaster, HttpDoor, httpx.AsyncClient], Awaitable[None]]


def any_page_may_ask(patch: Patch) -> None:
    """Nobody looks where a request comes from."""
    patch.setattr(Browsers, "check", lambda self, verb, headers: None)


def any_name_is_ours(patch: Patch) -> None:
    """Only the origin is looked at, which a rebound name has for its own."""
    patch.setattr(Browsers, "_is_known", lambda self, host: True)


def base64_of_whatever(patch: Patch) -> None:
    """Bytes that are no base64 become other bytes."""
    patch.setattr(reading, "_is_base64", lambda item: True)


def the_last_of_two_stands(patch: Patch) -> None:
    """A name that stands twice in an object is taken once."""
    patch.setattr(reading, "_without_doubles", dict)


def any_kind_of_body(patch: Patch) -> None:
    """A form is read as JSON."""
    patch.setattr(body, "_check_kind", lambda request: None)


def a_body_without_end(patch: Patch) -> None:
    """A body of any size is read into memory."""
    patch.setattr(body, "BODY_BYTES_MAX", 2**40)


def variables_first(patch: Patch) -> None:
    """Where a word and a variable fit, both do."""
    patch.setattr(routes, "_rank", lambda route: ())


def decoded_before_it_is_cut(patch: Patch) -> None:
    """A `/` in a name cuts it in two."""
    find = routes.Routes.find

    def decoded(self: Any, verb: str, raw_path: str) -> Any:
        return find(self, verb, raw_path.replace("%2F", "/"))

    patch.setattr(routes.Routes, "find", decoded)


def nothing_before_a_call(patch: Patch) -> None:
    """The handler is called without what stands before it on the port."""

    async def bare(self: Any, method: str, metadata: Any) -> Any:
        return self._handlers[method]

    patch.setattr(Calls, "handler", bare)


def the_moment_is_not_told(patch: Patch) -> None:
    """A problem says nothing of when to come back."""
    response = problems.response

    def hurried(*args: Any) -> Response:
        made = response(*args)
        made.headers.__delitem__("retry-after")
        return made

    patch.setattr(problems, "response", hurried)


def the_client_is_not_missed(patch: Patch) -> None:
    """A call goes on when nobody waits for it."""

    async def patient(answer: Any, request: Any) -> Any:
        return await answer

    patch.setattr(app, "_unless_gone", patient)


def the_stream_is_left_open(patch: Patch) -> None:
    """A stream whose reader left is forgotten, not ended."""
    kept: list[Any] = []

    async def forget(self: Any) -> None:
        kept.append(self)

    patch.setattr(events.EventStream, "close", forget)


def always_from_now_on(patch: Patch) -> None:
    """Whoever comes back begins anew."""
    patch.setattr(app, "LAST_EVENT_ID", "no-such-header")


def json_is_believed(patch: Patch) -> None:
    """What calls itself JSON is shown as if it were."""
    patch.setattr(readable, "_no_number", float)


async def _shows_only_json(master: WiredMaster, _: HttpDoor, http: httpx.AsyncClient) -> None:
    (task_id,) = await master.submit(payload=b"NaN", content_type="application/json")
    assert "NaN" not in (await http.get(f"/tasks/{task_id}")).text


def what_was_tried_is_told_as_made(patch: Patch) -> None:
    """Whatever a call that makes something answers is told as made."""

    class Forgetful:
        """Stands for the built-in function there."""

        def __call__(self, message: Any, name: str, *default: Any) -> Any:
            return False if name == "dry_run" else getattr(message, name, *default)

    patch.setattr(app, "getattr", Forgetful(), raising=False)


def the_wrong_side_of_the_colon(patch: Patch) -> None:
    """In a short port the program's stands first."""
    named = r"(?:(?P<name>[^=:]+)=)?(?P<port>\d{1,9})(?::(?P<host_port>\d{1,9}))?"
    patch.setattr(shorthand, "_NAMED", re.compile(named))


def true_is_a_port(patch: Patch) -> None:
    """What Python takes for a number is one."""
    patch.setattr(
        shorthand,
        "short_of",
        lambda descriptor: (
            shorthand.Short(lambda item: {"port": int(str(item) == "True")}, "", ())
            if descriptor.name == "Port"
            else None
        ),
    )


LAWS: list[tuple[Callable[[Patch], None], Law]] = [
    (
        any_page_may_ask,
        lambda m, d, h: browsers_laws.test_a_foreign_page_submits_and_changes_nothing(
            m, h, {"Origin": "null"}
        ),
    ),
    (
        any_name_is_ours,
        lambda m, d, h: browsers_laws.test_a_name_that_is_not_ours_is_answered_nothing(
            h, "evil.example", "/queues"
        ),
    ),
    (
        base64_of_whatever,
        lambda m, d, h: bad.test_a_bad_field_of_a_body_is_named(
            m, h, {"tasks": [{"type": "t", "payload": "*"}]}, "tasks[0].payload", "base64"
        ),
    ),
    (
        the_last_of_two_stands,
        lambda m, d, h: bad.test_a_body_that_is_no_json_is_refused(h, b'{"tasks":[],"tasks":[]}'),
    ),
    (
        any_kind_of_body,
        lambda m, d, h: bad.test_a_body_of_another_kind_is_refused(
            h, {"Content-Type": "text/plain"}
        ),
    ),
    (
        a_body_without_end,
        lambda m, d, h: bad.test_an_oversize_body_is_refused_and_its_sender_hears_it(h, True),
    ),
    (
        variables_first,
        lambda m, d, h: bad.test_a_wrong_method_is_refused_with_those_that_are_taken(
            h, "GET", "/tasks/run", "POST"
        ),
    ),
    (decoded_before_it_is_cut, lambda m, d, h: calls_laws.test_changes_are_made_by_post(m, h)),
    (
        nothing_before_a_call,
        lambda m, d, h: errors_laws.test_an_error_is_the_same_over_both_doors(m, h),
    ),
    (
        the_moment_is_not_told,
        lambda m, d, h: errors_laws.test_a_full_queue_says_when_to_come_back(),
    ),
    (
        the_client_is_not_missed,
        lambda m, d, h: (
            streams_laws.test_a_run_whose_client_left_leaves_nobody_waiting_and_the_task_goes_on(
                m, d
            )
        ),
    ),
    (
        the_stream_is_left_open,
        lambda m, d, h: streams_laws.test_a_stream_whose_reader_left_leaves_nothing_behind(m, h),
    ),
    (
        always_from_now_on,
        lambda m, d, h: streams_laws.test_a_refusal_that_comes_first_has_a_status(h),
    ),
    (json_is_believed, _shows_only_json),
    (
        what_was_tried_is_told_as_made,
        lambda m, d, h: services_laws.test_what_is_only_tried_is_not_told_as_made(h),
    ),
    (
        the_wrong_side_of_the_colon,
        lambda m, d, h: services_laws.test_a_port_is_written_short(h, *services_laws.PORTS[3]),
    ),
    (
        true_is_a_port,
        lambda m, d, h: services_laws.test_a_bad_field_of_a_service_is_named(
            h, {"image": "nginx", "ports": [True]}, "spec.ports[0]", "http=80"
        ),
    ),
]


@pytest.mark.parametrize(("planted", "law"), LAWS, ids=lambda it: getattr(it, "__name__", ""))
async def test_a_planted_bug_is_caught(
    planted: Callable[[Patch], None], law: Law, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(wired_master, "PATIENCE_S", 1.0)
    async with (
        serving(MemoryStorage()) as master,
        opened(master) as door,
        client_of(door) as http,
    ):
        planted(monkeypatch)
        with pytest.raises((AssertionError, KeyError, httpx.ReadTimeout)):
            await law(master, door, http)
        monkeypatch.undo()
