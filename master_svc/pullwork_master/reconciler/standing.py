"""How one service stands: what it has, sorted by what that counts for.

- An instance is *there* as long as its task is, whatever its node says; also on a node that can't
  be reached, until that was so for `replace_after`: then it is *lost*.
- It is *well* while it is HEALTHY on a node that can be reached, and *ready* once it was for so
  long as the update policy asks for.
- It is *old* if it is of another version than is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pullwork_master.reconciler.model import (
    Ended,
    Instance,
    Phase,
    Remnant,
    Rolling,
    Service,
    Wanted,
)
from pullwork_master.reconciler.placement import Board, Choice, Spread
from pullwork_master.reconciler.restarts import ended_quickly


class Standing:
    """What there is of one service."""

    def __init__(
        self,
        service: Service,
        board: Board,
        live: list[Instance],
        ended: list[Ended],
        remnants: list[Remnant],
        now_ms: int,
    ) -> None:
        self.service = service
        self.wanted = service.wanted
        self.board = board
        self.now_ms = now_ms
        self.all_live = live
        self.remnants = remnants
        self.all_ended = ended
        self.paused = service.rollout.state is Rolling.PAUSED
        # A moment at which something of it changes by itself; 0: none.
        self.next_ms = 0
        self.there: list[Instance] = []
        self.lost: list[Instance] = []
        self.gone: list[Instance] = []
        # There, on a node that can be reached, and not ready.
        self.unready: list[Instance] = []
        self.ready: list[Instance] = []
        self.old: list[Instance] = []
        self._sort(live)
        # Those to start again, and those that are not.
        self.ended: list[Ended] = []
        self.unfollowed: list[Ended] = []
        self._sort_ended(ended)
        self._used: set[str] | None = None
        self._spread: Spread | None = None
        self._choices: dict[bytes, Choice] = {}
        self._leaving: list[Instance] | None = None
        self._last_number = 0

    def _sort(self, live: list[Instance]) -> None:
        service, now_ms, spots = self.service, self.now_ms, self.board.spots
        replace_after_ms, healthy_ms = self.wanted.replace_after_ms, self.wanted.update.healthy_ms
        for each in live:
            spot = spots.get(each.node)
            if spot is None or spot.node.gone_since_ms:
                if replace_after_ms is not None:
                    due_ms = (spot.node.gone_since_ms if spot else 0) + replace_after_ms
                    if due_ms <= now_ms:
                        self.lost.append(each)
                        continue
                    self.look_again(due_ms)
                self.gone.append(each)
            elif each.phase is Phase.HEALTHY and each.healthy_ms + healthy_ms <= now_ms:
                self.ready.append(each)
            else:
                self.unready.append(each)
                if each.phase is Phase.HEALTHY:
                    self.look_again(each.healthy_ms + healthy_ms)
            self.there.append(each)
            if each.version != service.version:
                self.old.append(each)

    def _sort_ended(self, ended: list[Ended]) -> None:
        # What has begun under an id followed the end of it already.
        taken = {each.id for each in self.all_live} if ended else set()
        for each in sorted(ended, key=lambda it: (number_of(it.instance.id), -it.exit.ended_ms)):
            id = each.instance.id
            if id in taken or self.template_of(each) is None:
                self.unfollowed.append(each)
            else:
                self.ended.append(each)
                taken.add(id)

    def look_again(self, at_ms: int) -> None:
        """Takes note of a moment at which the service is to be looked at."""
        if at_ms > self.now_ms and (not self.next_ms or at_ms < self.next_ms):
            self.next_ms = at_ms

    @property
    def count(self) -> int:
        """How many are there, or start again."""
        return len(self.there) + len(self.ended)

    @property
    def missing(self) -> int:
        """How many there are too few; below 0: too many."""
        return self.wanted.instances + self._aside() - self.count

    def _aside(self) -> int:
        """Returns how many are there that nobody counts on.

        An update that failed and was left as it is keeps what it made, beside what is wanted.
        """
        if not self.paused:
            return 0
        version = self.service.version
        failed = sum(each.version == version for each in self.unready)
        failed += sum(each.instance.version == version for each in self.ended)
        return min(failed, self.wanted.update.max_surge)

    @property
    def complete(self) -> bool:
        """Whether exactly so many are there as are wanted."""
        return not self.missing and not self.ended and not self.lost

    @property
    def rolling(self) -> bool:
        """Whether old instances are being replaced."""
        return bool(self.old) and not self.paused

    @property
    def resting(self) -> bool:
        """Whether no change of it is under way."""
        return self.service.rollout.state in (Rolling.DONE, Rolling.RETURNED)

    @property
    def fallback(self) -> bool:
        """Whether there is a version that was well, and it is not the one that is wanted."""
        service = self.service
        return service.good is not None and service.good_version not in (0, service.version)

    def template_of(self, ended: Ended) -> Wanted | None:
        """Returns what an instance that ended is made of; None: it is not to be followed.

        An old one starts again as what it was, if that was well: the update replaces it in its
        turn. But it does not wait for its next start while a new one could take its place.
        """
        service, version = self.service, ended.instance.version
        if version == service.version:
            return service.wanted
        if version != service.good_version or service.good is None:
            return None
        loops = ended.instance.quick_restarts and ended_quickly(ended, service.wanted.restart)
        return service.good if self.paused or not loops else None

    def to_start(self) -> tuple[Wanted, int]:
        """Returns what a new instance is made of, and its version.

        After a failed update that was left as it is, it is what was well.
        """
        service = self.service
        if self.paused and self.fallback and service.good is not None:
            return service.good, service.good_version
        return service.wanted, service.version

    def choice(self, made_of: Wanted) -> Choice:
        """Returns where instances made of this may go.

        What is spread evenly are those that stay; those of an old version, on a node that they
        are to leave, or ending there, only take room.
        """
        if self._spread is None:
            leaving = {each.task_id for each in (*self.leaving(), *self.lost)}
            if not self.paused:
                leaving.update(each.task_id for each in self.old)
            stays = [each.node for each in self.there if each.task_id not in leaving]
            stays += [each.instance.node for each in self.ended]
            passes = [each.node for each in self.all_live if each.task_id in leaving]
            held = {(each.node, each.id) for each in self.all_live}
            held.update((each.instance.node, each.instance.id) for each in self.all_ended)
            passes += [each.node for each in self.remnants if (each.node, each.id) not in held]
            passes += [each.instance.node for each in self.unfollowed]
            self._spread = Spread(self.board, self.wanted.spread_by, stays, passes)
        choice = self._choices.get(made_of.template)
        if choice is None:
            choice = Choice(self.board, self.bound(made_of), self._spread)
            self._choices[made_of.template] = choice
        return choice

    def choice_for(self, instance: Instance) -> tuple[Choice, int]:
        """Returns where another like an instance may go, and of which version it is then."""
        service = self.service
        if instance.version == service.good_version and service.good is not None:
            return self.choice(service.good), service.good_version
        return self.choice(self.wanted), service.version

    def doubles(self) -> list[Instance]:
        """Returns all but the best of those that have one id, which nothing should have made."""
        if len({each.id for each in self.all_live}) == len(self.all_live):
            return []
        ready = {each.task_id for each in self.ready}
        best: dict[str, Instance] = {}
        for each in sorted(
            self.all_live, key=lambda it: (it.task_id not in ready, it.created_ms, it.task_id)
        ):
            best.setdefault(each.id, each)
        return [each for each in self.all_live if best[each.id] is not each]

    def bound(self, made_of: Wanted) -> Wanted:
        """Returns a template with the policies of placement that are wanted now."""
        if made_of is self.wanted:
            return made_of
        return replace(
            self.wanted,
            runner=made_of.runner,
            template=made_of.template,
            cpus=made_of.cpus,
            memory_bytes=made_of.memory_bytes,
            host_ports=made_of.host_ports,
        )

    def leaving(self) -> list[Instance]:
        """Returns those on nodes that they are to leave, and that can be reached."""
        if self._leaving is None:
            self._leaving = self._to_leave()
        return self._leaving

    def _to_leave(self) -> list[Instance]:
        wanted = self.wanted
        spots = [spot for spot in self.board.spots.values() if spot.reachable]
        if len(self.board.suited(wanted).spots) == len(spots):
            return []
        away = {it.node.name for it in spots if it.node.draining or not it.matches(wanted)}
        broken = {it.node.name for it in spots if wanted.runner not in it.node.runners}
        return [
            each
            for each in self.there
            if each.node in away or (each.node in broken and each.phase is Phase.PENDING)
        ]

    def new_id(self) -> str:
        """Returns the lowest free id."""
        if self._used is None:
            self._used = {each.id for each in self.all_live}
            self._used.update(each.instance.id for each in self.all_ended)
            self._used.update(each.id for each in self.remnants)
        while True:
            self._last_number += 1
            id = f"{self.service.name}-{self._last_number}"
            if id not in self._used:
                return id


def number_of(id: str) -> tuple[int, str]:
    """Returns how ids are sorted: by their numbers."""
    tail = id.rpartition("-")[2]
    return (int(tail) if tail.isdecimal() else 0, id)


def by_number(instances: Iterable[Instance]) -> list[Instance]:
    """Returns instances by their ids' numbers."""
    return sorted(instances, key=lambda each: (number_of(each.id), each.task_id))
