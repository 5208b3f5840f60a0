"""Idempotency keys: a client that lost an answer asks again, and nothing is begun twice."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, overload

from litestar import Request
from litestar.params import HeaderParameter

from api.problems import problem
from api.security import KEY_ID
from measurements import verification as verifications
from measurements.store import Store
from measurements.sweeps.claims import Claims
from measurements.verification_records import Verification

IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="The same key with the same request begins one piece of work, however often"
        " it is sent; with another request than the one that it has begun work with, it is"
        " refused with 422",
        pattern=r"^[\x21-\x7e]+$",
        max_length=200,
    ),
]

_LOOK_S = 0.05
_LONGEST_S = 30.0
"""That a request waits for another with its key to have begun its work."""

_KEY_PART = 18
"""Characters of an identifier that come from the key; the rest comes from the request."""


def caller_of(request: Request[Any, Any, Any]) -> str:
    """Whose a key is: two callers may choose the same one."""
    return f"{request.url.path} {request.scope['state'].get(KEY_ID, '')}"


@overload
def identifier_of(key: str, caller: str, *said: object) -> str: ...
@overload
def identifier_of(key: str | None, caller: str, *said: object) -> str | None: ...
def identifier_of(key: str | None, caller: str, *said: object) -> str | None:
    """An id that the same key and request have in common; none without a key.

    Args:
        key: The key.
        caller: Whose key it is.
        said: The request.
    """
    if key is None:
        return None
    return str(uuid.UUID(bytes=_digest(caller, key) + _digest(*said)))


def key_part(identifier: str) -> str:
    """How the ids of a key begin, whatever is asked with it."""
    return identifier[:_KEY_PART]


def check_unused(identifier: str, begun: str | None) -> None:
    """Refuses a key that has begun other work.

    Args:
        identifier: Of what is asked.
        begun: What the key has begun, if anything.

    Raises:
        ProblemDetailsException: It is something else.
    """
    if begun not in (None, identifier):
        raise problem(
            422,
            "idempotency-key-reused",
            "The idempotency key belongs to another request",
            "this key has begun work with another request: send that one again, or a fresh key",
        )


@contextmanager
def alone(identifier: str | None, store: Store) -> Iterator[None]:
    """Lets requests with one key look for what it has begun, and begin it, one after another.

    Raises:
        ProblemDetailsException: The one before takes too long.
    """
    if identifier is None:
        yield
        return
    claims, name = Claims(store), f"idempotency key {key_part(identifier)}"
    end = time.monotonic() + _LONGEST_S
    while not claims.take(name):
        if time.monotonic() > end:
            raise problem(
                409,
                "idempotency-key-in-use",
                "A request with this key is under way",
                "another request with this idempotency key has not been answered yet; ask again",
            )
        time.sleep(_LOOK_S)
    with claims.held(name):
        yield


def begun_with(identifier: str | None, store: Store) -> Verification | None:
    """The verification that a key has begun, if it has.

    Raises:
        ProblemDetailsException: The key has begun one with another request.
    """
    if identifier is None:
        return None
    check_unused(identifier, store.verification_like(key_part(identifier)))
    return verifications.find(identifier, store)


def _digest(*said: object) -> bytes:
    joined = "\0".join(map(str, said))
    return hashlib.blake2b(joined.encode(), digest_size=8).digest()
