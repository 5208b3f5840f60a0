"""Who may ask: nobody needs a key on loopback, unless there are keys; everybody does elsewhere.

That is checked when the service starts and again with every request: the last key may be
revoked meanwhile, and another server than ``speechplan serve`` may run the application.

A key is ``sp_ID_SECRET``, its secret 32 random bytes. The store keeps SHA-256 of it: what is
random and long can't be guessed from a fast digest, unlike a password.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.spec import Components, SecurityRequirement, SecurityScheme
from sqlalchemy.exc import SQLAlchemyError

from measurements.settings import Settings
from measurements.store import Store

Scope = Literal["plan", "measure", "admin"]
"""Each may do what the ones before it may: ask; start real runs and take in results; the rest."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

OPEN_PATHS = ("/health", "/schema")

COOKIE = "speechplan_key"
"""Holds the key of somebody who signed in to the web page."""

OPEN = "open"
"""Option of a route that needs no key."""

NO_KEY: list[SecurityRequirement] = [{}]
"""How the document says of an operation that it needs no key."""

_SAFE = ("GET", "HEAD", "OPTIONS")

KEY_ID = "key_id"
"""Where a request's state holds the id of its key, for limits and logs."""

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


def key_guard(
    store: Store, settings: Settings
) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]:
    """Lets only requests through that carry a key of the scope they need.

    Where there are no keys: only those that were sent to a loopback address by a name of it.
    """
    looked, needed = -float("inf"), False

    # Not a plain function: those go through a thread each, and most requests need none.
    async def guard(
        connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        nonlocal looked, needed
        if is_open(connection):
            return
        header = connection.headers.get("authorization")
        if header is None and connection.scope.get("method") not in _SAFE:
            _same_origin(connection)
        if handler.opt.get(OPEN):
            return
        if time.monotonic() - looked > _LOOK_AGAIN_S:
            try:
                needed = await sync_to_thread(has_keys, store, settings)
            except SQLAlchemyError:
                # What was so holds while the store is away: much is answered without it.
                if math.isinf(looked):
                    raise
            looked = time.monotonic()
        if not needed:
            _only_loopback(connection)
            return
        if header is None and COOKIE in connection.cookies:
            header = f"Bearer {connection.cookies[COOKIE]}"
        found = await sync_to_thread(_key_of, header or "", store, settings)
        if found is None:
            raise NotAuthorizedException(
                "send the key as 'Authorization: Bearer KEY'",
                headers={"WWW-Authenticate": "Bearer"},
            )
        connection.state[KEY_ID], scope = found
        needs = wanted(connection, handler)
        if SCOPES.index(scope) < SCOPES.index(needs):
            raise PermissionDeniedException(
                f"this needs a key of scope {needs}, the request's is {scope}"
            )

    return guard


def scope_of_key(key: str, store: Store, settings: Settings) -> Scope | None:
    """Scope of a key; none of a wrong one."""
    found = _key_of(f"Bearer {key}", store, settings)
    return None if found is None else found[1]


@lru_cache(maxsize=1024)
def is_loopback(host: str) -> bool:
    """Whether an address, or ``localhost``, is this machine's own."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # A socket for both families writes IPv4 addresses as IPv6 ones.
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (inner or address).is_loopback


@lru_cache(maxsize=1024)
def is_remote(host: str) -> bool:
    """Whether it is the address of another machine; a name or a socket's path is none."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return not is_loopback(host)


def is_open(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether a request needs no key and counts for no limit."""
    return connection.scope["path"].startswith(OPEN_PATHS)


def wanted(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> Scope:
    """The scope that a request needs."""
    if set(connection.query_params.getall("verify", [])) - {"never"}:
        return "measure"
    scope: Scope = handler.opt.get("scope", "plan")
    return scope


def _same_origin(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Refuses what another site's page makes a browser send: cookies and loopback go along.

    Programs send neither header. A browser sends an origin with everything that changes
    something; with a cookie it has to.

    Raises:
        PermissionDeniedException: Another site's page has sent it.
    """
    site = connection.headers.get("sec-fetch-site")
    origin = connection.headers.get("origin")
    foreign = site not in (None, "same-origin", "none") or (
        origin is not None and _netloc(origin) != connection.headers.get("host", "")
    )
    if foreign or (COOKIE in connection.cookies and site is None and origin is None):
        raise PermissionDeniedException("this was asked for by another site's page")


def _netloc(url: str) -> str | None:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None


def _only_loopback(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Refuses what came in from beyond this machine, or by a name that points at it.

    Raises:
        PermissionDeniedException: It did.
    """
    address, _ = connection.scope.get("server") or ("", None)
    if is_remote(address):
        raise PermissionDeniedException(
            f"{address} is not a loopback address, and there is no key: make one with"
            " 'speechplan keys create'"
        )
    if not is_loopback(address):  # a socket in the file system, or a test's own transport
        return
    host = connection.headers.get("host", "")
    if not _names_loopback(host):
        raise PermissionDeniedException(
            f"{host!r} is no name of this machine's loopback, and there is no key: make one with"
            " 'speechplan keys create'"
        )


def _names_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name.endswith(".localhost")


def _key_of(header: str, store: Store, settings: Settings) -> tuple[str, Scope] | None:
    """Id and scope of the key that a request carries; none of no key, or a wrong one."""
    kind, _, given = header.partition(" ")
    if kind.lower() != "bearer" or not given:
        return None
    if settings.api_key is not None and hmac.compare_digest(
        _bytes(given), _bytes(settings.api_key.get_secret_value())
    ):
        return "SPEECHPLAN_API_KEY", "admin"
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
    return identifier, known.scope  # type: ignore[return-value]


def _digest(secret: str) -> str:
    return hashlib.sha256(_bytes(secret)).hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
