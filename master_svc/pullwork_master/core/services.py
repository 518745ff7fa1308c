"""What is wanted of services: kept, and changed by those who know where it stands.

The core does not know what a service is. It keeps rows, tells them apart by revisions that are
never given out twice, and so lets nobody overwrite what he has not seen.
"""

from __future__ import annotations

from pullwork_master.core.book import Book
from pullwork_master.core.commands import DeleteService, PutService
from pullwork_master.core.model import ServiceRow
from pullwork_master.core.rejections import Reason, Rejection

SERVICES_FULL_RETRY_MS = 1_000
# Of a service that must not exist, and of one that must, wherever it is.
ABSENT = 0
ANY = -1


class Services:
    """Keeps the book's services."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def put(self, command: PutService) -> ServiceRow:
        """Makes or changes a service.

        Errors: SERVICE_EXISTS, SERVICE_NOT_FOUND, REVISION_CONFLICT, TOO_MANY_REQUESTS.
        """
        book, now_ms = self._book, self._book.now.wall_ms
        before = self._expected(command)
        revision = book.next_service_revision
        book.next_service_revision += 1
        row = ServiceRow(
            name=command.name,
            revision=revision,
            version=command.version or revision,
            record=command.record,
            created_ms=now_ms if before is None else before.created_ms,
            updated_ms=now_ms,
        )
        book.services[row.name] = book.effects.writes.services[row.name] = row
        book.effects.writes.service_revision = revision
        what = "service made" if before is None else "service changed"
        book.note(what, service=row.name, revision=revision, version=row.version)
        return row

    def _expected(self, command: PutService) -> ServiceRow | None:
        """Returns the service as it is; None: there is none, as it must be."""
        if command.expect_revision != ABSENT:
            row = self.known(command.name)
            if command.expect_revision not in (ANY, row.revision):
                raise conflict(row, command.expect_revision)
            return row
        self.check_new(command.name)
        return None

    def check_new(self, name: str) -> None:
        """Refuses a service that can't be made. Errors: SERVICE_EXISTS, TOO_MANY_REQUESTS."""
        book = self._book
        if name in book.services:
            raise Rejection(
                Reason.SERVICE_EXISTS,
                f"there is a service called {name!r} already; update or delete it, or choose "
                "another name",
                service=name,
            )
        if len(book.services) >= book.policy.services_max:
            raise Rejection(
                Reason.TOO_MANY_REQUESTS,
                f"the master keeps at most {book.policy.services_max} services, and has as many; "
                "delete one that nobody needs",
                retry_after_ms=SERVICES_FULL_RETRY_MS,
            )

    def delete(self, command: DeleteService) -> ServiceRow:
        """Forgets a service. Errors: SERVICE_NOT_FOUND."""
        book = self._book
        row = self.known(command.name)
        del book.services[row.name]
        book.effects.writes.services[row.name] = None
        book.note("service deleted", service=row.name, revision=row.revision)
        return row

    def known(self, name: str) -> ServiceRow:
        """Returns a service. Errors: SERVICE_NOT_FOUND."""
        row = self._book.services.get(name)
        if row is None:
            raise unknown(name)
        return row


def unknown(name: str) -> Rejection:
    """Makes the refusal of a service that is not there."""
    return Rejection(Reason.SERVICE_NOT_FOUND, f"no service is called {name!r}", service=name)


def conflict(row: ServiceRow, expected: int) -> Rejection:
    """Makes the refusal of a change that was thought of at another revision."""
    return Rejection(
        Reason.REVISION_CONFLICT,
        f"service {row.name!r} is at revision {row.revision}, not at {expected}; look at it again",
        service=row.name,
        revision=str(row.revision),
    )
