"""Headers that every answer carries: what a browser may do with it."""

from __future__ import annotations

from litestar.enums import ScopeType
from litestar.types import Message, Scope

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)

_ALWAYS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_STRICT_TRANSPORT = "max-age=31536000"

_NOT_KEPT = ("/v1", "/health", "/metrics")
"""What changes with every measurement: kept to be asked for by its tag again, or not at all."""

RATE_LIMIT = "rate_limit_headers"
"""Where a request's state holds what is left of its limit."""


async def add(message: Message, scope: Scope) -> None:
    """Adds them to an answer that begins; what a route has set itself stays."""
    if message["type"] != "http.response.start" or scope["type"] != ScopeType.HTTP:
        return
    given = {name for name, _ in message["headers"]}
    added = _ALWAYS | scope["state"].get(RATE_LIMIT, {})
    if scope["path"].startswith(_NOT_KEPT):
        added["cache-control"] = "private, no-cache" if b"etag" in given else "no-store"
    # Only a trusted proxy can say so; plain HTTP must not.
    if scope["scheme"] == "https":
        added["strict-transport-security"] = _STRICT_TRANSPORT
    encoded = ((name.encode(), value.encode()) for name, value in added.items())
    message["headers"] = [*message["headers"], *(one for one in encoded if one[0] not in given)]
