"""A method of the client: a route of the server and a generator of steps, for blocking and awaited use alike.

    class Runs(Resource[S]):
        @call("GET", "/api/jobs/{job_id}")
        def get(self, to: Route, /, run_id: str) -> Steps[Run[S]]:
            return to.at(job_id=run_id).ask(Run.read)

`Client().runs.get` is then a function that returns a Run, and `AsyncClient().runs.get` one that returns an
awaitable of it; type checkers see the difference. `@stream` is for what gives item by item: an iterator, or
an asynchronous one. `ROUTES` holds every route that a method declares.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Concatenate, Final, Generic, NoReturn, ParamSpec, Self, cast, overload
from urllib.parse import quote

import httpx
from pydantic import ValidationError
from typing_extensions import TypeVar

from flywheel.client.errors import ServerAway, Unreadable, refusal
from flywheel.client.session import Async, Performs, Sync
from flywheel.client.steps import Body, Every, Read, Send, Steps, answered

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", default=Sync)
_PARAMETER: Final = re.compile(r"\{(\w+)(:path)?\}")
STREAM_SILENCE_S: Final = 60.0
"""Seconds without a byte after which a stream has broken; the server sends a heartbeat every 15."""


class Resource(Generic[S]):
    """One noun of the API. `S` says whether its methods block or are awaited."""

    def __init__(self, session: Performs) -> None:
        self._session = session


@dataclass(frozen=True, slots=True)
class Route:
    """Where a call goes: a method and a path, at one server; the path may have `{parameters}` yet."""

    method: str
    path: str
    url: str
    retries: int

    def at(self, **values: str) -> Route:
        """The route with its parameters filled in."""
        return replace(self, path=filled(self.path, values))

    def ask(
        self,
        read: Callable[[Any], T],
        *,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        body: Body | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
        timeout_s: float | None = None,
        also: tuple[int, ...] = (),
    ) -> Steps[T]:
        """The answer's JSON, as `read` understands it.

        An answer of 400 or more is an answer too where its status is in `also`. Raises ServerAway,
        Unreadable, and a Refused.
        """
        send = Send(
            self.method,
            self.path,
            _given(query),
            json,
            body,
            headers or {},
            timeout_s,
            repeatable=repeatable,
            last_words=also,
        )
        response = yield from self._answer(send)
        try:
            return read(response.json() if response.content else None)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            self._unreadable(f"{where or 'the answer'}: {first['msg']}", error)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            self._unreadable(f"{type(error).__name__}: {str(error)[:200]}", error)

    def text(self) -> Steps[str]:
        """The answer's text. Raises as `ask`."""
        response = yield from self._answer(Send(self.method, self.path))
        return response.text

    def pieces(
        self, *, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Steps[Callable[[], Steps[bytes]]]:
        """Begin a stream; what is returned reads its next bytes, none at the end. Raises as `ask`."""
        send = Send(
            self.method,
            self.path,
            _given(query),
            headers=headers or {},
            timeout_s=STREAM_SILENCE_S,
            stream=True,
        )
        yield from self._answer(send)

        def more() -> Steps[bytes]:
            try:
                piece: bytes = yield Read()
            except httpx.RequestError as error:
                raise ServerAway(
                    self.url, self.method, send.path, f"the stream broke: {_words(error)}"
                ) from error
            return piece

        return more

    def _answer(self, send: Send) -> Steps[httpx.Response]:
        try:
            response = yield from answered(send, self.retries)
        except httpx.RequestError as error:
            raise ServerAway(self.url, send.method, send.path, _words(error)) from error
        if response.is_error and response.status_code not in send.last_words:
            raise refusal(response.request, response)
        return response

    def _unreadable(self, problem: str, error: Exception) -> NoReturn:
        raise Unreadable(self.url, self.method, self.path, problem) from error


def filled(template: str, values: Mapping[str, str]) -> str:
    """The path; a `{name:path}` keeps the slashes of its value, everything else is quoted."""

    def value(match: re.Match[str]) -> str:
        return quote(str(values[match[1]]), safe="/" if match[2] else "")

    return _PARAMETER.sub(value, template)


class _Method(Generic[P, T]):
    """A descriptor: the route, and the function that makes the steps."""

    def __init__(
        self, method: str, path: str, steps: Callable[Concatenate[Any, Route, P], Steps[Any]]
    ) -> None:
        self.method, self.path, self.function = method, path, steps
        functools.update_wrapper(cast("Any", self), steps)

    def steps(self, noun: Resource[Any], *args: P.args, **kwargs: P.kwargs) -> Steps[T]:
        """The steps of the call on `noun`, for a method that is made of others."""
        session = noun._session  # noqa: SLF001 - the two are one thing in two parts
        route = Route(self.method, self.path, session.url, session.retries)
        return self.function(noun, route, *args, **kwargs)

    def _bound(self, noun: Resource[Any], perform: Callable[[Steps[Any]], Any]) -> Any:
        @functools.wraps(self.function)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return perform(self.steps(noun, *args, **kwargs))

        shown = inspect.signature(self.function)
        cast("Any", method).__signature__ = shown.replace(parameters=list(shown.parameters.values())[2:])
        return method


class Call(_Method[P, T]):
    """Returns a T, or an awaitable of one."""

    @overload
    def __get__(self, noun: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, noun: Resource[Sync], owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, noun: Resource[Async], owner: Any) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, noun: Any, owner: Any) -> Any:
        return self if noun is None else self._bound(noun, noun._session.perform)  # noqa: SLF001 - as above


class Stream(_Method[P, T]):
    """Returns an iterator of T, or an asynchronous one."""

    @overload
    def __get__(self, noun: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, noun: Resource[Sync], owner: Any) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, noun: Resource[Async], owner: Any) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, noun: Any, owner: Any) -> Any:
        return self if noun is None else self._bound(noun, noun._session.iterate)  # noqa: SLF001 - as above


ROUTES: Final[set[tuple[str, str]]] = set()
"""Method and path, with parameters as OpenAPI writes them, of everything that a method calls."""


def call(method: str, path: str) -> Callable[[Callable[Concatenate[Any, Route, P], Steps[T]]], Call[P, T]]:
    """Make a method of a function that takes the route and returns steps."""
    _declare(method, path)
    return lambda steps: Call(method, path, steps)


def stream(
    method: str, path: str
) -> Callable[[Callable[Concatenate[Any, Route, P], Steps[Every[T]]]], Stream[P, T]]:
    """The same for a function whose steps give items one by one."""
    _declare(method, path)
    return lambda steps: Stream(method, path, steps)


def _declare(method: str, path: str) -> None:
    ROUTES.add((method, _PARAMETER.sub(r"{\1}", path)))


def _given(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _words(error: httpx.RequestError) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
