"""The service as a process of its own, for benchmarks of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
_START_S = 180.0
ENOUGH_RTF = 500.0
"""An RTF that every device holds, however busy it was when it was timed."""


@dataclass
class Service:
    """A running service.

    Attributes:
        process: The process that was started.
        port: Where it listens, on loopback.
        ready_s: Seconds from its start to the end of the first answer.
    """

    process: subprocess.Popen[bytes]
    port: int
    ready_s: float = 0.0

    def pids(self) -> list[int]:
        """The process and all below it."""
        found = [self.process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with suppress(OSError):  # It may have ended just now.
                    found += [int(child) for child in children.read_text().split()]
        return found

    def api_pids(self) -> list[int]:
        """Those of them that answer requests: they have the listening socket."""
        return [pid for pid in self.pids() if _holds(pid, self.port)]

    def cpu_s(self) -> float:
        """Processor seconds that they have used."""
        ticks = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port on loopback that nothing listens on."""
    with socket.socket() as found:
        found.bind((HOST, 0))
        port: int = found.getsockname()[1]
        return port


def spawn(port: int, environment: Mapping[str, str], *options: str) -> Service:
    """Starts ``speechplan serve``; it is not waited for."""
    command = [sys.executable, "-m", "api.cli", "serve", "--port", str(port), *options]
    return Service(
        subprocess.Popen(command, env={**os.environ, **environment}, start_new_session=True), port
    )


def kill(service: Service) -> None:
    """Ends the service and all below it at once, as a power cut would."""
    with suppress(ProcessLookupError):
        os.killpg(service.process.pid, signal.SIGKILL)
    service.process.wait()


@contextmanager
def started(environment: Mapping[str, str], first: bytes, *options: str) -> Iterator[Service]:
    """A service that has answered once; ended at the end.

    Args:
        environment: Its ``SPEECHPLAN_*`` settings.
        first: Body of the first question.
        options: Of ``speechplan serve``.

    Raises:
        TimeoutError: It has not answered within three minutes.
    """
    began = time.perf_counter()
    service = spawn(free_port(), environment, *options)
    try:
        while not answers(service.port, "POST", "/v1/recommendations", first):
            if time.perf_counter() - began > _START_S:
                raise TimeoutError(f"no answer within {_START_S:.0f} s")
            time.sleep(0.02)
        service.ready_s = time.perf_counter() - began
        yield service
    finally:
        service.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            service.process.wait(20)
        kill(service)


def answers(port: int, method: str, path: str, body: bytes | None = None) -> bool:
    """Whether a request is answered with 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_START_S)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return response.status == 200


def asked_all_over(port: int, *, devices: int | None = None) -> Iterator[str]:
    """Asks a service for its pages, studies, devices, and what else takes memory.

    Args:
        port: Where it listens, on loopback.
        devices: How many devices to ask about; all that it lists when left out.

    Yields:
        What it was asked for last.

    Raises:
        RuntimeError: A request was not answered.
    """

    def ask(path: str, body: object = None, allowed: Sequence[int] = ()) -> dict[str, Any]:
        connection = http.client.HTTPConnection(HOST, port, timeout=_START_S)
        try:
            sent = None if body is None else json.dumps(body)
            method = "GET" if body is None else "POST"
            connection.request(method, path, sent, {"content-type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if response.status not in (200, *allowed):
            raise RuntimeError(f"{path}, {body}: {response.status} {content[:200]!r}")
        is_json = (response.headers["content-type"] or "").startswith("application/json")
        found: dict[str, Any] = json.loads(content) if is_json else {}
        return found

    studies = [(one["task"], one["id"]) for one in ask("/v1/studies")["items"]]
    listed = [one["name"] for one in ask("/v1/devices")["items"]][:devices]
    flops = {"gflops_per_utterance": 200}
    for _, study in studies:
        ask(f"/v1/studies/{study}/curves")
    yield "curves"
    for path in ("/", "/studies", "/models", "/devices", "/calibration", "/schema/openapi.json"):
        ask(path)
    for path in ("/?gflops=200", "/?task=ser&gflops=200", *(f"/studies/{s}" for _, s in studies)):
        ask(path)
    yield "pages"
    for task, study in studies:
        ask("/v1/recommendations", {"task": task, "study": study, "budget": flops})
    yield "studies"
    for device in listed:
        ask("/v1/recommendations", {"task": "asr", "device": device, "budget": {"rtf": ENOUGH_RTF}})
        # An encoder alone was not timed everywhere.
        body = {"task": "ser", "device": device, "budget": {"rtf": ENOUGH_RTF}}
        ask("/v1/recommendations", body, allowed=[422])
    yield "devices"
    for task in ("asr", "ser"):
        for seed in (1, 2):
            ask("/v1/recommendations", {"task": task, "seed": seed, "budget": flops})
        ask("/v1/recommendations", {"task": task, "level": 0.8, "budget": flops})
        ask("/v1/pareto-fronts", {"task": task})
        ask("/v1/predictions", {"configurations": [{"task": task, "model": "whisper-base"}]})
    yield "seeds, fronts, predictions"


def memory_mb(pid: int) -> dict[str, float]:
    """Resident and proportional memory of a process, in units of 1e6 bytes."""
    sizes = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss"):
            sizes[name] = int(rest.split()[0]) * 1024 / 1e6
    return sizes


def _holds(pid: int, port: int) -> bool:
    listening = {
        line.split()[9]
        for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == port
    }
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.removeprefix("socket:[").removesuffix("]") in listening:
            return True
    return False
