"""Runs that end the process that runs them: behind the others, and given up in the end."""

import json
import signal
import subprocess
import sys

import pytest

from measurements.store import Store
from measurements.sweeps import Speech, SweepSpec
from measurements.sweeps.runner import MAX_DEATHS, Sweep

SPEC = SweepSpec(
    models=("tiny.en",), speech=(Speech(dataset="demo"),), axes={"window_s": (10, 15)}, timing=False
)
KILLED = -signal.SIGKILL

SCRIPT = """
import json, os, signal, sys, time
from types import SimpleNamespace
from measurements.progress import Progress
from measurements.store import Store
from measurements.sweeps import SweepSpec, runner

url, spec, deadly, gets_on, most = sys.argv[1:]
spec, deadly = SweepSpec.model_validate_json(spec), json.loads(deadly)

class Run:
    def __init__(self, run, store, device):
        self.name, self.store = str(run.configuration.window_s), store

    def share(self, prefixes):
        pass

    def run(self, report):
        with open("begun", "a") as stream:
            stream.write(self.name + "\\n")
        left = deadly.get(self.name, 0)
        died = open("begun").read().split().count(self.name) - 1
        done = died if gets_on == "True" else 0
        report(Progress("transcribing", done, 20))
        if died < left:
            if gets_on == "True":
                report(Progress("transcribing", done + 1, 20))
            os.kill(os.getpid(), signal.SIGKILL)
        return SimpleNamespace(key=self.name, metric=None)

runner._evaluation = Run
runner.Sweep._shared = lambda self: None
ends = []
# A process for each try, without a second's worth of imports.
while len(ends) < int(most) and 0 not in ends:
    child = os.fork()
    if child == 0:
        runner.Sweep(spec, Store.open(url)).run()
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(ends))
"""


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


def ends_of(store, folder, deadly, *, gets_on=False, most=20):
    """How the processes of a sweep ended, one after the other, until one came to its end.

    Args:
        store: The sweep's.
        folder: Where the runs that were begun are noted.
        deadly: How often a window's run kills its process.
        gets_on: Whether it leaves a new result each time.
        most: How many processes at most.
    """
    command = [sys.executable, "-c", SCRIPT, store.url, SPEC.model_dump_json()]
    command += [json.dumps(deadly), str(gets_on), str(most)]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=600)
    return json.loads(done.stdout)


def test_a_run_that_kills_its_process_is_given_up_behind_the_others(store, tmp_path):
    """Catches a sweep that takes up an out-of-memory run for ever, and nothing else."""
    assert ends_of(store, tmp_path, {"30.0": 1000}) == [KILLED] * MAX_DEATHS + [0]
    assert (tmp_path / "begun").read_text().split() == ["30.0", "10.0", "15.0", "30.0", "30.0"]
    sweep = Sweep(SPEC, store)
    first, *others = sweep.states()
    assert [state.status for state in others] == ["done", "done"]
    assert (first.status, first.tries, first.failure.kind) == ("failed", MAX_DEATHS, "other")
    assert "3 processes at work on it ended" in first.failure.reason
    assert sweep.status == "done"
    assert not store.claims()
    # Asked to, it begins from nothing, and may come through.
    assert sweep.retry_failed() == 1
    assert ends_of(store, tmp_path, {"30.0": 5}) == [KILLED, KILLED, 0]
    assert sweep.progress().count("done") == 3


def test_killed_ten_times_with_a_new_result_each_time_nothing_is_given_up(store, tmp_path):
    """Catches a count of deaths that a user who stops a sweep of hours runs into."""
    assert ends_of(store, tmp_path, {"30.0": 10}, gets_on=True) == [KILLED] * 10 + [0]
    states = Sweep(SPEC, store).states()
    assert [(state.status, state.tries) for state in states] == [("done", 0)] * 3


def test_a_new_result_forgives_the_deaths_before_it(store):
    """Catches a count over a run's whole life."""
    store.claim("r", "dead:1:0:1", 0.0)
    for number in (2, 3):
        claim = store.claims()["r"]
        assert store.take_over("r", claim, f"dead:1:0:{number}", float(number))
        # Of two that find the same dead owner one succeeds.
        assert not store.take_over("r", claim, "other", 0.0)
    claim = store.claims()["r"]
    assert claim.barren == 3
    # Nor one who looked before the owner's heart beat again.
    assert store.beat("r", claim.owner, 3.5)
    assert not store.take_over("r", claim, "other", 4.0)
    assert store.bear("r", "dead:1:0:3")
    assert not store.bear("r", "dead:1:0:2")
    assert store.claims()["r"].barren == 0
    assert store.take_over("r", store.claims()["r"], "dead:1:0:4", 4.0)
    assert store.claims()["r"].barren == 1
