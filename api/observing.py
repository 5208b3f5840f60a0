"""Gives every request an id, a line in the log and its place in the metrics."""

from __future__ import annotations

import re
import time
import uuid

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api import metrics
from api.security import KEY_ID
from measurements.logs import get_logger

_log = get_logger("access")

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

_QUIET = ("/health", "/health/live", "/health/ready", "/metrics")
"""Asked every few seconds by machines: in the log at level debug only."""

_CLIENT_LEFT = 499
"""Status of a request that ended without an answer, as nginx has it."""


class Observed:
    """Wraps an application.

    A request's id is the client's own ``X-Request-ID`` where that is a plain name, otherwise
    a new one; the answer carries it, and so does every line logged meanwhile.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        request_id, status = _request_id(scope), _CLIENT_LEFT

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        started = time.perf_counter()
        metrics.UNDER_WAY.inc()
        with bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                metrics.UNDER_WAY.dec()
                _note(scope, status, time.perf_counter() - started)


def _note(scope: HTTPScope, status: int, duration_s: float) -> None:
    method = scope["method"] if scope["method"] in _METHODS else "other"
    # Not the path: it may hold anything, and there is no end of them.
    route = scope.get("path_template") or "none"
    client = scope.get("client")
    metrics.REQUESTS.labels(method, route, str(status)).inc()
    metrics.LATENCY.labels(method, route).observe(duration_s)
    (_log.debug if route in _QUIET else _log.info)(
        "request",
        method=method,
        route=route,
        status=status,
        duration_s=round(duration_s, 6),
        key=scope["state"].get(KEY_ID),
        client=client[0] if client else None,
    )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given = value.decode("latin-1")
            if _ID.fullmatch(given):
                return given
    return uuid.uuid4().hex
