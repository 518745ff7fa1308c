"""A client's line to its master: unary calls that are repeated, streams that are resumed.

It knows how calls fail, not what they are about. Waits between tries are jittered, so that
the clients of a master that comes back do not all call at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar, cast

import grpc
import grpc.aio

from pullwork.channel import open_channel
from pullwork.errors import (
    DeadlineError,
    NodeUnreachableError,
    PullworkError,
    UnavailableError,
)
from pullwork.status import from_rpc_error
from pullwork.v1 import (
    orchestrator_service_pb2_grpc,
    queue_service_pb2_grpc,
    registry_service_pb2_grpc,
    task_service_pb2_grpc,
)

Request_contra = TypeVar("Request_contra", contravariant=True)
Answer = TypeVar("Answer")

FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 2.0


class UnaryCall(Protocol[Request_contra, Answer]):
    """A unary method of a stub."""

    def __call__(
        self, request: Request_contra, *, timeout: float | None = None
    ) -> grpc.aio.UnaryUnaryCall[Any, Answer]: ...


class PagedRequest(Protocol):
    """A request for one page of a list."""

    page_token: str


class Page(Protocol):
    """One page of a list; the next one's token is empty if it is the last."""

    @property
    def next_page_token(self) -> str:
        """Where the list goes on."""
        ...


PagedRequestT = TypeVar("PagedRequestT", bound=PagedRequest)
PageT = TypeVar("PageT", bound=Page)


class Backoff:
    """The waits between tries: growing, each a random share of its bound."""

    def __init__(self) -> None:
        self._bound_s = FIRST_WAIT_S

    def next_s(self) -> float:
        """Returns how long to wait before the next try."""
        bound_s, self._bound_s = self._bound_s, min(self._bound_s * 2, LONGEST_WAIT_S)
        return bound_s * random.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Starts over, after something succeeded."""
        self._bound_s = FIRST_WAIT_S


class Connection:
    """One channel to a master and its stubs, from `open` to `close`."""

    def __init__(self, address: str, deadline_s: float) -> None:
        self.address = address
        self.deadline_s = deadline_s
        self._channel: grpc.aio.Channel | None = None
        self._closed = False

    def open(self) -> None:
        """Makes the channel, which belongs to the event loop that runs now."""
        if self._channel is not None:
            raise PullworkError("a client is used once; make another one")
        self._channel = open_channel(self.address)

    async def close(self) -> None:
        """Ends what is under way and frees the channel."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close(grace=None)

    @property
    def channel(self) -> grpc.aio.Channel:
        """The open channel; raises PullworkError before `open` and UnavailableError afterwards."""
        if self._closed:
            raise UnavailableError("this client is closed")
        if self._channel is None:
            raise PullworkError("this client is not open: use it as `async with Client(...)`")
        return self._channel

    @cached_property
    def tasks(self) -> task_service_pb2_grpc.TaskServiceAsyncStub:
        """What is asked about tasks."""
        return task_service_pb2_grpc.TaskServiceStub(self.channel)

    @cached_property
    def queues(self) -> queue_service_pb2_grpc.QueueServiceAsyncStub:
        """What is asked about queues."""
        return queue_service_pb2_grpc.QueueServiceStub(self.channel)

    @cached_property
    def services(self) -> orchestrator_service_pb2_grpc.OrchestratorServiceAsyncStub:
        """What is asked about services and their instances."""
        return orchestrator_service_pb2_grpc.OrchestratorServiceStub(self.channel)

    @cached_property
    def registry(self) -> registry_service_pb2_grpc.RegistryServiceAsyncStub:
        """What is asked about nodes."""
        return registry_service_pb2_grpc.RegistryServiceStub(self.channel)

    async def call(
        self,
        method: UnaryCall[Request_contra, Answer],
        request: Request_contra,
        *,
        deadline_s: float | None = None,
    ) -> Answer:
        """Calls a method that is safe to repeat, again while the master can't be reached.

        Raises UnavailableError once that lasted for the deadline.
        """
        _ = self.channel  # a stub does not know that its channel was closed
        backoff = Backoff()
        ends = time.monotonic() + (self.deadline_s if deadline_s is None else deadline_s)
        unavailable: PullworkError | None = None
        while True:
            try:
                with self._closing_told():
                    return await method(request, timeout=max(ends - time.monotonic(), 0.001))
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
            if isinstance(failure, DeadlineError) and unavailable is not None:
                failure = unavailable
            elif isinstance(failure, UnavailableError):
                unavailable = failure
                wait_s = backoff.next_s()
                if time.monotonic() + wait_s < ends:
                    await asyncio.sleep(wait_s)
                    continue
            raise self._explained(failure)

    async def pages(
        self, method: UnaryCall[PagedRequestT, PageT], request: PagedRequestT
    ) -> AsyncGenerator[PageT]:
        """Yields the pages of a list to its end; turns the pages of `request` itself."""
        while True:
            page = await self.call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def call_once(
        self, method: UnaryCall[Request_contra, Answer], request: Request_contra
    ) -> Answer:
        """Calls a method that is not safe to repeat: waits for the master, but sends only once."""
        ends = time.monotonic() + self.deadline_s
        try:
            with self._closing_told():
                async with asyncio.timeout(self.deadline_s):
                    await self.channel.channel_ready()
                return await method(request, timeout=max(ends - time.monotonic(), 0.001))
        except TimeoutError:
            raise self._explained(UnavailableError("no connection")) from None
        except grpc.aio.AioRpcError as error:
            failure = from_rpc_error(error)
        if type(failure) is UnavailableError:
            raise UnavailableError(
                f"the connection to the master at {self.address} broke before it answered "
                f"({failure}); what was asked for may have been done"
            )
        raise self._explained(failure)

    def _explained(self, failure: PullworkError) -> PullworkError:
        """Adds to a failure to reach the master which one it is, and what to do."""
        if type(failure) is UnavailableError:
            return UnavailableError(
                f"no master answered at {self.address} for {self.deadline_s:g} s ({failure}); "
                "is it running there? `pullwork master` starts one"
            )
        if isinstance(failure, DeadlineError):
            return DeadlineError(
                f"the master at {self.address} gave no answer within {self.deadline_s:g} s; "
                "what was asked for may have been done"
            )
        return failure

    async def resumed(
        self,
        open_stream: Callable[[], grpc.aio.UnaryStreamCall[Any, Answer]],
        *,
        patient: bool = False,
        endless: bool = False,
    ) -> AsyncGenerator[Answer]:
        """Reads a stream and opens it again whenever it breaks, until it ends by itself.

        One that is `endless` has no end of its own: whoever ended it, it is opened again.

        `open_stream` is called for each try and makes the request of that moment. Raises what
        the master refuses the stream with, and UnavailableError if it could not be opened the
        first time within the deadline, unless the reader is `patient`.
        """
        _ = self.channel
        backoff = Backoff()
        ends = None if patient else time.monotonic() + self.deadline_s
        while True:
            stream = open_stream()
            try:
                while (message := await self._read(stream)) is not None:
                    ends = None
                    backoff.reset()
                    yield message
                if not endless:
                    return
                failure: PullworkError = UnavailableError("the master ended the stream")
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
            finally:
                stream.cancel()
            wait_s = backoff.next_s()
            too_late = ends is not None and time.monotonic() + wait_s > ends
            if too_late or not isinstance(failure, UnavailableError) or _is_told(failure, ends):
                raise self._explained(failure)
            await asyncio.sleep(wait_s)

    async def _read(self, stream: grpc.aio.UnaryStreamCall[Any, Answer]) -> Answer | None:
        """Returns the next message of a stream, or None at its end."""
        with self._closing_told():
            message = await stream.read()
        return None if message is grpc.aio.EOF else cast(Answer, message)

    @contextmanager
    def _closing_told(self) -> Iterator[None]:
        """Says that the client was closed; gRPC would let its callers believe that they were
        cancelled, or tell them how it is to be used."""
        try:
            yield
        except (asyncio.CancelledError, grpc.aio.UsageError):
            caller = asyncio.current_task()
            if self._closed and not (caller is not None and caller.cancelling()):
                raise UnavailableError("this client is closed") from None
            raise


def _is_told(failure: PullworkError, ends: float | None) -> bool:
    """Tells whether a stream that never stood was refused for a node's sake, not the master's."""
    return ends is not None and isinstance(failure, NodeUnreachableError)
