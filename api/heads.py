"""``HEAD``: what can be read answers it as ``GET``, without a body."""

from __future__ import annotations

from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

_STREAMS = "/events"
"""How paths end whose answers have no end: they are not begun for a client that reads none."""


def with_heads(app: ASGIApp) -> ASGIApp:
    """An application that answers ``HEAD`` wherever it answers ``GET``, streams left out.

    The framework would have each route twice, in its description too.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != ScopeType.HTTP
            or scope["method"] != "HEAD"
            or scope["path"].rstrip("/").endswith(_STREAMS)
        ):
            await app(scope, receive, send)
            return
        # The server's own stays as it is: by it the server knows that no body follows.
        inner = cast("HTTPScope", {**scope, "method": "GET"})

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                scope["path_template"] = inner.get("path_template", "")
            elif message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        await app(inner, receive, send_head)

    return answer
