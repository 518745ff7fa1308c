"""Builds of the master with a bug planted, to see that the harness finds it.

python -m fault_harness.planted no-fence pullwork_master --listen ...
"""

from __future__ import annotations

import asyncio
import sys

import typer

from pullwork_master.core import leases
from pullwork_master.core.book import Book
from pullwork_master.core.commands import Outcome, Success, Verdict
from pullwork_master.core.effects import Effects
from pullwork_master.core.model import Session, State
from pullwork_master.engine import Engine
from pullwork_master.main import command

# A slow disk, so that the moment between an answer and its commit is long enough to die in.
SLOW_COMMIT_S = 0.2


def _no_fence() -> None:
    """Takes a result for a running task from whoever brings it, as queues without leases do."""
    fenced = leases.report

    def report(book: Book, session: Session, outcome: Outcome) -> Verdict:
        parsed = leases.parse_token(outcome.token)
        task = book.tasks.get(parsed[0]) if parsed else None
        if task is None or task.state is not State.RUNNING:
            return fenced(book, session, outcome)
        if isinstance(outcome.result, Success):
            leases.succeed(book, task, outcome.result, outcome.digest)
            return Verdict.ACCEPTED
        return fenced(book, session, outcome)

    leases.report = report


def _answer_before_commit() -> None:
    """Tells everybody, and stores it afterwards."""
    commit = Engine._commit

    async def wait_for_disk_afterwards(self: Engine, effects: Effects) -> None:
        self._speak(effects)
        for told in (effects.answers, effects.refusals, effects.notes):
            told.clear()
        await asyncio.sleep(SLOW_COMMIT_S)
        await commit(self, effects)

    Engine._commit = wait_for_disk_afterwards  # type: ignore[method-assign]


BUGS = {"no-fence": _no_fence, "answer-before-commit": _answer_before_commit}


def main() -> None:
    """Plants the bug and runs the master as its own module would."""
    bug = sys.argv.pop(1)
    service = sys.argv.pop(1)
    assert service == "pullwork_master", service
    BUGS[bug]()
    typer.run(command)


if __name__ == "__main__":
    main()
