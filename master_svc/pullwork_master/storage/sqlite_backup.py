"""Copies a store while its master works, and makes a data folder of such a copy again."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import uuid4

import apsw

from pullwork_master.storage import sqlite_queries as sql
from pullwork_master.storage.base import StorageError
from pullwork_master.storage.sqlite_folder import DATABASE, Folder
from pullwork_master.storage.sqlite_fsck import open_snapshot
from pullwork_master.storage.sqlite_migrations import version_of

# Pages of 4 KiB copied between two reports of progress.
STEP_PAGES: Final = 4_096
# The schema from which on a store has services.
SERVICES_SINCE: Final = 3

Progress = Callable[[int, int], None]


def backup(folder: Path, target: Path, progress: Progress | None = None) -> int:
    """Copies a folder's store, as it was at one moment, into a new folder; returns its bytes.

    `progress` hears how many pages are copied, and of how many. A copy that fails leaves nothing.
    Errors: StorageError.
    """
    source = open_snapshot(folder)
    draft = _draft(target)
    try:
        copy = apsw.Connection(str(draft / DATABASE))
        try:
            # The snapshot is held open, so the master's commits do not start the copy over.
            with copy.backup("main", source, "main") as copying:
                while not copying.done:
                    copying.step(STEP_PAGES)
                    if progress is not None:
                        progress(copying.page_count - copying.remaining, copying.page_count)
            # One file, without a log beside it, is what people copy.
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
        _sync(draft / DATABASE)
        draft.rename(target)
        _sync(target.parent)
    except (OSError, apsw.Error) as error:
        raise StorageError(f"the backup to {target} failed: {error}") from error
    finally:
        source.close()
        shutil.rmtree(draft, ignore_errors=True)
    return (target / DATABASE).stat().st_size


def restore(backup_folder: Path, folder: Path) -> None:
    """Makes a new data folder of a backup.

    It gets another store id, so that cursors of the lost store are refused instead of
    misunderstood, and a term that no count of starts reaches, so that no lease of the lost
    store stands in it; likewise no revision of a service. The cluster is the same, so that nodes
    keep what they run for it. Errors: StorageError; a folder that exists is not touched.
    """
    open_snapshot(backup_folder).close()
    draft = _draft(folder)
    try:
        shutil.copyfile(backup_folder / DATABASE, draft / DATABASE)
        copy = apsw.Connection(str(draft / DATABASE))
        try:
            far = int(time.time())
            copy.execute("UPDATE meta SET store_id = ?, term = max(term, ?)", (str(uuid4()), far))
            if version_of(copy) >= SERVICES_SINCE:
                copy.execute(sql.RAISE_SERVICE_REVISION, (far,))
        finally:
            copy.close()
        _sync(draft / DATABASE)
        draft.rename(folder)
        _sync(folder.parent)
    except (OSError, apsw.Error) as error:
        raise StorageError(f"the backup can't be restored to {folder}: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    # What a master would complain of is better said now.
    made = Folder(folder, "")
    made.lock()
    made.unlock()


def _draft(target: Path) -> Path:
    """Makes an empty folder beside the target, to be renamed when it is whole."""
    if target.exists():
        raise StorageError(f"{target} exists already; name a folder that does not")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StorageError(f"{target} can't be made: {error.strerror}") from error
    return draft


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
