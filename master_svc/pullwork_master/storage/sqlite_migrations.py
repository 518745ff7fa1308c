"""Brings a SQLite file to the schema of this version: numbered files, forward only.

Each file of `migrations` runs in one transaction together with its number in
`PRAGMA user_version`, so that a crash leaves a file of one version, never between two.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Final, NamedTuple

import apsw

from pullwork_master.core.flows import flow_of
from pullwork_master.storage.base import StorageError

# "PWRK": tells our files from other programs' SQLite files, also for file(1).
APPLICATION_ID: Final = 0x5057524B


class Migration(NamedTuple):
    """One numbered file."""

    number: int
    name: str
    text: str


def shipped() -> list[Migration]:
    """Returns the migrations of this version, in order; their numbers have no gap."""
    folder = files("pullwork_master.storage") / "migrations"
    found = [
        Migration(int(file.name[:4]), file.name, file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".sql")
    ]
    found.sort()
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    return found


def refuse_foreign(connection: apsw.Connection, place: str, migrations: list[Migration]) -> None:
    """Raises StorageError for a file of another program or of a newer Pullwork, untouched."""
    version = version_of(connection)
    application: int = connection.execute("PRAGMA application_id").get
    tables: int = connection.execute("SELECT count(*) FROM sqlite_master").get
    if application != APPLICATION_ID and (application or version or tables):
        raise StorageError(f"{place} belongs to another program; name another folder with --data")
    newest = len(migrations)
    if version > newest:
        raise StorageError(
            f"{place} was written by a newer Pullwork (schema {version}; this one knows up to"
            f" {newest}); start that version, or restore the backup made before the upgrade"
        )


def know_flows(connection: apsw.Connection) -> None:
    """Lets statements call `flow_of(owner, limit_key)`."""
    connection.create_scalar_function("flow_of", _flow_of, 2, deterministic=True)


def _flow_of(*owner_and_key: apsw.SQLiteValue) -> int:
    return flow_of(*map(str, owner_and_key))


def migrate(connection: apsw.Connection, migrations: list[Migration]) -> None:
    """Applies what is missing."""
    know_flows(connection)
    for migration in migrations[version_of(connection) :]:
        _apply(connection, migration)


def version_of(connection: apsw.Connection) -> int:
    """Returns the number of the last migration that a file went through."""
    return int(connection.execute("PRAGMA user_version").get)


def _apply(connection: apsw.Connection, migration: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        for statement in statements(migration.text):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {migration.number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def statements(text: str) -> Iterator[str]:
    """Splits a script: `executescript` would commit before it begins."""
    gathered = ""
    for line in text.splitlines(keepends=True):
        gathered += line
        if apsw.complete(gathered):
            yield gathered
            gathered = ""
    assert all(not line or line.startswith("--") for line in gathered.splitlines()), gathered
