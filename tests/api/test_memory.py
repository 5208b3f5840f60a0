"""What the service weighs, asked for everything that a user asks for."""

import json
import sys

import pytest

from benchmarks.serving import asked_all_over, memory_mb, started

MOST_MB = 270


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_service_stays_small(tmp_path):
    """scipy.stats would be 25 MB and more, a planner for each study and device 10 MB each."""
    environment = {
        "SPEECHPLAN_DATABASE_URL": f"sqlite:///{tmp_path / 'store.db'}",
        "SPEECHPLAN_LOG_LEVEL": "error",
        "OMP_NUM_THREADS": "1",
    }
    first = json.dumps({"task": "asr", "budget": {"gflops_per_utterance": 200}}).encode()
    with started(environment, first, "--no-worker") as service:
        (pid,) = service.api_pids()
        weights = {"the first answer": memory_mb(pid)["Rss"]}
        for asked in asked_all_over(service.port, devices=4):
            weights[asked] = memory_mb(pid)["Rss"]
    assert max(weights.values()) < MOST_MB, weights
