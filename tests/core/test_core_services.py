"""What is wanted of services is changed by those who know where it stands, and never lost."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from ledger import require
from running_engine import SlowStorage, running
from world import POLICY, World, refused, spec

from pullwork_master.core import commands as c
from pullwork_master.core.effects import Effects
from pullwork_master.core.model import ServiceRow, Spec
from pullwork_master.core.rejections import Reason, Rejection
from pullwork_master.engine import LAST_BYTES

ABSENT, ANY = 0, -1


def put(world: World, name: str = "web", record: bytes = b"r", **more: int) -> ServiceRow:
    answer = world.ask(c.PutService(name, record, **{"expect_revision": ABSENT, **more}))
    assert isinstance(answer, ServiceRow), answer
    return answer


def stored(world: World) -> dict[str, ServiceRow]:
    return {row.name: row for row in world.storage.reload().services}


def test_what_is_answered_is_on_disk_and_after_a_restart_in_memory(world: World) -> None:
    made = put(world)
    world.pass_time(5_000)
    changed = put(world, record=b"other", expect_revision=made.revision)
    assert changed.created_ms == made.created_ms < changed.updated_ms
    assert stored(world) == {"web": changed}
    world.restart()
    assert world.core.book.services == {"web": changed}


def test_a_name_is_made_once(world: World) -> None:
    made = put(world)
    rejection = refused(world.ask(c.PutService("web", b"x", ABSENT)), Reason.SERVICE_EXISTS)
    assert rejection.metadata == {"service": "web"}
    assert stored(world) == {"web": made}


def test_nobody_overwrites_what_he_has_not_seen(world: World) -> None:
    first = put(world)
    second = put(world, record=b"2", expect_revision=first.revision)
    late = c.PutService("web", b"3", first.revision)
    rejection = refused(world.ask(late), Reason.REVISION_CONFLICT)
    assert rejection.metadata["revision"] == str(second.revision)
    assert stored(world) == {"web": second}
    assert put(world, record=b"4", expect_revision=ANY).record == b"4"


def test_two_who_saw_the_same_do_not_both_change_it_in_one_step(world: World) -> None:
    made = put(world)
    commands = [(900, c.PutService("web", b"a", made.revision))]
    commands += [(901, c.PutService("web", b"b", made.revision))]
    world.step([*commands])
    assert isinstance(world.answers.pop(900), ServiceRow)
    refused(world.answers.pop(901), Reason.REVISION_CONFLICT)
    assert stored(world)["web"].record == b"a"


@pytest.mark.parametrize("command", [c.PutService("web", b"", ANY), c.PutService("web", b"", 1)])
def test_what_is_not_there_is_not_changed(world: World, command: c.PutService) -> None:
    refused(world.ask(command), Reason.SERVICE_NOT_FOUND)
    refused(world.ask(c.DeleteService("web")), Reason.SERVICE_NOT_FOUND)
    assert stored(world) == {}


def test_a_deleted_service_is_answered_as_it_was_and_gone(world: World) -> None:
    made = put(world)
    assert world.ask(c.DeleteService("web")) == made
    assert stored(world) == {}
    world.restart()
    assert world.core.book.services == {}


def test_no_revision_is_given_out_twice_whatever_was_deleted(world: World) -> None:
    seen = [put(world).revision, put(world, "db").revision]
    world.ask(c.DeleteService("db"))
    world.restart()
    seen.append(put(world, "db").revision)
    world.step([(900, c.PutService("x", b"", ABSENT)), (901, c.DeleteService("x"))])
    answer = world.answers.pop(900)
    assert isinstance(answer, ServiceRow)
    seen.append(answer.revision)
    world.restart()
    seen.append(put(world, "x").revision)
    assert seen == sorted(set(seen))


def test_a_version_is_a_new_one_or_the_one_that_is_told(world: World) -> None:
    first = put(world)
    assert first.version == first.revision
    scaled = put(world, expect_revision=first.revision, version=first.version)
    assert (scaled.version, scaled.revision > first.revision) == (first.version, True)
    updated = put(world, expect_revision=scaled.revision)
    assert updated.version == updated.revision
    back = put(world, expect_revision=updated.revision, version=first.version)
    assert back.version == first.version


def test_there_are_only_so_many_services() -> None:
    world = World(replace(POLICY, services_max=2))
    put(world, "a")
    put(world, "b")
    rejection = refused(world.ask(c.PutService("c", b"", ABSENT)), Reason.TOO_MANY_REQUESTS)
    assert rejection.retry_after_ms
    put(world, "b", expect_revision=ANY)
    world.ask(c.DeleteService("a"))
    put(world, "c")


def test_a_full_disk_leaves_a_service_as_it_was(world: World) -> None:
    made = put(world)
    world.storage.tasks_max = 0
    submit = c.Submit((c.NewTask(spec(1)),), (spec(1).id,))
    world.step([(900, c.PutService("web", b"new", ANY)), (901, submit)])
    refused(world.answers.pop(900), Reason.DISK_FULL)
    assert stored(world) == world.core.book.services == {"web": made}


async def test_listeners_hear_of_a_change_once_it_is_on_disk() -> None:
    storage = SlowStorage()
    told: list[dict[str, ServiceRow | None]] = []

    def listen(effects: Effects) -> None:
        if effects.writes.services:
            told.append(effects.writes.services)

    async with running(storage) as engine:
        engine.listen(listen)
        row = await engine.ask(c.PutService("web", b"r", ABSENT))
        assert storage.reload().services == [row]
        await engine.ask(c.DeleteService("web"))
    assert told == [{"web": row}, {"web": None}]


async def test_with_the_last_room_of_a_disk_no_service_is_made_but_one_is_changed() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        await engine.ask(c.PutService("web", b"r", ABSENT))
        storage.room_bytes = 2 * LAST_BYTES
        with pytest.raises(Rejection) as rejection:
            await engine.ask(c.PutService("db", b"r", ABSENT))
        assert rejection.value.reason is Reason.DISK_FULL
        await engine.ask(c.PutService("web", b"fewer", ANY))
        await engine.ask(c.DeleteService("web"))
        storage.room_bytes = LAST_BYTES - 1
        with pytest.raises(Rejection) as none_left:
            await engine.ask(c.DeleteService("web"))
        assert none_left.value.reason is Reason.DISK_FULL


async def test_what_keeps_services_up_may_use_the_room_that_others_may_not() -> None:
    storage = SlowStorage()
    async with running(storage) as engine:
        storage.room_bytes = 2 * LAST_BYTES
        with pytest.raises(Rejection) as rejection:
            await engine.ask(c.Submit((c.NewTask(Spec("1", "q", "t")),)))
        assert rejection.value.reason is Reason.DISK_FULL
        (receipt,) = await engine.ask(
            c.Submit((c.NewTask(Spec("2", "q", "t")),), keeps_up=True),
        )
        assert receipt == ("2", False)
        storage.room_bytes = LAST_BYTES - 1
        with pytest.raises(Rejection) as none_left:
            await engine.ask(c.Submit((c.NewTask(Spec("3", "q", "t")),), keeps_up=True))
        assert none_left.value.reason is Reason.DISK_FULL


def test_in_any_order_nothing_told_is_lost_and_no_revision_comes_again() -> None:
    for seed in range(20):
        wander(seed)


def wander(seed: int) -> None:
    """Changes services at random, kills the master, and fills the disk."""
    dice, world = random.Random(seed), World(replace(POLICY, services_max=3))
    account: dict[str, ServiceRow] = {}
    last, numbers = 0, 0
    for _ in range(80):
        name = dice.choice("abcd")
        here = account.get(name)
        expected = dice.choice((ABSENT, ANY, last, here.revision if here else 7))
        version = dice.choice((0, here.version if here else 0))
        command: c.Command = c.PutService(name, bytes([dice.randrange(9)]), expected, version)
        if dice.random() < 0.3:
            command = c.DeleteService(name)
        batch = [(9_000, command)]
        if dice.random() < 0.2:
            numbers += 1
            world.storage.tasks_max = dice.choice((None, len(world.storage.tasks)))
            new = c.Submit((c.NewTask(spec(numbers)),), (spec(numbers).id,))
            batch.append((9_001, new))
        world.step(batch)
        answer = world.answers.pop(9_000)
        world.answers.clear()
        if isinstance(answer, ServiceRow) and isinstance(command, c.PutService):
            require(answer.revision > last, "revisions only grow", answer)
            require(expected in (ANY, here.revision if here else ABSENT), "fenced", command)
            account[name], last = answer, answer.revision
        elif isinstance(answer, ServiceRow):
            require(account.pop(name) == answer, "it is told as it was", answer)
        if dice.random() < 0.1:
            world.restart()
        require(stored(world) == account == world.core.book.services, "nothing told is lost")
