"""A sweep's estimate of the time to go, on a clock that only runs advance."""

from types import SimpleNamespace

import pytest

from measurements.datasets import DatasetError
from measurements.progress import Progress
from measurements.records import Metric
from measurements.store import Store
from measurements.sweeps import Speech, SweepSpec, runner
from measurements.sweeps.kept import flops_of
from measurements.sweeps.runner import Sweep

SECONDS_PER_FLOP = 1e-9


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture
def paced(monkeypatch):
    """Runs that last as their FLOPs and tell how far they are half-way; one window fails."""
    clock = SimpleNamespace(now=0.0)

    class Run:
        def __init__(self, run, store, device):
            self.run_of, self.seconds = run, SECONDS_PER_FLOP * flops_of(run)

        def share(self, prefixes):
            pass

        def run(self, report):
            if self.run_of.configuration.window_s == 12:
                raise DatasetError("one.wav: gone")
            half = self.seconds / 2
            clock.now += half
            report(Progress("transcribing", 5, 10, elapsed_s=half, left_s=half))
            clock.now += half
            metric = Metric(name="wer", value=0.1, method="made up")
            return SimpleNamespace(key="k", metric=metric)

    monkeypatch.setattr(runner, "_evaluation", Run)
    monkeypatch.setattr(Sweep, "_shared", lambda self: None)
    monkeypatch.setattr(runner.time, "perf_counter", lambda: clock.now)
    return clock


def sweep_of(store, **changes):
    fields = {"models": ("tiny.en", "base"), "axes": {"window_s": (10, 12, 20)}, **changes}
    return Sweep(SweepSpec(speech=(Speech(dataset="demo"),), timing=False, **fields), store)


def seconds(states):
    return SECONDS_PER_FLOP * sum(flops_of(state.run) for state in states)


def test_it_is_what_is_left_at_the_pace_so_far(store, paced):
    """Catches runs counted alike, a run under way counted twice, and done or failed ones counted.

    Of three to one in cost, a mean over runs would be out by half.
    """
    work, told = sweep_of(store), []
    assert work.progress().left_s is None
    while work.run_next(lambda progress: told.append((paced.now, progress))):
        progress = work.progress()
        waiting = [s for s in progress.states if s.status == "waiting"]
        assert progress.left_s == pytest.approx(seconds(waiting))
    assert progress.left_s == 0
    assert (progress.count("done"), progress.count("failed")) == (6, 2)
    # Half-way through each run: what was really left then, but for runs that were to fail.
    costs = [flops_of(s.run) for s in progress.states]
    assert max(costs) > 3 * min(costs)
    for now, halfway in told:
        failing = [
            s
            for s in halfway.states
            if s.status == "waiting" and s.run.configuration.window_s == 12
        ]
        assert halfway.left_s == pytest.approx(paced.now - now + seconds(failing))


def test_runs_that_are_not_chosen_yet_count_as_the_mean_of_those_that_are(store, paced):
    """Catches an adaptive sweep that says it is nearly done behind each run."""
    work = sweep_of(store, design="adaptive", runs=4, axes={"window_s": (10, 15, 20)})
    for done in (1, 2):
        assert work.run_next()
        progress = work.progress()
        assert (len(progress.states), progress.total) == (done, 4)
        assert progress.left_s == pytest.approx((4 - done) * seconds(progress.states) / done)
