"""The connection to a Ray cluster; what is wrong with it is said in one line."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from measurements.sweeps.spec import SweepError

_ANSWER_S = 10.0
_SETTINGS = {
    # A cluster that is started here tells nobody about itself, unless it was told to.
    "RAY_USAGE_STATS_ENABLED": "0",
    # A node ends itself when its agents are late, which they are on a busy machine.
    "RAY_agent_register_timeout_ms": "120000",
}


@contextmanager
def connected(address: str | None = None) -> Iterator[Any]:
    """The module ``ray``, connected to a cluster, and no longer than it has to be.

    Args:
        address: The cluster's. ``RAY_ADDRESS``, a cluster that runs on this machine, or else
            one that is started, if left out; none of it if Ray is connected already.

    Raises:
        SweepError: Ray is not installed, or the cluster can't be used.
    """
    try:
        import ray
    except ImportError:
        raise SweepError("a Ray cluster needs ray: pip install 'speechplan[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    _check(address or os.environ.get("RAY_ADDRESS") or "local")
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (Exception, SystemExit) as error:  # Ray has no class of its own for what may be wrong
        message = " ".join(str(error).split())[:400] or type(error).__name__
        # A head that found a token asks for it; ``ray.init`` has to be told to send it.
        hint = "; set RAY_AUTH_MODE=token where it asks for its token" if _refused(message) else ""
        raise SweepError(f"the Ray cluster can't be used: {message}{hint}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


def nodes(ray: Any) -> list[dict[str, Any]]:
    """The nodes that are alive, as Ray describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def _refused(message: str) -> bool:
    return "Failed to connect" in message or "uthenticat" in message


def _check(address: str) -> None:
    """Whether somebody listens there: Ray itself tries for minutes, and ends the process."""
    if address in ("auto", "local"):
        return
    if "://" in address:
        raise SweepError(
            f"{address} is for Ray's client: run the sweep on a node of the cluster,"
            " where its address is HOST:6379"
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise SweepError(f"the Ray cluster's address is HOST:PORT, not {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
    except (OSError, OverflowError):
        raise SweepError(
            f"no Ray cluster answers at {address}: start one there with"
            f" 'ray start --head --port={port}', or leave the address out for one on this machine"
        ) from None
