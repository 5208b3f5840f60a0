"""The real application on a real loopback port, with faults on the wire where a test asks."""

import asyncio
import contextlib
import json
import threading
import time
from dataclasses import dataclass, field

import uvicorn

from api.app import create_app


@dataclass
class Faults:
    """What happens to the next requests, one after another; afterwards all is well.

    ``(429, headers)`` or ``(503, headers)``: refused before the application sees it.
    ``"cut"``: the application does its work, and its answer is cut off.
    ``"cut-stream"``: a stream ends abruptly behind its first event.
    """

    next: list = field(default_factory=list)
    seen: list = field(default_factory=list)

    def around(self, app):
        async def wrapped(scope, receive, send):
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            self.seen.append((scope["method"], scope["path"], dict(scope["headers"])))
            fault = self.next.pop(0) if self.next else None
            if fault is None:
                await app(scope, receive, send)
            elif isinstance(fault, tuple):
                await _refuse(send, *fault)
            else:
                await _cut(app, scope, receive, send, stream=fault == "cut-stream")

        return wrapped


async def _refuse(send, status, headers):
    body = json.dumps(
        {
            "type": "https://speechplan.dev/problems/store-unavailable",
            "title": "Later",
            "status": status,
            "detail": "later",
        }
    ).encode()
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def _cut(app, scope, receive, send, *, stream):
    """Less body than was announced: the connection is closed under the client."""
    bodies = 0

    class Over(Exception):
        pass

    async def cutting(message):
        nonlocal bodies
        if message["type"] == "http.response.start":
            if stream:
                await send(message)
            else:
                headers = [(k, v) for k, v in message["headers"] if k != b"content-length"]
                headers.append((b"content-length", b"1000000"))
                await send({**message, "headers": headers})
        elif message["type"] == "http.response.body":
            bodies += 1
            if stream and bodies > 1:
                raise Over
            await send({**message, "more_body": True})

    with contextlib.suppress(Over, asyncio.CancelledError, BaseExceptionGroup):
        await app(scope, receive, cutting)
    # uvicorn closes a connection whose answer was begun and not ended.


@contextlib.contextmanager
def live(settings):
    """Serves the application; yields its address and its faults."""
    faults = Faults()
    app = create_app(settings)
    config = uvicorn.Config(faults.around(app), host="127.0.0.1", port=0, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", faults
    finally:
        server.should_exit = True
        thread.join(10)
