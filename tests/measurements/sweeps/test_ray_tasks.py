"""What runs in Ray's processes, run here."""

from types import SimpleNamespace

import pytest

from measurements.progress import Progress
from measurements.store import Store
from measurements.sweeps import Speech, SweepSpec, runner
from measurements.sweeps.ray_tasks import Board, work_off
from measurements.sweeps.runner import Sweep

SPEC = SweepSpec(
    models=("tiny.en",), speech=(Speech(dataset="demo"),), axes={"window_s": (10, 15)}, timing=False
)


@pytest.fixture
def work(tmp_path, monkeypatch):
    class Run:
        def __init__(self, run, store, device):
            self.name = f"{run.configuration.window_s} on {device}"

        def share(self, prefixes):
            pass

        def run(self, report):
            report(Progress("transcribing", 3, 20, value=0.25))
            return SimpleNamespace(key=self.name, metric=None)

    monkeypatch.setattr(runner, "_evaluation", Run)
    monkeypatch.setattr(Sweep, "_shared", lambda self: None)
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield Sweep(SPEC, store)
    store.close()


def test_a_task_does_one_run_after_the_other_until_its_turn_is_over(work):
    """Catches tasks that keep a GPU from others for ever, or do nothing at all."""
    board = Board()
    assert work_off(work.id, work.store.url, "cuda", board.tell, turn_s=0) == 1
    assert work.progress().count("done") == 1
    assert work_off(work.id, work.store.url, "cuda", board.tell) == 2
    assert {s.measurement for s in work.states()} == {f"{w}.0 on cuda" for w in (10, 15, 30)}
    assert work_off(work.id, work.store.url, "cuda", board.tell) == 0
    assert not work.store.claims()


def test_the_board_says_how_far_each_run_is(work):
    """Catches progress that a local sweep would show and this one does not."""
    board = Board()
    work_off(work.id, work.store.url, "cpu", board.tell)
    now = {run: Progress(**fields) for run, fields in board.read().items()}
    assert set(now) == {state.run.key for state in work.states()}
    assert set(now.values()) == {Progress("transcribing", 3, 20, value=0.25)}
