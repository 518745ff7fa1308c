"""A data folder: makes it, locks it for one master, and says in plain words what is wrong."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from pullwork_master.storage.base import StorageError, StorageFullError, StorageInUseError

DATABASE = "pullwork.sqlite3"
LOCK = "lock"

# When the file can't grow, SQLite reports these too, beside SQLITE_FULL. A failed sync is not
# among them: what then is on the disk is unknown.
_CANNOT_GROW = frozenset(
    {
        apsw.SQLITE_IOERR_WRITE,
        apsw.SQLITE_IOERR_TRUNCATE,
        apsw.SQLITE_IOERR_SHMOPEN,
        apsw.SQLITE_IOERR_SHMSIZE,
        apsw.SQLITE_IOERR_SHMMAP,
    }
)
_DAMAGED = frozenset({apsw.SQLITE_CORRUPT, apsw.SQLITE_NOTADB})
# Below this a file system counts as full: less than one more piece of the write-ahead log.
_ROOM_BYTES_MIN = 64 * 1024


class Folder:
    """One data folder, locked between `lock` and `unlock`."""

    def __init__(self, path: Path, address: str) -> None:
        self.path = path
        self._address = address
        self._lock: int | None = None

    @property
    def database(self) -> Path:
        """The file that holds everything."""
        return self.path / DATABASE

    def lock(self) -> None:
        """Makes the folder if need be, for its user only, and takes it for this process.

        Errors: StorageInUseError, StorageError.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            raise StorageError(
                f"the data folder {self.path} is a file; name a folder with --data"
            ) from None
        except OSError as error:
            raise self._unusable(error) from None
        try:
            handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 256, 0).decode(errors="replace").strip()
            os.close(handle)
            raise StorageInUseError(
                f"the data folder {self.path} is in use by another master"
                f" ({holder or 'which is just starting'}); stop that one, or give this one"
                " a folder of its own with --data"
            ) from None
        except OSError as error:
            os.close(handle)
            raise self._unusable(error) from None
        self._lock = handle
        self._sign(handle)
        try:
            # SQLite would make it readable by all, and would open what it may only read.
            os.close(os.open(self.database, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise self._unusable(error) from None

    def unlock(self) -> None:
        """Gives the folder back; may be called twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def free_bytes(self) -> int | None:
        """How much room is left for this process; None: unknown."""
        try:
            room = os.statvfs(self.path)
        except OSError:
            return None
        return room.f_bavail * room.f_frsize

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turns what SQLite complains of into a StorageError that names place and remedy."""
        try:
            yield
        except apsw.Error as error:
            raise self._explain(error) from error

    def _sign(self, handle: int) -> None:
        at = f" at {self._address}" if self._address else ""
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"pid {os.getpid()}{at}\n".encode(), 0)
        except OSError:
            # It is only for the message to a second master: a full disk must not stop a start.
            return

    def _unusable(self, error: OSError) -> StorageError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFullError(f"no room is left for {self.path}; free some space there")
        return StorageError(
            f"the data folder {self.path} can't be used: {error.strerror}; let this user"
            f" (uid {os.getuid()}) write there, or name another folder with --data"
        )

    def _explain(self, error: apsw.Error) -> StorageError:
        # Of errors that are the library's own, neither is set.
        code, primary = getattr(error, "extendedresult", 0), getattr(error, "result", 0)
        free = self.free_bytes()
        if primary == apsw.SQLITE_FULL or (
            code in _CANNOT_GROW and free is not None and free < _ROOM_BYTES_MIN
        ):
            return StorageFullError(
                f"no room is left for {self.database}; nothing of the transaction was stored;"
                " free some space there"
            )
        if primary in _DAMAGED:
            return StorageError(
                f"{self.database} is damaged or is no Pullwork store ({error}); restore the folder"
                " from a backup, or name another folder with --data"
            )
        if primary in (apsw.SQLITE_BUSY, apsw.SQLITE_LOCKED):
            return StorageError(
                f"another program holds a lock on {self.database} ({error}); end its transaction"
            )
        return StorageError(f"{self.database} can't be used: {error}; see the system's log")
