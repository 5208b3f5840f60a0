"""Emotion recognition end to end: speakers not heard, resumed, counted, kept and run again."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
soundfile = pytest.importorskip("soundfile")

from measurements import counting  # noqa: E402
from measurements.counting import FlopCountError, check_recogniser  # noqa: E402
from measurements.datasets import DatasetError, open_dataset  # noqa: E402
from measurements.evaluation import evaluation_of, readout_training  # noqa: E402
from measurements.evaluation.readout_training import (  # noqa: E402
    speaker_folds,
    train_attentive,
    train_linear,
)
from measurements.store import Store  # noqa: E402
from models_registry import Configuration, PathSource, load  # noqa: E402
from models_registry.loading.encoders import EmotionEncoder, Tokens  # noqa: E402
from planner.cost import pass_flops  # noqa: E402
from tests.conftest import needs_weights  # noqa: E402
from tests.nano import save_checkpoint  # noqa: E402

PITCH_HZ = {"low": 200.0, "high": 1600.0}


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture
def checkpoint(nano_models, tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(tmp_path / "cache"))
    # One penalty instead of a search, for the sake of time.
    monkeypatch.setattr(readout_training, "STRENGTHS", (0.1,))
    return PathSource(save_checkpoint("nano-whisper", tmp_path / "checkpoint"))


def tones(folder, *, clips=8, speakers="xyz", shuffled=False):
    """Emotion is pitch; each speaker has a loudness and a detuning of their own."""
    rng = np.random.default_rng(0)
    rows, labels = [], []
    folder.mkdir(parents=True, exist_ok=True)
    for speaker in speakers:
        detuned, loud = rng.uniform(0.9, 1.1), rng.uniform(0.1, 0.5)
        for index in range(clips):
            label = list(PITCH_HZ)[index % 2]
            seconds = np.arange(int(rng.uniform(0.5, 0.9) * 16_000)) / 16_000
            phase = 2 * math.pi * PITCH_HZ[label] * detuned * seconds
            sound = loud * np.sin(phase) + rng.normal(0, 0.02, len(seconds))
            soundfile.write(folder / f"{speaker}{index}.wav", sound, 16_000)
            rows.append((f"{speaker}{index}.wav", speaker))
            labels.append(label)
    if shuffled:
        labels = rng.permutation(labels)
    lines = [f"{file},{label},{who}" for (file, who), label in zip(rows, labels, strict=True)]
    (folder / "manifest.csv").write_text("\n".join(["audio,label,speaker", *lines]) + "\n")
    return open_dataset(f"manifest:{folder / 'manifest.csv'}")


def configuration(**options):
    return Configuration(task="ser", model="nano-whisper", **{"window_s": 1.0, **options})


@pytest.mark.parametrize("readout", ["linear", "attentive"])
def test_pitch_is_found_in_speakers_not_heard_and_noise_is_not(
    readout, store, checkpoint, tmp_path
):
    chosen = configuration(exit_layer=2, readout=readout)
    speech = tones(tmp_path / "tones")
    measured = evaluation_of(chosen, speech, store, weights=checkpoint).run()
    assert measured.metric.value > 0.9
    assert measured.study == "ser-tones"
    shuffled = tones(tmp_path / "noise", clips=20, shuffled=True)
    chance = evaluation_of(chosen, shuffled, store, weights=checkpoint).run()
    assert 0.25 < chance.metric.value < 0.75


def test_no_read_out_hears_the_speakers_that_it_is_tested_on(
    store, checkpoint, tmp_path, monkeypatch
):
    from measurements.evaluation import emotion

    heard = []

    def spy(means, labels, speakers, classes):
        heard.append(set(speakers))
        return train_linear(means, labels, speakers, classes)

    monkeypatch.setattr(emotion, "train_linear", spy)
    speech = tones(tmp_path / "tones", speakers="abcdefghij")
    evaluation = evaluation_of(configuration(), speech, store, weights=checkpoint)
    evaluation.run()
    assert len(evaluation.batches) == 8
    everyone = set("abcdefghij")
    for batch, trained_on in zip(evaluation.batches, heard, strict=False):
        assert {u.speaker for u in batch} == everyone - trained_on
    # The last one is what is kept for use.
    assert heard[8:] == [everyone]
    tested = sorted(u.id for batch in evaluation.batches for u in batch)
    assert tested == sorted(u.id for u in speech.utterances)


def test_a_run_that_stops_goes_on_and_says_all_about_itself(store, checkpoint, tmp_path):
    chosen = configuration(exit_layer=1, token_stride=2, reduction_layer=0)
    speech = tones(tmp_path / "tones")
    first = evaluation_of(chosen, speech, store, weights=checkpoint)
    assert [len(batch) for batch in first.batches] == [8, 8, 8]
    assert first.run_batch(0) == 8
    assert first.run_batch(0) == 0

    reports = []
    second = evaluation_of(
        chosen, speech, store, weights=checkpoint, command="speechplan measure x"
    )
    measured = second.run(reports.append)
    assert [report.done for report in reports] == [8, 16, 24, 24, 24]
    other = Store.open(f"sqlite:///{tmp_path / 'other.db'}")
    straight = evaluation_of(chosen, speech, other, weights=checkpoint).run()
    other.close()
    assert (straight.key, straight.metric) == (measured.key, measured.metric)
    assert straight.utterance_errors == measured.utterance_errors

    assert measured.metric.name == "ua"
    assert measured.metric.lower <= measured.metric.value <= measured.metric.upper
    assert measured.dataset.utterances == len(measured.utterance_errors) == 24
    assert [u.speaker for u in speech.utterances] == list(measured.speakers)
    assert [u.reference for u in speech.utterances] == list(measured.labels)
    assert measured.flops_counted == pass_flops(chosen, classes=2).total
    assert set(measured.rtf) == {"features", "encoder", "head", "total"}
    assert measured.provenance == "speechplan measure x"
    assert evaluation_of(chosen, speech, store, weights=checkpoint).run() == measured


def test_exit_layers_share_one_pass_over_the_clips(store, checkpoint, tmp_path, monkeypatch):
    passes = []
    original = EmotionEncoder.encode_layers
    monkeypatch.setattr(
        EmotionEncoder, "encode_layers", lambda self, f: passes.append(1) or original(self, f)
    )
    speech = tones(tmp_path / "tones")
    values = [
        evaluation_of(
            configuration(exit_layer=layer), speech, store, weights=checkpoint
        ).clips.means.clone()
        for layer in (1, 2, 3)
    ]
    assert len(passes) == 2  # 24 clips, 16 at once
    assert not torch.allclose(values[0], values[1])
    # What the pass found at layer 2 is what an encoder that ends there gives.
    evaluation = evaluation_of(configuration(exit_layer=2), speech, store, weights=checkpoint)
    recogniser = evaluation._final()[0]
    from models_registry.loading.audio import to_waveform
    from models_registry.loading.clock import PhaseClock

    waveform = to_waveform(*speech.utterances[5].audio())
    clock = PhaseClock(recogniser.device)
    encoder = recogniser.encoder
    found = encoder.encode(encoder.features([waveform], clock), clock).mean()[0]
    torch.testing.assert_close(found, values[1][5])


def test_what_was_measured_is_loaded_and_classifies(store, checkpoint, tmp_path):
    chosen = configuration(exit_layer=2)
    speech = tones(tmp_path / "tones")
    evaluation_of(chosen, speech, store, weights=checkpoint).run()
    recogniser = load(chosen, weights=checkpoint, device="cpu")
    for utterance in speech.utterances[:4]:
        found = recogniser.classify(*utterance.audio())
        assert next(iter(found)) == utterance.reference
        assert sum(found.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="not finite"):
        recogniser.classify([float("nan")] * 100, 16_000)
    from models_registry import WeightsError

    torch.manual_seed(1)
    other = save_checkpoint("nano-whisper", tmp_path / "other")
    tensors = other / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(WeightsError, match="trained on other weights"):
        load(chosen, weights=PathSource(other), device="cpu")
    # Measured too, each finds its own read-out.
    evaluation_of(chosen, speech, store, weights=PathSource(other), timing=False).run()
    for weights in (checkpoint, PathSource(other)):
        load(chosen, weights=weights, device="cpu")


def test_a_wrong_count_is_noticed(store, checkpoint, tmp_path, monkeypatch):
    speech = tones(tmp_path / "tones")
    recogniser = evaluation_of(configuration(), speech, store, weights=checkpoint)._final()[0]
    clip = np.zeros(8000, dtype=np.float32)
    assert check_recogniser(recogniser, clip) == pass_flops(configuration(), classes=2).total
    recogniser.configuration = configuration(exit_layer=1)
    with pytest.raises(FlopCountError, match="FLOPs by the closed form"):
        counting.check_recogniser(recogniser, clip)


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ("a.wav,sad,\nb.wav,glad,x\n", {}, r"a\.wav: its speaker is not known"),
        ("a.wav,sad,x\nb.wav,glad,x\n", {}, "has 1 speakers, at least 2 are needed"),
        ("a.wav,sad,x\nb.wav,glad,y\n", {"readout": "attentive"}, "at least 3 are needed"),
        ("a.wav,sad,x\nb.wav,sad,y\n", {}, "has one emotion only"),
    ],
)
def test_clips_that_can_t_be_judged(store, checkpoint, tmp_path, rows, options, message):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(1600), 16_000)
    (tmp_path / "clips.csv").write_text(f"audio,label,speaker\n{rows}")
    speech = open_dataset(f"manifest:{tmp_path / 'clips.csv'}")
    with pytest.raises(DatasetError, match=message):
        evaluation_of(configuration(**options), speech, store, weights=checkpoint).run()
    assert not store.measurements()


def test_folds_keep_speakers_together_and_are_balanced():
    speakers = ["a"] * 10 + ["b"] * 6 + ["c"] * 5 + ["d"] * 4 + ["e"] * 3
    folds = speaker_folds(speakers, 3)
    assert sorted(folds.count(fold) for fold in range(3)) == [9, 9, 10]
    assert len(set(zip(speakers, folds, strict=True))) == 5
    assert speaker_folds(speakers[::-1], 3) == folds[::-1]
    assert len(set(speaker_folds(speakers, 8))) == 5


def test_attention_finds_the_token_that_tells():
    """One token in ten carries the class: the plain mean nearly drowns it, attention does not."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 2
    speakers = [str(index % 6) for index in range(240)]
    states = torch.randn(240, 10, 8, generator=generator)
    place = torch.randint(10, (240,), generator=generator)
    states[torch.arange(240), place, 0] += 6.0
    states[torch.arange(240), place, 1] += 2.0 * (2 * labels - 1)
    tokens = Tokens(states, torch.ones(240, 10, dtype=torch.bool))
    train, test = slice(0, 180), slice(180, 240)

    def accuracy(scores):
        return (scores.argmax(dim=1) == labels[test]).double().mean().item()

    part = Tokens(states[train], tokens.heard[train])
    attentive = train_attentive(part, labels[train], speakers[train], 2, seed=0)
    again = train_attentive(part, labels[train], speakers[train], 2, seed=0)
    linear = train_linear(part.mean(), labels[train], speakers[train], 2)
    with torch.inference_mode():
        rest = Tokens(states[test], tokens.heard[test])
        assert torch.equal(attentive(rest), again(rest))
        assert accuracy(attentive(rest)) > 0.9
        assert accuracy(linear.of_mean(rest.mean())) < accuracy(attentive(rest)) - 0.05


@needs_weights
@pytest.mark.real
def test_real_weights_hear_pitch(store, tmp_path, monkeypatch):
    speech = tones(tmp_path / "tones", clips=4)
    chosen = Configuration(task="ser", model="tiny.en", window_s=1, exit_layer=1)
    measured = evaluation_of(chosen, speech, store).run()
    assert measured.metric.value > 0.9
    assert measured.peak_memory_bytes > 50e6
    found = load(chosen).classify(*speech.utterances[1].audio())
    assert next(iter(found)) == "high"
