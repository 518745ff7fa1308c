"""What a handler is told of its call, where the call came over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import grpc
import grpc.aio

from pullwork.errors import PullworkError
from pullwork.status import from_status
from pullwork_master.gateway.refusals import CallError


class Aborted(grpc.aio.AbortError):
    """Ends a call that its handler, or what stands before it, aborted."""

    def __init__(self, refused: CallError) -> None:
        super().__init__(str(refused))
        self.refused = refused


class HttpContext(grpc.aio.ServicerContext[Any, Any]):
    """A call that came over HTTP: headers are its metadata, and nobody reads its trailers."""

    def __init__(self, metadata: Sequence[tuple[str, str]], peer: str) -> None:
        self._metadata = tuple(metadata)
        self._peer = peer
        self._trailing: Any = ()
        self._code: Any = None
        self._details = ""

    async def abort(
        self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()
    ) -> NoReturn:
        """Ends the call with a status that has no row in the table of errors."""
        raise Aborted(CallError(PullworkError(details), code.name))

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        """Ends the call with a status, which the table of errors made."""
        raise Aborted(CallError(from_status(status), status.code.name))

    async def read(self) -> NoReturn:
        """Refuses: no request is a stream here."""
        raise NotImplementedError

    async def write(self, message: Any) -> NoReturn:
        """Refuses: our streams yield."""
        raise NotImplementedError

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Drops what HTTP has no place for."""

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Keeps what a handler may ask for again."""
        self._trailing = trailing_metadata

    def trailing_metadata(self) -> Any:
        """Returns what was set."""
        return self._trailing

    def invocation_metadata(self) -> Any:
        """Returns the headers of the request."""
        return self._metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        """Keeps a code for whoever asks."""
        self._code = code

    def code(self) -> Any:
        """Returns the code that was set."""
        return self._code

    def set_details(self, details: str) -> None:
        """Keeps a message for whoever asks."""
        self._details = details

    def details(self) -> str:
        """Returns the message that was set."""
        return self._details

    def set_compression(self, compression: grpc.Compression) -> None:
        """Does nothing: answers are plain."""

    def disable_next_message_compression(self) -> None:
        """Does nothing: answers are plain."""

    def peer(self) -> str:
        """Returns where the request came from, as gRPC writes it."""
        return self._peer

    def peer_identities(self) -> None:
        """Returns nothing: nobody is identified by the connection."""
        return

    def peer_identity_key(self) -> None:
        """Returns nothing."""
        return

    def auth_context(self) -> Mapping[str, Any]:
        """Returns nothing."""
        return {}
