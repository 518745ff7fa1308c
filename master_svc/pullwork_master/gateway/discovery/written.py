"""Documents as JSON, written once for all who ask for the same, and sent in slices.

A change wakes hundreds who wait for the same document, which may have thousands of instances. It is
written once, and all are sent the same bytes; a slow reader holds no copy but one slice.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from typing import Any, Final, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pullwork_master.gateway.discovery.catalogue import Endpoint

# What is kept for the next who asks.
KEPT_BYTES_MAX: Final = 32 * 1024 * 1024
KEPT_MAX: Final = 256
SLICE_BYTES: Final = 64 * 1024
# More endpoints than this are written in a thread; one takes some 20 µs.
INLINE_MAX: Final = 100


class _Kept(NamedTuple):
    generation: int
    document: bytes


class Written:
    """Documents by what was asked."""

    def __init__(self, thread: Executor) -> None:
        self._thread = thread
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._bytes = 0
        # Those that are being written now.
        self._writing: dict[tuple[Hashable, int], asyncio.Future[bytes]] = {}

    async def get(
        self,
        key: Hashable,
        generation: int,
        endpoints: Callable[[], Sequence[Endpoint]],
        make: Callable[[Sequence[Endpoint]], Any],
    ) -> bytes:
        """Returns the document of a key and a generation, which `make` makes of `endpoints`.

        To be called without a pause since the generation was read.
        """
        kept = self._kept.get(key)
        if kept is not None and kept.generation == generation:
            self._kept.move_to_end(key)
            return kept.document
        writing = self._writing.get((key, generation))
        if writing is None:
            found = endpoints()
            if len(found) <= INLINE_MAX:
                document = as_json(make(found))
                self._keep(key, _Kept(generation, document))
                return document
            writing = self._in_thread((key, generation), lambda: as_json(make(found)))
        # Others wait for the same: whoever leaves must not end it for them.
        document = await asyncio.shield(writing)
        self._keep(key, _Kept(generation, document))
        return document

    def _in_thread(
        self, key: tuple[Hashable, int], write: Callable[[], bytes]
    ) -> asyncio.Future[bytes]:
        writing = asyncio.get_running_loop().run_in_executor(self._thread, write)
        self._writing[key] = writing
        writing.add_done_callback(lambda _: self._writing.pop(key, None))
        return writing

    def _keep(self, key: Hashable, kept: _Kept) -> None:
        old = self._kept.pop(key, None)
        if old is not None and old.generation > kept.generation:
            kept = old
        self._bytes += len(kept.document) - (len(old.document) if old is not None else 0)
        self._kept[key] = kept
        while self._bytes > KEPT_BYTES_MAX or len(self._kept) > KEPT_MAX:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped.document)


class JsonResponse(Response):
    """Answers with a document that others are sent too."""

    media_type = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it slice by slice, each when there is room for it."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        body = memoryview(self.body)
        for at in range(0, len(body), SLICE_BYTES):
            part = bytes(body[at : at + SLICE_BYTES])
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def as_json(document: Any) -> bytes:
    """Writes a document."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
        errors="backslashreplace"
    )
