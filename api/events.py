"""Server-sent events: what changes, as it changes."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable

from litestar.concurrency import sync_to_thread
from litestar.response import ServerSentEventMessage

HEARTBEAT_S = 15.0
"""Longest silence: proxies close a line on which nothing comes, often after a minute."""

RETRY_MS = 2000
"""When whoever was cut off comes back."""

_POLL_S = 0.5


async def changes(
    event: str,
    look: Callable[[], tuple[str, bool]],
    stopped: Callable[[], bool] = lambda: False,
    *,
    known: str | None = None,
) -> AsyncIterator[ServerSentEventMessage]:
    """An event whenever something has changed, until it is over; comments in between.

    Args:
        event: Name of the events. The id of each is made of its content.
        look: The document as it is, and whether it will stay so; asked on a thread.
        stopped: Whether the service is about to end, and the stream with it.
        known: Id of the last event that was received before a cut (``Last-Event-ID``).
    """
    told = time.monotonic()
    while not stopped():
        document, over = await sync_to_thread(look)
        own = hashlib.blake2b(document.encode(), digest_size=8).hexdigest()
        if own != known or over:
            known, told = own, time.monotonic()
            yield ServerSentEventMessage(event=event, data=document, id=own, retry=RETRY_MS)
        elif time.monotonic() - told >= HEARTBEAT_S:
            told = time.monotonic()
            yield ServerSentEventMessage(data=None, comment="nothing new")
        if over:
            return
        await asyncio.sleep(_POLL_S)
