"""Stopping by the interval: nested, carried on, and the same as a limit from the start."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import itertools

from measurements import sequential
from measurements.datasets import open_dataset
from measurements.evaluation import evaluation_of
from measurements.sequential import run_until, sizes
from measurements.store import Store
from models_registry import Configuration
from tests.conftest import needs_weights

CONFIGURATION = Configuration(model="tiny.en", window_s=20)


def test_sizes_grow_to_all_of_them():
    assert list(sizes(60)) == [60]
    grown = list(sizes(400))
    assert grown[0] == 100
    assert grown[-1] == 400
    assert all(later > earlier for earlier, later in itertools.pairwise(grown))


@pytest.mark.real
@needs_weights
def test_it_stops_early_with_the_measurement_of_that_limit(tmp_path, monkeypatch):
    """Every utterance is transcribed once over all looks, in the order of --limit."""
    monkeypatch.setattr(sequential, "MINIMUM", 4)
    speech = open_dataset("demo")
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    whole = evaluation_of(CONFIGURATION, speech, store, timing=False, seed=3)
    # Wide enough for the second look, which is the first that may stop it.
    found = run_until(whole, 0.5, command=lambda n: f"--limit {n}")
    assert found.dataset.utterances == 5
    assert found.provenance == "--limit 5"
    assert found.dataset.fingerprint == speech.limited(5, 3).fingerprint()
    assert found.key == evaluation_of(CONFIGURATION, speech.limited(5, 3), store).key
    straight = Store.open(f"sqlite:///{tmp_path / 'other.db'}")
    expected = evaluation_of(
        CONFIGURATION, speech.limited(5, 3), straight, timing=False, seed=3
    ).run()
    assert found.errors == expected.errors
    assert found.metric == expected.metric
    assert not found.rtf
    assert not found.timings

    # A narrower one goes on from there: the first looks are found in the store.
    again = evaluation_of(CONFIGURATION, speech, store, timing=False, seed=3)
    transcribed = []
    monkeypatch.setattr(
        type(again), "run_batch", counting(type(again).run_batch, transcribed), raising=True
    )
    more = run_until(again, 0.001, command=lambda n: f"--limit {n}", most=8)
    assert more.dataset.utterances == 8
    assert sum(transcribed) == 3
    store.close()
    straight.close()


def counting(run_batch, counts):
    def counted(self, index):
        counts.append(done := run_batch(self, index))
        return done

    return counted


@pytest.mark.parametrize("halfwidth", [0.0, -1.0, float("inf")])
@needs_weights
def test_half_widths_that_make_no_sense(tmp_path, halfwidth):
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    evaluation = evaluation_of(CONFIGURATION, open_dataset("demo"), store)
    with pytest.raises(ValueError, match="not a positive number"):
        run_until(evaluation, halfwidth, command=str)
    store.close()
