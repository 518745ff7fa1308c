"""How a command ends: the exit codes, and which error leads to which."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExitCode(enum.IntEnum):
    """What the shell is told; the meanings stand in `--help` and docs/cli.md."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    REFUSED = 5
    BUG = 6
    TIMED_OUT = 7
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What happened, in a few words."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "a task failed or was cancelled; a change of a service failed, or "
    "`apply --dry-run` found differences; the demo went wrong; a master or worker could not go "
    "on, or is not well",
    ExitCode.BAD_INPUT: "wrong usage, bad input or bad settings",
    ExitCode.NOT_FOUND: "no such task, worker, queue, service or instance",
    ExitCode.UNREACHABLE: "the master could not be reached, or gave no answer in time",
    ExitCode.REFUSED: "the master refused: a conflict, a taken name, an ended task, a full queue "
    "or disk",
    ExitCode.BUG: "an unexpected error: a bug, or a broken installation",
    ExitCode.TIMED_OUT: "the time of --timeout is over; the tasks and services go on",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}


def exit_code_of(error: BaseException) -> ExitCode:
    """Returns how a command ends that was stopped by an error."""
    from pullwork import errors as e

    table: Sequence[tuple[type[BaseException] | tuple[type[BaseException], ...], ExitCode]] = (
        ((e.TaskError, e.RolloutFailedError), ExitCode.FAILED),
        (
            (e.InvalidFieldError, e.PayloadError, e.SettingsError, e.TaskDefinitionError),
            ExitCode.BAD_INPUT,
        ),
        (e.NotFoundError, ExitCode.NOT_FOUND),
        ((e.UnavailableError, e.DeadlineError), ExitCode.UNREACHABLE),
        (e.InternalError, ExitCode.BUG),
        (e.PullworkError, ExitCode.REFUSED),
        (UnicodeEncodeError, ExitCode.BAD_INPUT),
        (KeyboardInterrupt, ExitCode.INTERRUPTED),
    )
    return next((code for kind, code in table if isinstance(error, kind)), ExitCode.BUG)
