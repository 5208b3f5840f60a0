"""The sockets that a service listens on, bound before anything else of it is begun."""

from __future__ import annotations

import errno
import socket
import sys

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Of one address of a name that has another, too: IPv6 where the machine has none."""


class ListenError(RuntimeError):
    """An address that can't be listened on, and why."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to an address; they accept connections when a server listens on them.

    A name such as ``localhost`` may have several addresses: each has a socket, all on one port.

    Args:
        host: A name or an address.
        port: Its number; 0 for one that is free.

    Raises:
        ListenError: The host is not known, or the port is taken or not allowed.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        raise ListenError(f"can't listen on {shown(host, port)}: {_said(error)}") from None
    bound: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, address in dict.fromkeys(found):
        number = bound[0].getsockname()[1] if bound else port
        try:
            bound.append(_bound(family, (address[0], number, *address[2:])))
        except OSError as error:
            missing = error
            if error.errno not in _NOT_HERE:
                break
    else:
        if bound:
            return bound
    for one in bound:
        one.close()
    assert missing is not None
    raise ListenError(f"can't listen on {shown(host, port)}: {_said(missing)}") from None


def shown(host: str, port: int) -> str:
    """A host and a port as a URL has them: IPv6 addresses in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # There it would let two services have one port.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # An IPv4 address of the same name has a socket of its own.
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def _said(error: Exception) -> str:
    return ((error.strerror if isinstance(error, OSError) else None) or str(error)).lower()
