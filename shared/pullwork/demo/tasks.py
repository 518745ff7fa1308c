"""The demo's task module: `pullwork worker --tasks pullwork.demo.tasks` can do these."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pullwork.demo.words import count_file
from pullwork.tasks import Retry, task

TYPE: Final = "demo.count_words"
# The setting by which the demo names its workers; a task reads it to say where it ran.
NAME_VARIABLE: Final = "PULLWORK_WORKER_NAME"


@dataclass(frozen=True)
class Counted:
    """The words of one file, and the name of the worker that counted them."""

    worker: str
    words: dict[str, int]


@task(type=TYPE, queue="demo", retry=Retry(max_attempts=3), retention=3600)
def count_words(path: str) -> Counted:
    """Counts the words of one Python file."""
    return Counted(worker=os.environ.get(NAME_VARIABLE, ""), words=dict(count_file(Path(path))))
