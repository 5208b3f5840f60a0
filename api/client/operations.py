"""Methods that both clients have, each made of one description of its operation."""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from api.client.calls import Route
from api.client.transport import AsyncTransport, Page, SyncTransport

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Item = TypeVar("Item")
_Waiting = SyncTransport | AsyncTransport

JSONL = "application/jsonl"
"""The format that holds all of a measurement."""

_OF_PAGES = ("cursor", "limit")
_MEDIA_TYPE = inspect.Parameter(
    "media_type", inspect.Parameter.KEYWORD_ONLY, default=JSONL, annotation=str
)

_HOW_LONG = tuple(
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=float)
    for name, default in (("timeout_s", math.inf), ("poll_s", 1.0))
)


class _Method:
    """A method of both clients.

    Args:
        route: The operation.
        signature: The method's, for readers.
    """

    def __init__(self, route: Route[Any], signature: inspect.Signature) -> None:
        self.route = route
        self.__signature__ = signature
        self.__doc__ = route.described.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name
        self.__qualname__ = f"{owner.__qualname__}.{name}"

    def _bound(self, method: Callable[..., Any]) -> Any:
        method.__name__, method.__qualname__ = self.__name__, self.__qualname__
        method.__doc__ = self.__doc__
        method.__signature__ = self.__signature__  # type: ignore[attr-defined]
        return method


class Operation(_Method, Generic[Parameters, Result_co]):
    """Calls the operation and returns what it answers."""

    def __init__(self, route: Route[Result_co]) -> None:
        super().__init__(route, route.signature)

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncTransport, owner: type) -> Callable[Parameters, Result_co]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type
    ) -> Callable[Parameters, Coroutine[Any, Any, Result_co]]: ...
    def __get__(self, client: _Waiting | None, owner: type) -> Any:
        """The method of a client."""
        if client is None:
            return self
        return self._bound(lambda *given, **named: client._call(self.route.call(*given, **named)))


class Listing(_Method, Generic[Parameters, Item]):
    """Calls a list page after page and yields what is on them."""

    def __init__(self, pages: Operation[Parameters, Any]) -> None:
        route = pages.route
        super().__init__(route, route.signature)
        self.__doc__ = f"Yield what :meth:`{route.described.__name__}` lists, page after page."

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self, client: SyncTransport, owner: type
    ) -> Callable[Parameters, Iterator[Item]]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type
    ) -> Callable[Parameters, AsyncIterator[Item]]: ...
    def __get__(self, client: _Waiting | None, owner: type) -> Any:
        """The method of a client."""
        if client is None:
            return self
        return self._bound(lambda *given, **named: client._items(self.route.call(*given, **named)))


def each(pages: Operation[Parameters, Page[Item]]) -> Listing[Parameters, Item]:
    """A method that yields what is on all pages of an operation."""
    return Listing(pages)


class Download(_Method, Generic[Parameters]):
    """Calls a list for a file with all that is on its pages."""

    def __init__(self, pages: Operation[Parameters, Any]) -> None:
        own = pages.route.signature
        kept = [one for name, one in own.parameters.items() if name not in _OF_PAGES]
        super().__init__(
            pages.route, own.replace(parameters=[*kept, _MEDIA_TYPE], return_annotation=bytes)
        )
        self.__doc__ = f"Get all that :meth:`{pages.route.described.__name__}` lists as a file."

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncTransport, owner: type) -> Callable[..., bytes]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type
    ) -> Callable[..., Coroutine[Any, Any, bytes]]: ...
    def __get__(self, client: _Waiting | None, owner: type) -> Any:
        """The method of a client."""
        if client is None:
            return self

        def download(*given: Any, media_type: str = JSONL, **named: Any) -> Any:
            call = self.route.call(*given, **named)
            query = {name: said for name, said in call.query.items() if name not in _OF_PAGES}
            accept = {**call.headers, "Accept": media_type}
            return client._call(replace(call, query=query, headers=accept, kept=False, file=True))

        return self._bound(download)


class _Uploads(Protocol[Result_co]):
    def __call__(self, content: bytes, *, media_type: str = JSONL, **named: Any) -> Result_co: ...


class Upload(_Method, Generic[Result]):
    """Calls an operation with the content of a file instead of a document."""

    def __init__(self, takes: Operation[Any, Result]) -> None:
        own = takes.route.signature
        content = inspect.Parameter(
            "content", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=bytes
        )
        named = [one for one in own.parameters.values() if one.kind is one.KEYWORD_ONLY]
        super().__init__(takes.route, own.replace(parameters=[content, *named, _MEDIA_TYPE]))
        self.__doc__ = f"Call :meth:`{takes.route.described.__name__}` with a file's content."

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncTransport, owner: type) -> _Uploads[Result]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type
    ) -> _Uploads[Coroutine[Any, Any, Result]]: ...
    def __get__(self, client: _Waiting | None, owner: type) -> Any:
        """The method of a client."""
        if client is None:
            return self

        def upload(content: bytes, *, media_type: str = JSONL, **named: Any) -> Any:
            headers = {"Content-Type": media_type}
            call = self.route.call(None, **named)
            return client._call(replace(call, headers=headers, body=content))

        return self._bound(upload)


class Events(_Method, Generic[Parameters, Item]):
    """Follows the operation's server-sent events until the work is over, across cuts."""

    def __init__(self, route: Route[Item], over: Callable[[Item], bool]) -> None:
        super().__init__(route, route.signature)
        self._over = over

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(
        self, client: SyncTransport, owner: type
    ) -> Callable[Parameters, Iterator[Item]]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type
    ) -> Callable[Parameters, AsyncIterator[Item]]: ...
    def __get__(self, client: _Waiting | None, owner: type) -> Any:
        """The method of a client."""
        if client is None:
            return self
        return self._bound(
            lambda *given, **named: client._events(self.route.call(*given, **named), self._over)
        )


class _Waits(Protocol[Result_co]):
    def __call__(
        self, identifier: str, *, timeout_s: float = math.inf, poll_s: float = 1.0
    ) -> Result_co: ...


class Ending(_Method, Generic[Result]):
    """Calls the operation now and then until it says that the work is over."""

    def __init__(self, shows: Operation[Any, Result], over: Callable[[Result], bool]) -> None:
        route = shows.route
        own = route.signature
        super().__init__(route, own.replace(parameters=[*own.parameters.values(), *_HOW_LONG]))
        self.__doc__ = (
            f"Call :meth:`{route.described.__name__}` every ``poll_s`` seconds until it is over.\n"
            "\n        Raises:\n            TimeoutError: It is not, after ``timeout_s``.\n        "
        )
        self._over = over

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: SyncTransport, owner: type) -> _Waits[Result]: ...
    @overload
    def __get__(
        self, client: AsyncTransport, owner: type
    ) -> _Waits[Coroutine[Any, Any, Result]]: ...
    def __get__(self, client: _Waiting | None, owner: type) -> Any:
        """The method of a client."""
        if client is None:
            return self

        def wait(identifier: str, *, timeout_s: float = math.inf, poll_s: float = 1.0) -> Any:
            return client._until(self.route.call(identifier), self._over, timeout_s, poll_s)

        return self._bound(wait)


def get(
    path: str, *, kept: bool = False
) -> Callable[[Callable[Concatenate[Any, Parameters], Result]], Operation[Parameters, Result]]:
    """An operation that only looks.

    Args:
        path: Template of the path.
        kept: Whether the last answer is kept, to be asked whether it still holds.
    """
    return _operation("GET", path, kept=kept)


def delete(
    path: str,
) -> Callable[[Callable[Concatenate[Any, Parameters], Result]], Operation[Parameters, Result]]:
    """An operation that ends something."""
    return _operation("DELETE", path)


def post(
    path: str,
) -> Callable[[Callable[Concatenate[Any, Parameters], Result]], Operation[Parameters, Result]]:
    """An operation with a body; one that begins work has a parameter for an idempotency key."""
    return _operation("POST", path)


def events(
    path: str, over: Callable[[Any], bool]
) -> Callable[[Callable[Concatenate[Any, Parameters], Result]], Events[Parameters, Result]]:
    """An operation that goes on telling; the return type is that of an event's data.

    Args:
        path: Template of the path.
        over: Whether an event says that the work has ended.
    """
    return lambda described: Events(Route(described, "GET", path), over)


def _operation(
    method: str, path: str, *, kept: bool = False
) -> Callable[[Callable[Concatenate[Any, Parameters], Result]], Operation[Parameters, Result]]:
    return lambda described: Operation(Route(described, method, path, kept))
