"""A sweep whose job ends with an error: told as failed, and let go on again."""

import os
import signal
import subprocess
import sys
import time

from litestar.testing import TestClient

from api.app import create_app
from measurements.jobs import orphans
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store

WORKER = """
import sys
from unittest.mock import MagicMock
# What runs models takes a minute to import, and nothing is run.
for name in ("verifying", "sequential"):
    sys.modules[f"measurements.{name}"] = MagicMock()
from measurements.jobs import worker
from measurements.settings import Settings

def run_next(self, on_progress=None):
    raise RuntimeError("the device has gone\\nwith more to say")

worker.Sweep.run_next = run_next
worker._LOOK_S = 0.3
worker.run_worker(Settings(), name="failing")
"""


def test_a_sweep_whose_job_fails_says_so(tmp_path):
    """Catches one that seems to run for ever, and one that can't be begun again."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}")
    spec = {"models": ["tiny.en"], "speech": [{"dataset": "demo", "limit": 2}]}
    environment = os.environ | {"SPEECHPLAN_DATABASE_URL": settings.database_url}
    with TestClient(create_app(settings)) as client:
        place = client.post("/v1/sweeps", json=spec).headers["location"]
        worker = subprocess.Popen([sys.executable, "-c", WORKER], env=environment)
        try:
            end = time.monotonic() + 600
            while (sweep := client.get(place).json())["status"] == "running":
                assert worker.poll() is None
                assert time.monotonic() < end
                time.sleep(0.2)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait()
        assert (sweep["status"], sweep["waiting"]) == ("failed", 1)
        assert "the device has gone" in sweep["error"]
        assert "\n" not in sweep["error"]
        assert sweep["error"] in client.get(place.removeprefix("/v1")).text
        refused = client.delete(place)
        assert (refused.status_code, refused.json()["detail"]) == (409, "the sweep is failed")
        again = client.post("/v1/sweeps", json=spec).json()
        assert (again["status"], again["error"]) == ("running", None)
        store, queue = Store(settings.database_url), JobQueue(settings)
        assert orphans.give_up(store, queue) == []  # its new job waits
        queue.close()
        store.close()
        assert client.get(place).json()["status"] == "running"
        client.delete(place)
