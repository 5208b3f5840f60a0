"""Kills the service and its worker under load, and counts what is lost, doubled or half done.

``python -m benchmarks.faults --kills 20``

One client hands in work without end, sweeps of one run and now and then a verification, each
a real run of Whisper tiny.en on the built-in speech in a window of its own; another asks for
recommendations. At random moments SIGKILL goes to the process that answers, to the worker, or
to both at once. What was not answered is sent again, with the same idempotency key. A worker
that was killed is started again by the service; the service by this benchmark, as an init
system would. At the end everything that was accepted has to be in the store: once, and whole.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.serving import HOST, Service, answers, free_port, kill, spawn
from benchmarks.tables import markdown
from measurements.store import Store
from measurements.verification_records import Verification

KINDS = ("service", "worker", "both")
UTTERANCES = 2
_AHEAD = 3
_READY_S = 60.0
_END_S = 600.0
_QUESTION = {"study": "asr-demo", "budget": {"gflops_per_utterance": 400}}


@dataclass
class Client:
    """Hands in work and asks questions while the service comes and goes.

    Attributes:
        port: Where the service listens.
        sweeps: Ids of sweeps that were accepted, in their order.
        verifications: Those of verifications.
        windows: Windows of the runs that were accepted.
        answers: Questions that were answered.
        refused: Requests that met no service, and were sent again.
        half: Answers that came in part, or were none: what should never be.
    """

    port: int
    sweeps: list[str] = field(default_factory=list)
    verifications: list[str] = field(default_factory=list)
    windows: list[float] = field(default_factory=list)
    answers: int = 0
    refused: int = 0
    half: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def hand_in(self) -> None:
        """Hands in one piece of work after the other, a few ahead of what is done."""
        number = 0
        while not self.stop.is_set():
            if self._open() >= _AHEAD:
                time.sleep(0.2)
                continue
            number += 1
            window_s = round(20 + 0.02 * number, 2)
            if number % 8:
                document: dict[str, Any] = {
                    "models": ["tiny.en"],
                    "speech": [{"dataset": "demo", "limit": UTTERANCES}],
                    "centre": {"window_s": window_s},
                    "timing": False,
                }
                path, kept = "/v1/sweeps", self.sweeps
            else:
                named = {"model": "tiny.en", "window_s": window_s}
                document = {"question": _QUESTION, "configuration": named, "limit": UTTERANCES}
                path, kept = "/v1/verifications", self.verifications
            accepted = self._until_accepted(path, document, f"work-{number}")
            if accepted is not None:
                kept.append(str(accepted.get("id") or accepted["verification"]["id"]))
                self.windows.append(window_s)

    def ask(self) -> None:
        """Asks for recommendations all the time."""
        number = 0
        while not self.stop.is_set():
            number += 1
            body = {"budget": {"gflops_per_utterance": 20 + number % 2000}}
            found = self.request("POST", "/v1/recommendations", body)
            if found is None:
                time.sleep(0.05)
            else:
                self.answers += 1
                if found[0] != 200 or "recommendation" not in found[1]:
                    self.half.append(f"recommendation: {found}")

    def request(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> tuple[int, Any] | None:
        """Status and document of an answer; none where the service went away before its end."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=120)
        headers = {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        try:
            connection.request(method, path, json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self.refused += 1
            return None
        finally:
            connection.close()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            self.half.append(f"{path}: {answer.status} {content[:100]!r}")
            return None

    def _until_accepted(self, path: str, document: object, key: str) -> dict[str, Any] | None:
        while not self.stop.is_set():
            found = self.request("POST", path, document, key)
            if found is not None and found[0] == 202:
                return dict(found[1])
            if found is not None and found[0] != 503:
                self.half.append(f"{path}: {found}")
            time.sleep(0.1)
        return None

    def _open(self) -> int:
        """How much of what was handed in is not over."""
        recent = [("sweeps", one) for one in self.sweeps[-_AHEAD:]]
        recent += [("verifications", one) for one in self.verifications[-_AHEAD:]]
        found = [self.request("GET", f"/v1/{kind}/{one}") for kind, one in recent]
        documents = [one[1].get("verification", one[1]) for one in found if one is not None]
        return sum(one["status"] in ("running", "queued") for one in documents)


def killed(service: Service, kind: str, rng: random.Random) -> bool:
    """Kills something; whether it was there to be killed."""
    worker = next((pid for pid in service.pids() if "worker" in _command(pid)), None)
    if kind != "service" and worker is None:
        return False
    if kind == "both":
        kill(service)
        return True
    victims = [service.process.pid] if kind == "service" else [worker]
    os.kill(rng.choice([pid for pid in victims if pid is not None]), signal.SIGKILL)
    return True


def run(kills: int, folder: Path, seed: int = 0, longest_s: float = 12.0) -> dict[str, str]:
    """The whole of it; one line of the table.

    Args:
        kills: How many.
        folder: Where the store is.
        seed: Of the moments and the kinds.
        longest_s: Longest time between two.
    """
    rng, port = random.Random(seed), free_port()
    url = f"sqlite:///{folder / 'store.db'}"
    environment = {"SPEECHPLAN_DATABASE_URL": url, "SPEECHPLAN_TIMING_BUDGET_S": "0.1"}
    service, client = spawn(port, environment), Client(port)
    _ready(service)
    threads = [threading.Thread(target=work) for work in (client.hand_in, client.ask)]
    for thread in threads:
        thread.start()
    done: Counter[str] = Counter()
    down_s = []
    try:
        while done.total() < kills:
            time.sleep(rng.uniform(0.5, longest_s))
            kind = KINDS[done.total() % len(KINDS)]
            if not killed(service, kind, rng):
                continue  # It is just being started.
            done[kind] += 1
            began = time.perf_counter()
            if kind != "worker":
                service.process.wait()
                service = spawn(port, environment)
                _ready(service)
                down_s.append(time.perf_counter() - began)
        client.stop.set()
        for thread in threads:
            thread.join()
        end = time.monotonic() + _END_S
        while (left := unfinished(url, client)) and time.monotonic() < end:
            time.sleep(0.5)
    finally:
        client.stop.set()
        kill(service)
    wrong = doubled_or_half(url, client)
    return {
        "kills": ", ".join(f"{done[kind]} {kind}" for kind in KINDS),
        "accepted": f"{len(client.sweeps)} sweeps, {len(client.verifications)} verifications",
        "answers": f"{client.answers:,}",
        "sent again": str(client.refused),
        "lost": str(len(left)),
        "doubled": str(wrong["doubled"]),
        "half": str(wrong["half"] + len(client.half)),
        "service back after": f"{max(down_s, default=0):.1f} s at most",
    }


def unfinished(url: str, client: Client) -> list[str]:
    """What was accepted and has not come to its end, or is not in the store at all."""
    store = Store(url)
    sweeps = {row.id: row.status for row in store.sweeps()}
    verifications = {row.id: row.status for row in store.verifications()}
    store.close()
    return [one for one in client.sweeps if sweeps.get(one) != "done"] + [
        one for one in client.verifications if verifications.get(one) != "succeeded"
    ]


def doubled_or_half(url: str, client: Client) -> Counter[str]:
    """Measurements that are there twice or not whole, and verifications without an outcome."""
    store = Store(url)
    found: Counter[str] = Counter()
    measured = [measurement for _, measurement in store.measurements()]
    runs = Counter(one.configuration.window_s for one in measured)
    found["doubled"] += sum(number - 1 for number in runs.values())
    found["doubled"] += len(store.verifications()) - len(
        {Verification.model_validate(r.document).configuration for r in store.verifications()}
    )
    missing = set(client.windows) - set(runs)
    found["half"] += len(missing)
    for one in measured:
        results = store.utterances(one.key)
        whole = len({r.utterance for r in results}) == len(results) == UTTERANCES
        found["half"] += not whole or len(one.utterance_errors) != UTTERANCES
    for row in store.verifications(status="succeeded"):
        found["half"] += Verification.model_validate(row.document).outcome is None
    store.close()
    return found


def _ready(service: Service) -> None:
    end = time.monotonic() + _READY_S
    while not answers(service.port, "GET", "/health"):
        if time.monotonic() > end or service.process.poll() is not None:
            raise TimeoutError(f"the service did not start within {_READY_S:.0f} s")
        time.sleep(0.05)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        print(markdown([run(arguments.kills, Path(folder), arguments.seed)]))


if __name__ == "__main__":
    main()
