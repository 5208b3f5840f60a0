"""Who may ask: nobody needs a key on loopback, unless there are keys; everybody does elsewhere.

A key is ``sp_ID_SECRET``, its secret 32 random bytes. The store keeps SHA-256 of it: what is
random and long can't be guessed from a fast digest, unlike a password.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Any, Literal, get_args

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import Guard

from measurements.settings import Settings
from measurements.store import Store

Scope = Literal["plan", "measure", "admin"]
"""Each may do what the ones before it may: ask; start real runs and take in results; the rest."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

OPEN_PATHS = ("/health", "/schema")

_LOOK_AGAIN_S = 2.0
"""A key that is made while the service runs is asked for from then on."""

COMPONENTS = Components(
    security_schemes={
        "apiKey": SecurityScheme(
            type="http",
            scheme="bearer",
            description="Needed when there are keys: 'speechplan keys create', or"
            " SPEECHPLAN_API_KEY.",
        )
    }
)


def create_key(store: Store, *, name: str, scope: Scope) -> str:
    """Makes a key; it is shown once, here."""
    identifier, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    store.add_api_key(identifier, name=name, scope=scope, digest=_digest(secret))
    return f"sp_{identifier}_{secret}"


def has_keys(store: Store, settings: Settings) -> bool:
    """Whether requests have to carry a key."""
    return settings.api_key is not None or any(key.revoked_at is None for key in store.api_keys())


def key_guard(store: Store, settings: Settings) -> Guard:
    """Lets only requests through that carry a key of the scope they need."""
    looked, needed = -float("inf"), False

    def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        nonlocal looked, needed
        if connection.url.path.startswith(OPEN_PATHS):
            return
        if time.monotonic() - looked > _LOOK_AGAIN_S:
            needed, looked = has_keys(store, settings), time.monotonic()
        if not needed:
            return
        scope = _scope_of(connection.headers.get("authorization", ""), store, settings)
        if scope is None:
            raise NotAuthorizedException(
                "send the key as 'Authorization: Bearer KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )
        wanted = _wanted(connection, handler)
        if SCOPES.index(scope) < SCOPES.index(wanted):
            raise PermissionDeniedException(
                f"this needs a key of scope {wanted}, the request's is {scope}"
            )

    return guard


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    return host in ("localhost", "::1") or host.startswith("127.")


def _wanted(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> Scope:
    if connection.query_params.get("verify", "never") != "never":
        return "measure"
    wanted: Scope = handler.opt.get("scope", "plan")
    return wanted


def _scope_of(header: str, store: Store, settings: Settings) -> Scope | None:
    """Scope of the key that a request carries; none of no key, or a wrong one."""
    kind, _, given = header.partition(" ")
    if kind.lower() != "bearer" or not given:
        return None
    if settings.api_key is not None and hmac.compare_digest(
        _bytes(given), _bytes(settings.api_key)
    ):
        return "admin"
    prefix, _, rest = given.partition("_")
    identifier, _, secret = rest.partition("_")
    if prefix != "sp" or not secret:
        return None
    known = store.api_key(identifier)
    digest = _digest(secret)
    if known is None or known.revoked_at is not None:
        return None
    if not hmac.compare_digest(digest, known.digest):
        return None
    return known.scope  # type: ignore[return-value]


def _digest(secret: str) -> str:
    return hashlib.sha256(_bytes(secret)).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
