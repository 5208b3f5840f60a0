"""Rate limits: per key, or per address where there is none; loopback without keys has no limit."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, TooManyRequestsException
from litestar.handlers.base import BaseRouteHandler
from litestar.types import Guard

from api import headers, security
from measurements.settings import Settings

_Connection = ASGIConnection[Any, Any, Any, Any]
_AsyncGuard = Callable[[_Connection, BaseRouteHandler], Awaitable[None]]


class Limiter:
    """Counts requests in a sliding window, in the memory of this process.

    Args:
        settings: ``ask_rate`` for every request, ``work_rate`` for those that start real
            runs or take results in.
    """

    def __init__(self, settings: Settings) -> None:
        self._window = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._ask = _parsed(settings.ask_rate)
        self._work = _parsed(settings.work_rate)

    def around(self, key_guard: _AsyncGuard) -> Guard:
        """A guard that lets the key guard decide first, so that who asks is known.

        Requests whose key is refused count too, by address.
        """

        async def guard(connection: _Connection, handler: BaseRouteHandler) -> None:
            if security.is_open(connection):
                return
            address = connection.client.host if connection.client else ""
            remote = security.is_remote(address)
            try:
                await key_guard(connection, handler)
            except NotAuthorizedException:
                if remote:
                    self._count(connection, self._ask, f"refused {address}")
                raise
            who = connection.state.get(security.KEY_ID)
            if who is None and not remote:
                return
            counted = f"address {address}" if who is None else f"key {who}"
            if security.wanted(connection, handler) == "measure":
                self._count(connection, self._work, f"work {counted}")
            self._count(connection, self._ask, f"ask {counted}")

        return guard

    def _count(self, connection: _Connection, limit: RateLimitItem | None, who: str) -> None:
        """Counts a request.

        Raises:
            TooManyRequestsException: It is one too many; its headers say when to come again.
        """
        if limit is None:
            return
        allowed = self._window.hit(limit, who)
        left = self._window.get_window_stats(limit, who)
        again_s = max(1, math.ceil(left.reset_time - time.time()))
        said = {
            "ratelimit-limit": str(limit.amount),
            "ratelimit-remaining": str(left.remaining),
            "ratelimit-reset": str(again_s),
        }
        if not allowed:
            raise TooManyRequestsException(
                f"{limit} at most; try again in {again_s} s",
                headers={**said, "Retry-After": str(again_s)},
            )
        connection.scope["state"].setdefault(headers.RATE_LIMIT, said)


def _parsed(rate: str) -> RateLimitItem | None:
    return None if rate == "off" else parse(rate)
