"""Functions that workers can run: `@task`, and a call of one that can be submitted.

A task knows its function, the type by which workers announce it, and how it is to be
run; it knows nothing of masters. Worker processes load this, so it stays free of gRPC.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from pullwork.errors import TaskDefinitionError
from pullwork.payload import Codec, Encoded

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Executor = Literal["process", "thread", "coroutine"]

_NAME: Final = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_PRIORITY_MAX: Final = 100
_MAIN_MODULES: Final = frozenset({"__main__", "__mp_main__"})


@dataclasses.dataclass(frozen=True, slots=True)
class Retry:
    """What happens after a failed attempt; times in seconds.

    The wait before retry n is `initial_backoff` times `multiplier` to the power n-1, at most
    `max_backoff`, less a random share of up to a tenth. Deaths of workers don't count as attempts.
    """

    max_attempts: int = 3
    initial_backoff: float = 1.0
    max_backoff: float = 300.0
    multiplier: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 1000:
            raise TaskDefinitionError("Retry: max_attempts must be from 1 to 1000")
        if not 1 <= self.multiplier <= 100:
            raise TaskDefinitionError("Retry: multiplier must be from 1 to 100")
        for name in ("initial_backoff", "max_backoff"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise TaskDefinitionError(f"Retry: {name} must be 0 or more seconds")
        if self.max_backoff < self.initial_backoff:
            raise TaskDefinitionError(
                f"Retry: max_backoff, {self.max_backoff:g} s, is shorter than initial_backoff"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """How tasks of a function are kept and run, where a submission does not say otherwise.

    Times are in seconds; None leaves it to the master (no bound for the timeouts).
    """

    queue: str = "default"
    priority: int = 0
    retry: Retry | None = None
    timeout: float | None = None
    progress_timeout: float | None = None
    max_worker_deaths: int | None = None
    retention: float | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.queue):
            raise TaskDefinitionError(f"queue {self.queue!r}: use 1 to 128 of [A-Za-z0-9._:/-]")
        if not -_PRIORITY_MAX <= self.priority <= _PRIORITY_MAX:
            raise TaskDefinitionError("priority must be from -100 to 100")
        if self.max_worker_deaths is not None and not 1 <= self.max_worker_deaths <= 100:
            raise TaskDefinitionError("max_worker_deaths must be from 1 to 100")
        for name in ("timeout", "progress_timeout"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise TaskDefinitionError(f"{name} must be more than 0 seconds, or None")
        if self.retention is not None and not (
            math.isfinite(self.retention) and self.retention >= 0
        ):
            raise TaskDefinitionError("retention must be 0 or more seconds, or None")


class Task(Generic[P, R]):
    """A function that workers can run, and how; made by `@task`.

    Calling it calls the function here and now; `with_args` makes a call to submit.
    """

    __name__: str
    __qualname__: str

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        type: str,
        executor: Executor,
        options: Options,
        content_type: str | None = None,
    ) -> None:
        functools.update_wrapper(cast(Callable[..., Any], self), fn)
        self.fn: Final = fn
        self.type: Final = type
        self.executor: Final[Executor] = executor
        self.options: Final = options
        self.codec: Final = Codec(type, fn, content_type)

    def with_args(self, *args: P.args, **kwargs: P.kwargs) -> Call[R]:
        """Checks arguments against the signature at once and returns a call to submit.

        The arguments are packed now; what is changed in them later does not travel.
        """
        return Call(self, self.codec.encode_args(args, kwargs))

    def __repr__(self) -> str:
        return f"<task {self.type} of {self.__module__}.{self.__qualname__}>"

    def __reduce__(self) -> str:
        # By name, as functions are pickled: the function itself is hidden behind this object.
        return self.__qualname__


class FunctionTask(Task[P, R]):
    """A task made from a plain function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        result: R = self.fn(*args, **kwargs)
        return result


class CoroutineTask(Task[P, R]):
    """A task made from an `async def`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        coroutine: Coroutine[Any, Any, R] = self.fn(*args, **kwargs)
        return coroutine


@dataclasses.dataclass(frozen=True, slots=True)
class Call(Generic[R_co]):
    """A task together with its packed arguments."""

    task: Task[..., R_co]
    payload: Encoded


class TaskMaker(Protocol):
    """What `@task(...)` with options returns: it takes the function."""

    @overload  # the first that fits is meant, so that the two overlap is no harm
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> CoroutineTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> FunctionTask[P, R]: ...


@overload  # as in TaskMaker
def task(  # type: ignore[overload-overlap]
    fn: Callable[P, Coroutine[Any, Any, R]], /
) -> CoroutineTask[P, R]: ...
@overload
def task(fn: Callable[P, R], /) -> FunctionTask[P, R]: ...
@overload
def task(
    *,
    type: str | None = None,
    queue: str = "default",
    priority: int = 0,
    retry: Retry | None = None,
    timeout: float | None = None,
    progress_timeout: float | None = None,
    max_worker_deaths: int | None = None,
    retention: float | None = None,
    executor: Executor | None = None,
    content_type: str | None = None,
) -> TaskMaker: ...
def task(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    type: str | None = None,
    executor: Executor | None = None,
    content_type: str | None = None,
    **options: Any,
) -> Any:
    """Makes a function a task that workers can run.

    `type` is the name by which workers announce it (default: `module.function`); `timeout`
    bounds one attempt and `progress_timeout` the time between two signs of progress, in
    seconds; `retention` is how long the ended task is kept. `executor` says where it runs:
    `coroutine` (the default for `async def`), `process` (the default for `def`) or `thread`.
    `content_type` names the bytes of a function whose one parameter is `bytes`.
    Raises TaskDefinitionError.
    """

    def make(function: Callable[..., Any]) -> Task[..., Any]:
        _check_function(function)
        is_coroutine = inspect.iscoroutinefunction(function)
        where = executor or ("coroutine" if is_coroutine else "process")
        _check_executor(function, where, is_coroutine=is_coroutine)
        _check_parameters(function)
        name = type or _default_type(function)
        if not _NAME.fullmatch(name):
            raise TaskDefinitionError(
                f"{_named(function)}: {name!r} is no usable type; pass type= with 1 to 128 "
                "of [A-Za-z0-9._:/-]"
            )
        kind: Callable[..., Task[..., Any]] = CoroutineTask if is_coroutine else FunctionTask
        return kind(
            function,
            type=name,
            executor=where,
            options=Options(**options),
            content_type=content_type,
        )

    return make if fn is None else make(fn)


def _named(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _check_function(function: object) -> None:
    if isinstance(function, Task):
        raise TaskDefinitionError(f"{function!r} is a task already")
    if not inspect.isfunction(function):
        raise TaskDefinitionError(
            f"@task takes a function written with def or async def, got {function!r}; "
            "write a function that calls it"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TaskDefinitionError(
            f"{_named(function)} yields, but a task gives one result; return a list, "
            "or report progress with pullwork.context.current().progress()"
        )


def _check_executor(function: Callable[..., Any], executor: str, *, is_coroutine: bool) -> None:
    name = _named(function)
    if executor not in {"process", "thread", "coroutine"}:
        raise TaskDefinitionError(
            f"{name}: no executor {executor!r}; use 'process', 'thread' or 'coroutine'"
        )
    if is_coroutine != (executor == "coroutine"):
        wrong = "an async def; leave executor out" if is_coroutine else "a def; write async def"
        raise TaskDefinitionError(f"{name}: the executor {executor!r} can't run {wrong}")
    if executor == "process" and function.__qualname__ != function.__name__:
        raise TaskDefinitionError(
            f"{name} can't run in a process of its own: it is not at the top of its module, so "
            "another process can't import it; move it there, or choose executor='thread'"
        )
    if executor == "process" and function.__name__ == "<lambda>":
        raise TaskDefinitionError(
            f"{name} can't run in a process of its own: a lambda has no name to import it by; "
            "write it with def at the top of its module, or choose executor='thread'"
        )


def _check_parameters(function: Callable[..., Any]) -> None:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars, instead = (
                ("*", "a list") if parameter.kind is parameter.VAR_POSITIONAL else ("**", "a dict")
            )
            raise TaskDefinitionError(
                f"{_named(function)} takes {stars}{parameter.name}, but arguments travel by the "
                f"names of parameters; take {instead} instead"
            )


def _default_type(function: Callable[..., Any]) -> str:
    """Returns `module.function`; for a script the name that others import it by."""
    module = function.__module__
    if module in _MAIN_MODULES:
        main = sys.modules.get(module)
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file else module
    return f"{module}.{function.__name__}"


def collect(module: ModuleType) -> dict[str, Task[..., Any]]:
    """Finds the tasks of a module by type, those that it imported too.

    Raises TaskDefinitionError for two functions of one type, or annotations that can't travel.
    """
    found: dict[str, Task[..., Any]] = {}
    for value in vars(module).values():
        if not isinstance(value, Task):
            continue
        other = found.setdefault(value.type, value)
        if other is not value:
            raise TaskDefinitionError(
                f"{_named(other.fn)} and {_named(value.fn)} both have the type {value.type!r}; "
                "give one of them another type="
            )
        value.codec.prepare()
    return found
