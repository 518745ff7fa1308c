"""A node cut off from the master; its worker and its instances are well."""

from __future__ import annotations

from fault_harness.services.trial import Fault, Trial


async def _cut_for(trial: Trial, node: str, seconds: float) -> None:
    """Breaks its connections, and loses all bytes of new ones for a time."""
    link = trial.site.links[node]
    link.lose_requests = link.lose_replies = True
    await link.cut()
    await trial.wait(seconds)


async def _mend(trial: Trial, node: str) -> None:
    link = trial.site.links[node]
    link.lose_requests = link.lose_replies = False
    # What was cut in the middle of a handshake would wait for its timeout.
    await link.cut()
    trial.site.reachable.add(node)


async def _short(trial: Trial) -> None:
    node = trial.node()
    before = await trial.running()
    await _cut_for(trial, node, 2.0)
    await _mend(trial, node)
    await trial.recovers(trial.site.bounds.back)
    trial.require_same(before, await trial.running())


async def _long(trial: Trial) -> None:
    site, node = trial.site, trial.node()
    before = [it for it in await trial.running() if it.node == node]
    site.reachable.discard(node)
    await _cut_for(trial, node, 0.0)
    await trial.recovers(site.bounds.replaced_in_silence)
    still = [it for it in await trial.running() if it.node == node]
    trial.require_go_on(before, still)
    await _mend(trial, node)
    await trial.recovers(site.bounds.back)


async def _flaps(trial: Trial) -> None:
    node = trial.node()
    before = await trial.running()
    for _ in range(8):
        await _cut_for(trial, node, 0.4)
        await _mend(trial, node)
        await trial.wait(0.6)
    await trial.recovers(trial.site.bounds.back)
    trial.require_same(before, await trial.running())


async def _held_back(trial: Trial) -> None:
    """Nothing breaks, and nothing arrives."""
    site, node = trial.site, trial.node()
    site.reachable.discard(node)
    site.links[node].open.clear()
    await trial.recovers(site.bounds.replaced_in_silence)
    site.links[node].open.set()
    site.reachable.add(node)
    await trial.recovers(site.bounds.back)


async def _replies_lost(trial: Trial) -> None:
    """The node is heard, and does not know it: reports, tickets and ends are said again."""
    node = trial.node()
    link = trial.site.links[node]
    victims = [it for it in await trial.running() if it.node == node]
    link.lose_replies = True
    await trial.site.own.kill(victims[0])
    await trial.wait(1.0)
    link.lose_replies = False
    await link.cut()
    await trial.recovers(trial.site.bounds.back)


FAULTS = (
    Fault("link-cut", "a node cut off for 2 s", _short),
    Fault("link-cut-for-long", "a node cut off until all was replaced", _long),
    Fault("link-flaps", "a node cut off 8 times for 0.4 s", _flaps),
    Fault("link-held-back", "a node's bytes held back until all was replaced", _held_back),
    Fault("replies-lost", "an instance killed while the master's replies are lost", _replies_lost),
)
