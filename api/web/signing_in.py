"""Signing in to the page: a key is kept in a cookie that no script can read."""

from __future__ import annotations

from typing import Annotated

from litestar import Controller, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody
from litestar.response import Redirect, Template
from pydantic import Field

from api.schemas import Schema
from api.security import COOKIE, OPEN, scope_of_key
from api.web.site import AnyRequest, sign_in
from measurements.settings import Settings
from measurements.store import Store


class SignInForm(Schema):
    """What signing in takes.

    Attributes:
        key: The key.
        to: Where to go on.
    """

    key: Annotated[str, Field(max_length=500)]
    to: Annotated[str, Field(max_length=4000)] = "/"


class SignInController(Controller):
    """Signing in and out."""

    path = "/"
    opt = {OPEN: True}  # noqa: RUF012

    @get("/sign-in")
    async def form(self, request: AnyRequest) -> Template:
        """Asks for a key."""
        return sign_in(request, to="/")

    @post("/sign-in", sync_to_thread=True)
    def enter(
        self,
        request: AnyRequest,
        data: URLEncodedBody[SignInForm],
        store: NamedDependency[Store],
        settings: NamedDependency[Settings],
    ) -> Redirect | Template:
        """Keeps the key in a cookie, if it is one."""
        key = data.key.strip()
        if scope_of_key(key, store, settings) is None:
            return sign_in(request, status=401, wrong=True, to=data.to)
        return Redirect(_own(data.to), status_code=303, cookies=[_cookie(request, key)])

    @post("/sign-out")
    async def leave(self, request: AnyRequest) -> Redirect:
        """Forgets the key."""
        return Redirect("/sign-in", status_code=303, cookies=[_cookie(request, "", max_age=0)])


def _own(to: str) -> str:
    """A place on this service; anything else would send a reader wherever a link says."""
    local = to.startswith("/") and not to.startswith(("//", "/\\"))
    return to if local and to.isprintable() else "/"


def _cookie(request: AnyRequest, key: str, max_age: int | None = None) -> Cookie:
    return Cookie(
        key=COOKIE,
        value=key,
        max_age=max_age,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
