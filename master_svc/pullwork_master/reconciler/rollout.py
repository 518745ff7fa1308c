"""How a change reaches the instances: steps of it, and the word on how it went.

A step never leaves more than `max_surge` too many, nor ends a well one if that would leave fewer
well than are wanted, less `max_unavailable`. No step follows while as many new ones as may be made
at once are not ready, so a bad version stops at its first step.
"""

from __future__ import annotations

from typing import Final

from pullwork_master.reconciler.departures import fullest_first
from pullwork_master.reconciler.model import Exit, Instance, Phase, Roll, Rolling, Rollout
from pullwork_master.reconciler.restarts import ended_quickly
from pullwork_master.reconciler.sentences import why_no_update
from pullwork_master.reconciler.standing import Standing, by_number

# So many quick ends in a row of a new one are a failure.
QUICK_ENDS_MAX: Final = 2


def judge(standing: Standing) -> Roll | None:
    """Returns that a change is through, or has failed; None: neither."""
    service = standing.service
    rollout, state = service.rollout, service.rollout.state
    unproven = state is Rolling.DONE and service.version != service.good_version
    if state in (Rolling.ROLLING, Rolling.RETURNING) or unproven:
        proven = standing.wanted.instances > 0
        if _whole(standing) and (proven or not unproven):
            ends_in = Rolling.RETURNED if state is Rolling.RETURNING else Rolling.DONE
            return Roll(
                service.name, service.revision, rollout._replace(state=ends_in), good=proven
            )
    # Nothing of a version may have run when it was done: it may fail later.
    if not (state is Rolling.ROLLING or unproven) or not standing.fallback:
        return None
    why = _failure(standing)
    if not why:
        return None
    if not standing.wanted.update.returns:
        failed = rollout._replace(state=Rolling.PAUSED, reason=why)
        return Roll(service.name, service.revision, failed)
    reason = f"version {service.version} failed: {why}"
    back = Rollout(Rolling.RETURNING, standing.now_ms, service.good_version, reason)
    return Roll(service.name, service.revision, back, back=True)


def _whole(standing: Standing) -> bool:
    """Says whether exactly what is wanted is there, of this version, and ready."""
    return (
        len(standing.ready) == standing.wanted.instances == len(standing.there)
        and not standing.old
        and not standing.ended
        and not standing.lost
    )


def _failure(standing: Standing) -> str:
    """Returns why an update has failed; empty: it has not."""
    service, restart = standing.service, standing.wanted.restart
    for end in sorted(standing.all_ended, key=lambda it: it.instance.id):
        times = end.instance.quick_restarts + 1
        new = end.instance.version == service.version
        if new and times >= QUICK_ENDS_MAX and ended_quickly(end, restart):
            return _ended(end.instance.id, times, end.exit)
    unready = [each for each in standing.unready if each.version == service.version]
    for each in by_number(unready):
        if each.quick_restarts >= QUICK_ENDS_MAX and each.last_exit is not None:
            return _ended(each.id, each.quick_restarts, each.last_exit)
    # One that is HEALTHY is about to count. After a start of the master that is so of all.
    late = [each for each in by_number(unready) if each.phase is not Phase.HEALTHY]
    made = sum(each.version == service.version for each in standing.there)
    stuck = bool(standing.old) and made < standing.wanted.instances
    if not late and (unready or not stuck):
        return ""
    due_ms = _progress_ms(standing) + standing.wanted.update.deadline_ms
    if standing.now_ms < due_ms:
        standing.look_again(due_ms)
        return ""
    within = f"within {standing.wanted.update.deadline_ms / 1000:g} s"
    if late:
        slow = late[0]
        last = f"; it ended before: {slow.last_exit.reason}" if slow.last_exit else ""
        return f"{slow.id} was not well {within}{last}"
    choice = standing.choice(standing.wanted)
    if choice.best() is not None:
        return ""
    return why_no_update(choice, within)


def _ended(id: str, times: int, exit: Exit) -> str:
    return f"{id} ended {times} times in a row: {exit.reason}"


def _progress_ms(standing: Standing) -> int:
    """Returns when the update came further the last time: a step began, or was through."""
    version, healthy_ms = standing.service.version, standing.wanted.update.healthy_ms
    began = (
        each.created_ms for each in standing.there if each.version == version and not each.restarts
    )
    through = (each.healthy_ms + healthy_ms for each in standing.ready if each.version == version)
    return max(standing.service.rollout.started_ms, *began, *through, 0)


class Step:
    """What an update does next: which old ones end, and how many new ones are to start."""

    __slots__ = ("lacking", "starts", "stops")

    def __init__(self, standing: Standing) -> None:
        wanted, update = standing.wanted, standing.wanted.update
        version = standing.service.version
        new_ended = sum(each.instance.version == version for each in standing.ended)
        new = len(standing.there) - len(standing.old) + new_ended
        unready = sum(each.version == version for each in standing.unready) + new_ended
        count = standing.count
        # How many more may be under way.
        pace = max(1, update.max_surge + update.max_unavailable) - unready
        pace -= max(0, standing.missing)
        spare = _available(standing) - (wanted.instances - update.max_unavailable)
        gone = {each.task_id for each in standing.gone}
        old = [each for each in by_number(standing.old) if each.task_id not in gone]
        self.stops: list[Instance] = []
        for each in old:
            if each.phase is Phase.HEALTHY:
                continue
            # It is of no use. But the new ones may be none either: those come one step at a time.
            if count <= wanted.instances:
                if pace <= 0:
                    continue
                pace -= 1
            self.stops.append(each)
            count -= 1
        well = [each for each in old if each.phase is Phase.HEALTHY]
        for each in fullest_first(standing, well, spare):
            if count <= wanted.instances:
                if pace <= 0:
                    break
                pace -= 1
            self.stops.append(each)
            count -= 1
        # What is missing anyway is never too early.
        self.lacking = lacking = max(0, wanted.instances - count)
        room = wanted.instances + update.max_surge - count - len(standing.lost)
        ahead = min(wanted.instances - new, room, lacking + max(0, pace))
        self.starts = max(lacking, ahead, 0)


def _available(standing: Standing) -> int:
    """Returns how many do their work: new ones that count, old ones that are well.

    Those on a node that can't be reached count as there: they may run, and nobody can tell.
    """
    version = standing.service.version
    gone = {each.task_id for each in standing.gone}
    new = sum(each.version == version for each in standing.ready)
    old = sum(each.phase is Phase.HEALTHY and each.task_id not in gone for each in standing.old)
    return new + old + len(gone)
