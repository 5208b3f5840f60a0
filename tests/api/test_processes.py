"""Processes that answer on one address: each gets its share, and nobody else the address."""

import pickle
import socket
import sys
from contextlib import ExitStack
from multiprocessing.reduction import ForkingPickler
from threading import Event

import pytest

from api.processes import Spread, WorkerProcess


@pytest.mark.skipif(sys.platform != "linux", reason="connections are spread by Linux's kernel")
def test_connections_are_spread_over_processes_and_the_address_is_kept():
    """Catches one process that takes what all of them should, and two services on one port."""
    with ExitStack() as stack:
        bound = stack.enter_context(socket.socket())
        bound.bind(("127.0.0.1", 0))
        address = bound.getsockname()
        shared = stack.enter_context(Spread(bound))
        handed = bytes(ForkingPickler.dumps(shared))
        listening = [stack.enter_context(pickle.loads(handed)) for _ in range(2)]
        for one in listening:
            one.listen()
            one.setblocking(False)

        second = stack.enter_context(socket.socket())
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError):
            second.bind(address)

        for _ in range(40):
            stack.enter_context(socket.create_connection(address))
        got = [accepted(one, stack) for one in listening]
        assert sum(got) == 40
        assert min(got) > 0


def accepted(listening, stack):
    number = 0
    while True:
        try:
            stack.enter_context(listening.accept()[0])
        except BlockingIOError:
            return number
        number += 1


def test_a_service_s_worker_gets_the_name_that_the_service_was_given(monkeypatch):
    """Catches two hosts' services whose workers take each other's jobs."""
    started = []

    class Started:
        def __init__(self, command, **_):
            started.append(command)
            self.ended = Event()

        def wait(self):
            self.ended.wait()

        def communicate(self):
            self.ended.set()

    monkeypatch.setattr("api.processes.subprocess.Popen", Started)
    for name in (None, "night"):
        WorkerProcess("cpu", name).stop()
    assert "--name" not in started[0]  # so that it is the host's
    assert started[1][-2:] == ["--name", "night"]
