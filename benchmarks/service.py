"""What the service bears on loopback, what it weighs, and how soon it answers.

``python -m benchmarks.service --processes 2``

Every request of a line asks another question: budgets run from 20 to 5,000 GFLOPs in equal
ratios, so that no answer can be one that was given before. Clients keep their connections and
ask again as soon as they have an answer; they run in one process on the same processors. The
service's own processor time a request says what is left of the rate on a machine that is busy.
The last table has a worker measuring beside the service.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving import HOST, Service, asked_all_over, memory_mb, started
from benchmarks.tables import markdown

CONNECTIONS = (1, 8, 64)
_WARM_S = 1.0
_ROUNDS = 10


@dataclass
class Load:
    """What came of a load.

    Attributes:
        connections: How many there were.
        seconds: How long it was kept up.
        latencies_s: Of each request that was answered.
        errors: What was not answered with 200, in words.
        service_cpu_s: Processor seconds of the service.
    """

    connections: int
    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    service_cpu_s: float = 0.0

    @property
    def per_second(self) -> float:
        """Answers in a second."""
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """A percentile of the latencies, in milliseconds."""
        return 1e3 * float(np.percentile(self.latencies_s, percent))

    def row(self, name: str) -> dict[str, str]:
        """A line of the table."""
        return {
            "load": name,
            "connections": str(self.connections),
            "distinct questions": f"{len(self.latencies_s):,}",
            "requests/s": f"{self.per_second:.0f}",
            "p50": f"{self.percentile_ms(50):.1f} ms",
            "p99": f"{self.percentile_ms(99):.1f} ms",
            "errors": str(len(self.errors)),
            "CPU of the service, a request": (
                f"{1e3 * self.service_cpu_s / len(self.latencies_s):.1f} ms"
            ),
        }


def bodies(number: int = 1_000_000) -> Iterator[bytes]:
    """Questions, all of them different."""
    # A stride that is prime to their number mixes small budgets with large ones.
    for index in range(number):
        yield question(20 * 250 ** (index * 387_421 % number / number))


def question(gflops: float) -> bytes:
    """A budget question."""
    return json.dumps({"task": "asr", "budget": {"gflops_per_utterance": gflops}}).encode()


async def ask(port: int, load: Load, asked: Iterator[bytes], end: float) -> None:
    """One connection that asks until the end."""
    reader, writer = await asyncio.open_connection(HOST, port)
    head = (
        "POST /v1/recommendations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    )
    while time.perf_counter() < end:
        body = next(asked)
        began = time.perf_counter()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        status, _, fields = answer.partition(b"\r\n")
        length = fields.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        content = await reader.readexactly(int(length))
        if b" 200 " in status and content.endswith(b"}"):
            load.latencies_s.append(time.perf_counter() - began)
        else:
            load.errors.append(f"{status!r} {content[:200]!r}")
    writer.close()
    await writer.wait_closed()


async def loaded(service: Service, connections: int, seconds: float) -> Load:
    """Keeps so many connections busy, which are opened anew some times over.

    Which process a connection falls to is chance: one draw of it would be luck.
    """
    asked, load = bodies(), Load(connections)
    await _asked(service, Load(connections), asked, _WARM_S)
    began, used_s = time.perf_counter(), service.cpu_s()
    for _ in range(_ROUNDS):
        await _asked(service, load, asked, seconds / _ROUNDS)
    load.seconds, load.service_cpu_s = time.perf_counter() - began, service.cpu_s() - used_s
    return load


async def _asked(service: Service, load: Load, asked: Iterator[bytes], seconds: float) -> None:
    """Asks over so many connections; what is counted goes into the load."""
    end = time.perf_counter() + seconds
    connections = (ask(service.port, load, asked, end) for _ in range(load.connections))
    await asyncio.gather(*connections)


def begin_measuring(service: Service) -> None:
    """Queues a sweep of real runs on the demo's speech, enough for minutes."""
    sweep = {
        "models": ["tiny.en"],
        "speech": [{"dataset": "demo"}],
        "axes": {"window_s": [20, 22, 24, 26, 28, 30], "batch_size": [1, 2, 4, 8]},
        "design": "grid",
    }
    connection = http.client.HTTPConnection(HOST, service.port, timeout=60)
    connection.request(
        "POST", "/v1/sweeps", json.dumps(sweep), {"content-type": "application/json"}
    )
    place = json.loads(connection.getresponse().read())["id"]
    while True:
        connection.request("GET", f"/v1/sweeps/{place}")
        if json.loads(connection.getresponse().read())["running"]:
            break
        time.sleep(0.2)
    connection.close()
    time.sleep(5)  # Its model is loaded by then.


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each line")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--connections", type=int, nargs="*", default=CONNECTIONS)
    parser.add_argument("--starts", type=int, default=3, help="starts that are timed")
    parser.add_argument("--beside", action="store_true", help="only with a worker measuring")
    arguments = parser.parse_args()
    first = question(200)

    def run(service: Service, connections: int) -> Load:
        return asyncio.run(loaded(service, connections, arguments.seconds))

    for processes in arguments.processes:
        options = ["--processes", str(processes)]
        print(f"\n{processes} API process{'es' if processes > 1 else ''}:\n")
        with tempfile.TemporaryDirectory() as folder:
            environment = {
                "SPEECHPLAN_DATABASE_URL": f"sqlite:///{Path(folder) / 'store.db'}",
                # One address asks here as many ask in earnest.
                "SPEECHPLAN_ASK_RATE": "off",
                "SPEECHPLAN_LOG_LEVEL": "warning",
            }
            ready_s = []
            for _ in range(arguments.starts - 1):
                with started(environment, first, "--no-worker", *options) as service:
                    ready_s.append(service.ready_s)
            with started(environment, first, "--no-worker", *options) as service:
                ready_s.append(service.ready_s)
                if not arguments.beside:
                    loads = [run(service, number) for number in arguments.connections]
                    print(markdown([load.row("worker off") for load in loads]))
                sizes = [memory_mb(pid) for pid in service.api_pids()]
                memory = ", ".join(f"{s['Rss']:.0f} MB ({s['Pss']:.0f} MB)" for s in sizes)
                print(f"\nresident (proportional) memory of each process afterwards: {memory}")
                if processes == 1:
                    (pid,) = service.api_pids()
                    after = [
                        f"{asked} {memory_mb(pid)['Rss']:.0f} MB"
                        for asked in asked_all_over(service.port)
                    ]
                    print(f"resident memory after asking for {', '.join(after)}")
                starts = ", ".join(f"{seconds:.1f}" for seconds in ready_s)
                print(f"start to first answer: {starts} s")
            with started(environment, first, *options) as service:
                idle = [run(service, connections) for connections in (1, 8)]
                begin_measuring(service)
                busy = [run(service, connections) for connections in (1, 8)]
                rows = []
                for before, after in zip(idle, busy, strict=True):
                    ratio = after.percentile_ms(50) / before.percentile_ms(50)
                    rows.append({**before.row("worker idle"), "p50 ratio": "1"})
                    rows.append({**after.row("worker measuring"), "p50 ratio": f"{ratio:.2f}"})
                print(f"\n{markdown(rows)}")
    print(f"\n{os.cpu_count()} processors, shared with the clients")


if __name__ == "__main__":
    main()
