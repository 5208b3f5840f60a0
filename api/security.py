"""Who may ask: nobody needs a key on loopback, everybody does elsewhere."""

from __future__ import annotations

import hmac
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import Guard

OPEN_PATHS = ("/health", "/schema")

COMPONENTS = Components(
    security_schemes={
        "apiKey": SecurityScheme(
            type="http",
            scheme="bearer",
            description="Needed when the service was started with SPEECHPLAN_API_KEY.",
        )
    }
)


def key_guard(key: str) -> Guard:
    """Lets only requests through that carry the key as a bearer token."""
    expected = f"Bearer {key}".encode()

    def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        if connection.url.path.startswith(OPEN_PATHS):
            return
        given = connection.headers.get("authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, expected):
            raise NotAuthorizedException(
                "send the key as 'Authorization: Bearer KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return guard


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    return host in ("localhost", "::1") or host.startswith("127.")
