"""What makes two runs one measurement, and the commands that say so."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file

from measurements.adaptation.records import Hyperparameters
from measurements.catalogue import catalogue
from measurements.commands import adapt_command, measure_command
from measurements.datasets import open_dataset
from measurements.devices import former_id
from measurements.evaluation import evaluation_of
from measurements.records import measurement_key
from measurements.sweeps import Speech, SweepSpec
from measurements.sweeps.runner import Sweep
from models_registry import Configuration, PathSource
from tests.measurements.test_emotion import checkpoint, store, tones  # noqa: F401
from tests.nano import save_checkpoint

pytestmark = pytest.mark.usefixtures("nano_models")

EMOTION = {"task": "ser", "model": "nano-whisper", "window_s": 1.0}


CATALOGUE_PROTOCOL = "asr-greedy-3"
"""Of the catalogue's rows, which were scored before typographic characters were made plain; theirs
are plain. Runs of the same speech now have keys of their own and take their place."""


def test_keys_of_the_catalogue_stay():
    """A key that changes is a measurement that is made again, and stored twice."""
    rows = [m for m in catalogue() if m.study == "asr-librispeech-mini-test-other"]
    assert rows
    for m in rows:
        # They were made when a processor was called by its brand and threads.
        parts = (m.configuration, m.dataset.fingerprint, former_id(m.device))
        adapter = m.adapter.key if m.adapter else None
        assert m.key == measurement_key(*parts, CATALOGUE_PROTOCOL, adapter)


def test_other_weights_are_another_measurement(
    store,  # noqa: F811
    checkpoint,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    """Or ``--weights`` answers with what the model's own weights gave."""
    monkeypatch.setattr("measurements.evaluation.base.default_source", lambda model: checkpoint)
    others = [PathSource(save_checkpoint("nano-whisper", tmp_path / n)) for n in ("b", "copy")]
    for other in others:
        file = other.path / "model.safetensors"
        tensors = load_file(file)
        name = next(n for n in tensors if n.endswith("layers.0.fc1.bias"))
        save_file(tensors | {name: tensors[name] + 1}, file, metadata={"format": "pt"})
    emotion = (Configuration(**EMOTION), tones(tmp_path / "tones"))
    words = (Configuration(model="nano-whisper"), open_dataset("demo").limited(2, 0))
    for configuration, speech in (emotion, words):
        keys = [
            evaluation_of(configuration, speech, store, weights=weights).key
            for weights in (None, checkpoint, *others)
        ]
        assert keys[0] == keys[1]
        assert keys[2] == keys[3] != keys[0]


def test_a_seed_is_part_of_what_it_changes(store, checkpoint, tmp_path):  # noqa: F811
    speech = tones(tmp_path / "tones")

    def keys(**options):
        configuration = Configuration(**EMOTION, **options)
        return [
            evaluation_of(configuration, speech, store, weights=checkpoint, seed=seed).key
            for seed in (0, 1, 2)
        ]

    assert len(set(keys(readout="attentive"))) == 3
    assert len(set(keys(adapter="lora", rank=2))) == 3
    assert len(set(keys())) == 1
    unnamed = evaluation_of(
        Configuration(**EMOTION, readout="attentive"), speech, store, weights=checkpoint
    )
    assert unnamed.key == keys(readout="attentive")[0]


def test_commands_name_weights_and_seeds():
    plain = Configuration(model="tiny.en")
    command = measure_command(plain, "demo", seed=3, weights="path:/a b")
    assert command.endswith("--dataset demo --weights 'path:/a b' --seed 3")
    assert "--seed" not in measure_command(plain, "demo", limit=5)
    adapted = Configuration(model="tiny.en", adapter="lora", rank=2)
    command = adapt_command(adapted, "demo", Hyperparameters(), weights="path:/x")
    assert "--dataset demo --weights path:/x --steps" in command


def test_a_sweep_runs_with_the_seed_that_its_commands_name(store, monkeypatch):  # noqa: F811
    """A read-out trained with seed 0 is not what ``--seed 3`` repeats."""
    asked = []

    def refuse(configuration, speech, store, **options):
        asked.append(options)
        raise ValueError("only asked")

    monkeypatch.setattr("measurements.evaluation.evaluation_of", refuse)
    spec = SweepSpec(models=("tiny.en",), speech=(Speech(dataset="demo", seed=3),))
    Sweep(spec, store).run()
    assert {one["seed"] for one in asked} == {3}
    assert all(one["command"].endswith("--dataset demo --seed 3") for one in asked)
