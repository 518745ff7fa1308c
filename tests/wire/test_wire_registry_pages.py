"""Lists of a large fleet: pages by count and by bytes, their tokens, and a snapshot in parts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest
from wired_master import MASTER, WiredMaster, read, refusal

from pullwork.channel import MESSAGE_BYTES_MAX
from pullwork.errors import InvalidFieldError
from pullwork.v1 import registry_service_pb2 as r
from pullwork.v1 import worker_pb2
from pullwork_master.core import limits
from pullwork_master.wire import registry_service

Entry = worker_pb2.Worker | worker_pb2.Member

CALLS = ("ListMembers", "ListWorkers")


async def _page(master: WiredMaster, call: str, **request: Any) -> tuple[list[Any], str]:
    asked = {"ListMembers": r.ListMembersRequest, "ListWorkers": r.ListWorkersRequest}[call]
    answer = await getattr(master.registry, call)(asked(**request))
    shown = answer.members if call == "ListMembers" else answer.workers
    return list(shown), answer.next_page_token


async def _pages(master: WiredMaster, call: str, **request: Any) -> list[list[Any]]:
    """Follows the pages to their end."""
    page, token = await _page(master, call, **request)
    pages = [page]
    while token:
        page, token = await _page(master, call, page_token=token, **request)
        pages.append(page)
    return pages


async def _fleet(master: WiredMaster, count: int, types: int = 1, chars: int = 1) -> list[str]:
    """Registers workers of as many types each, all different, and returns their names in order.

    They register in an order that is not that of their names.
    """
    names = [f"worker {n:03}" for n in range(count)]
    for at in sorted(range(count), key=lambda n: n % 7):
        listed = [f"{f't{at}-{each}':x<{chars}}" for each in range(types)]
        await master.worker(names[at], task_types=listed)
    return names


def _names(entries: Sequence[Entry]) -> list[str]:
    return [each.name for each in entries]


def _all(pages: Sequence[Sequence[Entry]]) -> list[str]:
    return [name for page in pages for name in _names(page)]


# --- pages by count ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 8, 9, 10, 1_000, 0])
async def test_pages_of_every_size_tell_each_node_once_and_in_order(
    master: WiredMaster, size: int
) -> None:
    names = await _fleet(master, 9)
    most = size or limits.PAGE_SIZE_DEFAULT
    for call, wanted in (("ListWorkers", names), ("ListMembers", [MASTER.name, *names])):
        pages = await _pages(master, call, page_size=size)
        assert _all(pages) == wanted
        assert [len(page) for page in pages[:-1]] == [most] * (len(pages) - 1)
        assert 0 < len(pages[-1]) <= most


async def test_the_default_page_is_a_hundred_nodes(master: WiredMaster) -> None:
    await _fleet(master, 101)
    for call in CALLS:
        shown, token = await _page(master, call)
        assert len(shown) == 100
        assert token


async def test_a_fleet_of_nobody_is_a_page_without_a_next(master: WiredMaster) -> None:
    assert await _page(master, "ListWorkers", page_size=1) == ([], "")
    shown, token = await _page(master, "ListMembers", page_size=1)
    assert (_names(shown), token) == ([MASTER.name], "")


async def test_pages_of_a_filter_hold_what_matches_only(master: WiredMaster) -> None:
    for n in range(10):
        await master.worker(f"w{n}", queues=["even" if n % 2 == 0 else "odd"])
    pages = await _pages(master, "ListWorkers", queue="even", page_size=2)
    assert [_names(page) for page in pages] == [["w0", "w2"], ["w4", "w6"], ["w8"]]


@pytest.mark.parametrize("call", CALLS)
async def test_who_comes_and_goes_between_two_pages_shifts_nobody(
    master: WiredMaster, call: str
) -> None:
    fleet = {name: await master.worker(name) for name in ("b", "d", "f", "h")}
    first, token = await _page(master, call, page_size=2 if call == "ListWorkers" else 3)
    assert _names(first)[-2:] == ["b", "d"]
    await fleet["b"].leave()
    await fleet["d"].leave()  # the token's own place
    await master.worker("a")
    await master.worker("g")
    rest, end = await _page(master, call, page_token=token)
    assert (_names(rest), end) == (["f", "g", "h"], "")


async def test_names_of_any_letters_have_their_place(master: WiredMaster) -> None:
    names = sorted([" ", "a b", "a. b", "ä", "名前", "\n", "." * 128, "🐂"])
    for n, name in enumerate(names):
        await master.worker(name, boot_id=str(n))
    assert _all(await _pages(master, "ListWorkers", page_size=1)) == names


# --- pages by bytes ------------------------------------------------------------------------


async def test_pages_of_a_large_fleet_stay_below_the_largest_message(master: WiredMaster) -> None:
    names = await _fleet(master, 70, types=1_000, chars=100)
    for call, wanted in (("ListWorkers", names), ("ListMembers", [MASTER.name, *names])):
        pages = await _pages(master, call, page_size=1_000)
        assert _all(pages) == wanted
        sizes = [sum(each.ByteSize() for each in page) for page in pages]
        assert sum(sizes) > MESSAGE_BYTES_MAX
        assert max(sizes) < MESSAGE_BYTES_MAX
        assert len(pages) <= 4, "pages are filled"


async def test_a_master_tells_so_many_types_as_fit_a_page(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert limits.TYPES_SHOWN_MAX * (limits.NAME_CHARS_MAX + 3) < limits.PAGE_BYTES_MAX
    monkeypatch.setattr(registry_service, "TYPES_SHOWN_MAX", 3)
    await master.worker("a", task_types=["d", "b"])
    await master.worker("b", task_types=["c", "a"])
    shown, _ = await _page(master, "ListMembers")
    assert list(shown[0].task_types) == ["a", "b", "c"]


# --- tokens --------------------------------------------------------------------------------


async def _blamed(call: Any) -> str:
    refused = await refusal(call)
    assert isinstance(refused, InvalidFieldError)
    assert refused.field == "page_token"
    return str(refused)


async def test_a_token_of_nodes_is_of_its_own_query_only(master: WiredMaster) -> None:
    await _fleet(master, 3)
    tokens = {call: (await _page(master, call, page_size=1))[1] for call in CALLS}
    for call, other in (CALLS, CALLS[::-1]):
        assert "another query" in await _blamed(_page(master, call, page_token=tokens[other]))
    for chosen in ({"queue": "default"}, {"task_type": "t0-0"}, {"state": 1}):
        token = tokens["ListWorkers"]
        refused = await _blamed(_page(master, "ListWorkers", page_token=token, **chosen))
        assert "another query" in refused
    again, _ = await _page(master, "ListWorkers", page_token=tokens["ListWorkers"], page_size=9)
    assert len(again) == 2, "the size of the page is no part of the query"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("garbage", ["?", "é", "====", "YQ==", "_w==", "Lg==", "x" * 10_000])
async def test_a_token_of_garbage_is_refused(master: WiredMaster, call: str, garbage: str) -> None:
    assert "start without one" in await _blamed(_page(master, call, page_token=garbage))


@pytest.mark.parametrize("call", CALLS)
async def test_a_token_without_its_place_is_refused(master: WiredMaster, call: str) -> None:
    await _fleet(master, 3)
    _, token = await _page(master, call, page_size=1)
    mark = base64.urlsafe_b64decode(token).split(b".")[0]
    for cut in (mark, mark + b"."):
        token = base64.urlsafe_b64encode(cut).decode()
        assert "start without one" in await _blamed(_page(master, call, page_token=token))


# --- snapshots in parts --------------------------------------------------------------------


async def _snapshot(stream: Any) -> list[r.WatchRegistryResponse.Snapshot]:
    """Reads the parts of a snapshot, with nothing between them."""
    parts = []
    while True:
        message = await read(stream)
        assert message.WhichOneof("event") == "snapshot"
        assert message.ByteSize() < MESSAGE_BYTES_MAX
        parts.append(message.snapshot)
        if not message.snapshot.more:
            return parts


async def test_a_large_fleets_snapshot_comes_in_parts_whole_and_in_order(
    master: WiredMaster,
) -> None:
    names = await _fleet(master, 70, types=1_000, chars=100)
    stream = master.registry.WatchRegistry(r.WatchRegistryRequest())
    parts = await _snapshot(stream)
    assert len(parts) > 1
    assert _all([part.members for part in parts]) == [MASTER.name, *names]
    await master.worker("late")
    assert (await read(stream)).joined.name == "late"


async def test_a_small_fleets_snapshot_is_one_message(master: WiredMaster) -> None:
    names = await _fleet(master, 9)
    (part,) = await _snapshot(master.registry.WatchRegistry(r.WatchRegistryRequest()))
    assert _names(part.members) == [MASTER.name, *names]


async def test_what_changes_within_a_snapshot_is_told_behind_it(
    master: WiredMaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PAGE_BYTES_MAX", 1)  # each part is one member
    fleet = [await master.worker(name) for name in ("a", "c", "e")]
    (registry,) = {
        listener.__self__
        for listener in master.engine._listeners
        if isinstance(getattr(listener, "__self__", None), registry_service.Registry)
    }
    told = registry.watch()
    first = (await anext(told)).snapshot
    assert (_names(first.members), first.more) == ([MASTER.name], True)
    await fleet[2].leave()
    await master.worker("d")
    rest = [(await anext(told)).snapshot for _ in fleet]
    assert [(_names(part.members), part.more) for part in rest] == [
        (["a"], True),
        (["c"], True),
        (["e"], False),
    ]
    assert (await anext(told)).left.name == "e"
    assert (await anext(told)).joined.name == "d"
    await told.aclose()
