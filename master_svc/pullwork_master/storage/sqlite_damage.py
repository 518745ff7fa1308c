"""Finds damage at the start that SQLite itself would pass over, or would meet only later.

Of the database, while it is small, the structure of every page is looked at. The log:
SQLite takes the log up to the first frame whose checksum is wrong for all there is: right
after a torn write, which nobody was told of yet; wrong where a later byte of it flipped, since then
acknowledged commits are dropped without a word. The two are told apart so: a transaction begins
only when the one before is safely on the disk, so behind a torn one there is no other.
The format: https://sqlite.org/walformat.html
"""

from __future__ import annotations

import struct
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from pullwork_master.storage.base import StorageError

_HEADER: Final = struct.Struct(">8I")
_FRAME: Final = struct.Struct(">6I")
# Where the log's shared index says how many frames are sound, in the machine's own order.
_SOUND_FRAMES_AT: Final = 16
# A torn write leaves the commit mark of one transaction at the most behind the damage.
_TORN_COMMITS_MAX: Final = 1
# What is read through in a third of a second; above it a start would get slow.
_LOOKED_THROUGH_BYTES_MAX: Final = 64 * 1024 * 1024


def refuse_damaged_database(connection: apsw.Connection, database: Path) -> None:
    """Raises StorageError if the structure of a small database is not sound.

    Bits that flipped inside of a payload are not structure. Errors: apsw.Error.
    """
    if database.stat().st_size > _LOOKED_THROUGH_BYTES_MAX:
        return
    found = connection.execute("PRAGMA quick_check(1)").get
    if found != "ok":
        what = " ".join(str(found).split())
        raise StorageError(
            f"{database} is damaged ({what}); look at the disk, and restore the folder from a"
            " backup"
        )


def refuse_damaged_log(database: Path) -> None:
    """Raises StorageError if committed transactions stand behind a damaged place of the log.

    To be called before anything writes: the first write goes over what is to be found here.
    Damage to the last two transactions can't be told from a torn write.
    Errors: apsw.Error.
    """
    log = database.with_name(f"{database.name}-wal")
    if not log.exists() or log.stat().st_size <= _HEADER.size or not database.stat().st_size:
        return
    sound = _sound_frames(database)
    commits = _commits_behind(log, sound)
    if commits > _TORN_COMMITS_MAX:
        raise StorageError(
            f"{log} is damaged behind its frame {sound}: at least {commits - 1} acknowledged"
            " transactions stand there and can't be read safely. Nothing was changed; look at the"
            " disk, and restore the folder from a backup"
        )


def _sound_frames(database: Path) -> int:
    """Has SQLite read the log, and returns how much of it SQLite takes; changes nothing."""
    # A connection that may only read leaves the log in place when it closes.
    with closing(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        with database.with_name(f"{database.name}-shm").open("rb") as index:
            index.seek(_SOUND_FRAMES_AT)
            (frames,) = struct.unpack("=I", index.read(4))
    return int(frames)


def _commits_behind(log: Path, sound: int) -> int:
    """Counts the commits of the log's present generation behind its sound frames.

    Frames of an earlier generation, which a checkpoint left behind, have other salts.
    """
    commits = 0
    with log.open("rb") as file:
        header = file.read(_HEADER.size)
        page_bytes, salts = _HEADER.unpack(header)[2], header[16:24]
        if not _header_is_sound(header):
            # Then SQLite takes nothing of it. What generation it was, its first frame says.
            page_bytes, salts = _page_bytes(log), file.read(_FRAME.size)[8:16]
        number = sound
        while True:
            file.seek(_HEADER.size + number * (_FRAME.size + page_bytes))
            head = file.read(_FRAME.size)
            if len(head) < _FRAME.size:
                return commits
            number += 1
            pages_after_commit = _FRAME.unpack(head)[1]
            commits += pages_after_commit > 0 and head[8:16] == salts


def _header_is_sound(header: bytes) -> bool:
    """Says whether the log's own header has the checksum that it says."""
    words = struct.unpack(">6I" if header[3] & 1 else "<6I", header[:24])
    first = second = 0
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return (first, second) == _HEADER.unpack(header)[6:8]


def _page_bytes(log: Path) -> int:
    """Reads the size of a page from the database, where the log's header can't be trusted."""
    database = log.with_name(log.name.removesuffix("-wal"))
    with database.open("rb") as file:
        file.seek(16)
        size = int.from_bytes(file.read(2), "big")
    return 65536 if size == 1 else size
