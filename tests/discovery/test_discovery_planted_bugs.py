"""Bugs planted in discovery, each caught by the law that it breaks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
import test_consul_answers as answers
import test_consul_waits as waits
import test_many_readers as readers
import test_prometheus_targets as targets
from http_door import HttpDoor, client_of, opened
from listed_instances import ListedInstances
from wired_master import serving

from pullwork_master.gateway.discovery import consul, desk, prometheus, questions, written
from pullwork_master.gateway.discovery.desk import Desk
from pullwork_master.gateway.discovery.parking import Parking
from pullwork_master.storage.memory import MemoryStorage

Patch = pytest.MonkeyPatch
Law = Callable[[ListedInstances, HttpDoor, httpx.AsyncClient], Awaitable[None]]


def an_empty_list_at_the_start(patch: Patch) -> None:
    """A master that knows nothing yet says that there is nothing."""
    init = Desk.__init__

    def hasty(self: Any, catalogue: Any, *args: Any) -> None:
        init(self, catalogue, *args)
        type(catalogue).settled = property(lambda _: True, lambda *_: None)

    patch.setattr(Desk, "__init__", hasty)


def the_ill_pass(patch: Patch) -> None:
    """An instance that is not well is told as one that is."""
    patch.setattr(consul, "_status", lambda each: consul.PASSING)


def passing_is_not_heard(patch: Patch) -> None:
    """Who asks for those that are well gets all."""
    patch.setattr(questions, "_flag", lambda first, key: False)


def tags_are_not_heard(patch: Patch) -> None:
    """Who asks for a tag gets all."""
    patch.setattr(consul, "tagged", lambda endpoints, tags: list(endpoints))


def filters_are_passed_over(patch: Patch) -> None:
    """An expression that nobody understands narrows nothing."""
    patch.setattr(questions, "_refuse_what_narrows", lambda first: None)


def ports_share_tags(patch: Patch) -> None:
    """The route of the first port leads to all ports."""
    tags_of = consul.tags_of
    patch.setattr(consul, "tags_of", lambda each: tags_of(replace(each, first=True)))


def ports_share_a_name(patch: Patch) -> None:
    """Who asks for a service gets its metrics, too."""
    patch.setattr(consul, "name_of", lambda each: each.service)


def a_port_has_the_name_of_a_service(patch: Patch) -> None:
    """`web`'s port `metrics` is called like the service `web-metrics`."""
    patch.setattr(consul, "_OTHER_PORT", "-")


def nobody_waits(patch: Patch) -> None:
    """Every request is answered at once."""

    async def at_once(*_: Any) -> bool:
        return True

    patch.setattr(Parking, "wait", at_once)


def all_are_woken(patch: Patch) -> None:
    """A change of one service wakes those who wait for another."""
    patch.setattr(questions.Question, "service", "")


def a_strange_index_waits(patch: Patch) -> None:
    """An index that never was is waited for."""

    async def wait(self: Any, generation: int, service: str, *args: Any) -> bool:
        return bool(await self._wait(self._catalogue.generation(service), service, *args))

    patch.setattr(Parking, "wait", wait)


def half_of_it_is_told(patch: Patch) -> None:
    """Who waits is answered before all nodes have reported."""

    async def settled(*_: Any) -> bool:
        return True

    patch.setattr(Parking, "settle", settled)


def no_time_to_gather(patch: Patch) -> None:
    """Each of many changes is told at once."""
    init = Parking.__init__
    patch.setattr(Parking, "__init__", lambda self, listed, **_: init(self, listed, gather_s=0))


def any_number_waits(patch: Patch) -> None:
    """There is always room for one more."""
    init = Parking.__init__
    patch.setattr(Parking, "__init__", lambda self, listed, **_: init(self, listed, 10**9))


def a_place_is_never_free_again(patch: Patch) -> None:
    """Who left goes on waiting."""

    async def deaf(self: Any, generation: int, service: str, wait_s: float, _: Any) -> bool:
        await self._catalogue.changed(generation, service)
        return True

    patch.setattr(Parking, "_wait", deaf)


def written_for_each(patch: Patch) -> None:
    """Each reader has the same document written anew."""
    patch.setattr(written, "KEPT_MAX", 0)


def an_old_document(patch: Patch) -> None:
    """A document is kept though something has changed."""
    get = written.Written.get
    patch.setattr(
        written.Written, "get", lambda self, key, generation, *args: get(self, key, 1, *args)
    )


def a_partial_list(patch: Patch) -> None:
    """Prometheus is told only of those that are well."""
    made = prometheus.targets
    patch.setattr(
        prometheus,
        "targets",
        lambda endpoints, port="": made([each for each in endpoints if each.healthy], port),
    )


def anybody_writes(patch: Patch) -> None:
    """A PUT is answered like a GET."""
    patch.setattr(desk, "READING", ("GET", "HEAD", "PUT"))


LAWS: list[tuple[Callable[[Patch], None], Law]] = [
    (
        an_empty_list_at_the_start,
        lambda c, d, h: answers.test_a_master_that_does_not_know_yet_is_a_consul_without_a_leader(
            c, h, "/v1/catalog/services"
        ),
    ),
    (
        an_empty_list_at_the_start,
        lambda c, d, h: targets.test_a_master_that_does_not_know_yet_answers_no_list(c, h),
    ),
    (the_ill_pass, lambda c, d, h: answers.test_only_what_is_well_passes(c, h)),
    (passing_is_not_heard, lambda c, d, h: answers.test_only_what_is_well_passes(c, h)),
    (tags_are_not_heard, lambda c, d, h: answers.test_tags_narrow_whatever_their_case(c, h)),
    (
        filters_are_passed_over,
        lambda c, d, h: answers.test_what_is_not_understood_is_refused(h),
    ),
    (
        ports_share_tags,
        lambda c, d, h: answers.test_another_port_is_a_service_of_its_own_without_tags(c, h),
    ),
    (
        ports_share_a_name,
        lambda c, d, h: answers.test_another_port_is_a_service_of_its_own_without_tags(c, h),
    ),
    (
        a_port_has_the_name_of_a_service,
        lambda c, d, h: answers.test_another_port_is_a_service_of_its_own_without_tags(c, h),
    ),
    (
        nobody_waits,
        lambda c, d, h: waits.test_a_wait_ends_with_a_change_and_tells_the_new_index(
            c, h, waits.WEB
        ),
    ),
    (all_are_woken, lambda c, d, h: waits.test_one_service_is_not_woken_by_another(c, h)),
    (
        a_strange_index_waits,
        lambda c, d, h: waits.test_an_index_of_another_time_is_answered_at_once(c, h, 1),
    ),
    (
        half_of_it_is_told,
        lambda c, d, h: waits.test_who_waits_is_not_refused_by_a_master_that_does_not_know_yet(
            c, h
        ),
    ),
    (no_time_to_gather, lambda c, d, h: waits.test_who_is_woken_gathers_for_a_moment(c)),
    (any_number_waits, lambda c, d, h: waits.test_no_more_may_wait_than_there_is_room_for(c)),
    (a_place_is_never_free_again, lambda c, d, h: waits.test_who_leaves_frees_the_place(c)),
    (written_for_each, lambda c, d, h: readers.test_what_many_ask_for_is_written_once(c, h)),
    (an_old_document, lambda c, d, h: readers.test_what_many_ask_for_is_written_once(c, h)),
    (
        a_partial_list,
        lambda c, d, h: targets.test_what_is_not_well_is_a_target_too_and_says_so(c, h),
    ),
    (
        anybody_writes,
        lambda c, d, h: answers.test_nothing_can_be_written(h, "PUT"),
    ),
]


@pytest.mark.parametrize(("planted", "law"), LAWS, ids=lambda it: getattr(it, "__name__", ""))
async def test_a_planted_bug_is_caught(
    planted: Callable[[Patch], None], law: Law, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(waits, "PATIENCE_S", 1.0)

    # A class of its own, since a bug may be planted in it.
    class Listed(ListedInstances):
        pass

    planted(monkeypatch)
    async with (
        serving(MemoryStorage()) as master,
        opened(master, catalogue=(listed := Listed())) as door,
        client_of(door) as http,
    ):
        with pytest.raises((AssertionError, pytest.fail.Exception, TimeoutError)):
            await law(listed, door, http)
        monkeypatch.undo()
