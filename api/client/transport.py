"""How calls get to the service and back, waiting or not."""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, Protocol, Self, TypeVar

import anyio
import httpx
import tenacity
from httpx_sse import EventSource

from api.client.calls import Call, may_pass, problem_of
from api.client.errors import ProblemError, UnreachableError

Result = TypeVar("Result")
Item_co = TypeVar("Item_co", covariant=True)

DEFAULT_URL = "http://127.0.0.1:8000"

_KEPT = 64
"""Answers that are kept to be asked whether they still hold."""


class Page(Protocol[Item_co]):
    """A page of a list."""

    @property
    def items(self) -> Sequence[Item_co]:
        """What is on it."""
        ...

    @property
    def next_cursor(self) -> str | None:
        """Where the next page begins; none on the last."""
        ...


class Transport:
    """A connection to a service.

    Args:
        base_url: Where the service is; ``SPEECHPLAN_URL``, or this machine, when left out.
        api_key: The key; ``SPEECHPLAN_API_KEY`` when left out, none where that is not set.
        timeout_s: Longest silence of the service, beside what it was asked to wait.
        attempts: How often a request is sent at most; what begins work carries a key that makes
            one of many.
        retry_timeout_s: Time behind which it is not sent again.

    Attributes:
        base_url: Where the service is.
        revision: Of what was known, by the last answer that said so; to be asked for with
            ``revision=``.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        timeout_s: float = 60.0,
        attempts: int = 5,
        retry_timeout_s: float = 60.0,
    ) -> None:
        key = api_key or os.environ.get("SPEECHPLAN_API_KEY")
        self.base_url = base_url or os.environ.get("SPEECHPLAN_URL") or DEFAULT_URL
        self.revision: str | None = None
        self._kept: OrderedDict[str, httpx.Response] = OrderedDict()
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._retry_timeout_s = retry_timeout_s
        self._http_options: dict[str, Any] = {
            "base_url": self.base_url,
            "headers": {
                "User-Agent": f"speechplan-client/{version('speechplan')}",
                "Accept": "application/json",
                **({"Authorization": f"Bearer {key}"} if key else {}),
            },
        }

    def _retries(self) -> dict[str, Any]:
        """How a call is repeated: at growing intervals, or when the service says."""
        growing = tenacity.wait_exponential_jitter(multiplier=0.1, max=5.0, jitter=0.5)

        def pause(state: tenacity.RetryCallState) -> float:
            error = state.outcome and state.outcome.exception()
            said = error.retry_after_s if isinstance(error, ProblemError) else None
            return growing(state) if said is None else said

        return {
            "retry": tenacity.retry_if_exception(may_pass),
            "wait": pause,
            "stop": tenacity.stop_after_attempt(self._attempts)
            | tenacity.stop_before_delay(self._retry_timeout_s),
            "reraise": True,
        }

    def _request(self, call: Call[Any], http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """A call as it is sent: with the tag of the answer that is kept, where there is one."""
        request = call.request(http, self._timeout_s)
        known = self._kept.get(str(request.url)) if call.kept else None
        if known is not None:
            request.headers["If-None-Match"] = known.headers["etag"]
        return request

    def _answered(self, call: Call[Any], response: httpx.Response) -> httpx.Response:
        """A response, or the one that is kept where that still holds.

        Raises:
            ClientError: It is no success.
        """
        self.revision = response.headers.get("etag", self.revision)
        url = str(response.request.url)
        known = self._kept.get(url)
        if response.status_code == 304 and known is not None:
            return known
        if not response.is_success:
            raise problem_of(response)
        if call.kept and "etag" in response.headers:
            self._kept[url] = response
            self._kept.move_to_end(url)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return response

    def _unreachable(self, error: httpx.TransportError) -> UnreachableError:
        return UnreachableError(f"{self.base_url}: {error or type(error).__name__}")


_ENDED = httpx.RemoteProtocolError("the stream ended before the work did")
"""A service that is being stopped ends its streams."""


class _Cuts:
    """Counts how often a stream was cut with nothing new in between."""

    def __init__(self, most: int) -> None:
        self._left = self._most = most

    def new(self) -> None:
        """Something new came."""
        self._left = self._most

    def too_many(self, error: httpx.TransportError) -> bool:
        """Whether this cut was one too many; silence is no cut."""
        self._left -= not isinstance(error, httpx.ReadTimeout)
        return self._left <= 0


class SyncTransport(Transport):
    """Sends calls and waits."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http = httpx.Client(**self._http_options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _send(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        def once() -> httpx.Response:
            response = self._http.send(self._request(call, self._http), stream=stream)
            if not response.is_success:
                response.read()
            return self._answered(call, response)

        try:
            return tenacity.Retrying(**self._retries())(once)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _call(self, call: Call[Result]) -> Result:
        found: Result = call.read(self._send(call, stream=False))
        return found

    def _items(self, call: Call[Page[Result]]) -> Iterator[Result]:
        while True:
            page = self._call(call)
            yield from page.items
            if page.next_cursor is None:
                return
            call = call.at(page.next_cursor)

    def _events(self, call: Call[Result], over: Callable[[Result], bool]) -> Iterator[Result]:
        last, cuts = None, _Cuts(self._attempts)
        while True:
            response = self._send(call, stream=True)
            try:
                for event in EventSource(response).iter_sse():
                    # The line is kept alive by comments, which this parser takes for events.
                    if event.data and event.data != last:
                        last = event.data
                        cuts.new()
                        found = call.parsed(event.data)
                        yield found
                        if over(found):
                            return
                error: httpx.TransportError = _ENDED
            except httpx.TransportError as cut:
                error = cut
            finally:
                response.close()
            if cuts.too_many(error):
                raise self._unreachable(error) from error

    def _until(
        self, call: Call[Result], over: Callable[[Result], bool], timeout_s: float, poll_s: float
    ) -> Result:
        end = time.monotonic() + timeout_s
        while not over(found := self._call(call)):
            if time.monotonic() + poll_s > end:
                raise TimeoutError(f"{call.path} is not over after {timeout_s:g} s")
            time.sleep(poll_s)
        return found


class AsyncTransport(Transport):
    """Sends calls and lets others run meanwhile, under asyncio or trio."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._http = httpx.AsyncClient(**self._http_options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _send(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        async def once() -> httpx.Response:
            response = await self._http.send(self._request(call, self._http), stream=stream)
            if not response.is_success:
                await response.aread()
            return self._answered(call, response)

        try:
            return await tenacity.AsyncRetrying(**self._retries())(once)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    async def _call(self, call: Call[Result]) -> Result:
        found: Result = call.read(await self._send(call, stream=False))
        return found

    async def _items(self, call: Call[Page[Result]]) -> AsyncIterator[Result]:
        while True:
            page = await self._call(call)
            for item in page.items:
                yield item
            if page.next_cursor is None:
                return
            call = call.at(page.next_cursor)

    async def _events(
        self, call: Call[Result], over: Callable[[Result], bool]
    ) -> AsyncIterator[Result]:
        last, cuts = None, _Cuts(self._attempts)
        while True:
            response = await self._send(call, stream=True)
            try:
                async for event in EventSource(response).aiter_sse():
                    # The line is kept alive by comments, which this parser takes for events.
                    if event.data and event.data != last:
                        last = event.data
                        cuts.new()
                        found = call.parsed(event.data)
                        yield found
                        if over(found):
                            return
                error: httpx.TransportError = _ENDED
            except httpx.TransportError as cut:
                error = cut
            finally:
                await response.aclose()
            if cuts.too_many(error):
                raise self._unreachable(error) from error

    async def _until(
        self, call: Call[Result], over: Callable[[Result], bool], timeout_s: float, poll_s: float
    ) -> Result:
        end = time.monotonic() + timeout_s
        while not over(found := await self._call(call)):
            if time.monotonic() + poll_s > end:
                raise TimeoutError(f"{call.path} is not over after {timeout_s:g} s")
            await anyio.sleep(poll_s)
        return found
