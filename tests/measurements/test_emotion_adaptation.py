"""Adapters for emotion recognition: trained by fold, counted exactly, kept and run again."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from measurements.adaptation import emotion as lessons  # noqa: E402
from measurements.adaptation.lesson import Request  # noqa: E402
from measurements.adaptation.records import Hyperparameters  # noqa: E402
from measurements.adaptation.run import adapt  # noqa: E402
from measurements.evaluation import emotion, evaluation_of  # noqa: E402
from measurements.sweeps import Speech, SweepSpec  # noqa: E402
from measurements.sweeps.runner import Sweep  # noqa: E402
from models_registry import Configuration, load  # noqa: E402
from models_registry.adapters import adapters, weights_sha256  # noqa: E402
from planner.cost.training import encoder_step_flops  # noqa: E402
from tests.measurements.test_emotion import checkpoint, store, tones  # noqa: E402, F401
from tests.nano import save_checkpoint  # noqa: E402

SHORT = Hyperparameters(steps=6, batch_size=4, evaluate_every=3, held_out_share=0.2)


def adapted(model="nano-whisper", **options):
    chosen = {"window_s": 1.0, "adapter": "lora", "rank": 2, **options}
    return Configuration(task="ser", model=model, **chosen)


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("nano-whisper", {}),
        ("nano-whisper", {"exit_layer": 2, "token_stride": 2, "reduction_layer": 1}),
        ("nano-whisper", {"adapter": "partial", "rank": None, "unfrozen_layers": 1}),
        ("nano-wav2vec2", {"unfrozen_layers": 1}),
        ("nano-robust", {"adapter": "dama", "rank": 4}),
        ("nano-hubert", {"exit_layer": 2}),
    ],
)
def test_a_training_step_costs_what_the_closed_form_says(nano_models, tmp_path, model, options):
    configuration = adapted(model, **options)
    base = save_checkpoint(model, tmp_path / model)
    speech = tones(tmp_path / "tones", clips=4)
    request = Request(
        configuration, speech, "", SHORT, torch.device("cpu"), None, base, weights_sha256(base)
    )
    prepared = lessons.prepare(request, lambda _: None)
    lesson = prepared.lesson
    lesson._encoder.model.set_attn_implementation("eager")
    batch = lesson.batch(0)
    lesson.loss(batch)  # features are made once, and are not the model's
    with FlopCounterMode(display=False) as forward:
        loss, count = lesson.loss(batch)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    counted = encoder_step_flops(configuration, rows=count, classes=2)
    assert forward.get_total_flops() == counted.forward
    assert backward.get_total_flops() == counted.backward
    assert lesson.flops(batch) == (counted.forward, counted.backward)


def test_every_fold_has_an_adapter_of_its_own_and_the_last_one_is_kept(
    store,  # noqa: F811
    checkpoint,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.setattr(emotion, "HYPERPARAMETERS", SHORT)
    trained_on = []

    def spy(configuration, dataset, *arguments, **options):
        trained_on.append({utterance.speaker for utterance in dataset.utterances})
        return adapt(configuration, dataset, *arguments, **options)

    monkeypatch.setattr("measurements.adaptation.run.adapt", spy)
    speech = tones(tmp_path / "tones", speakers="wxyz")
    options = {"weights": checkpoint, "timing": False, "command": "speechplan measure x"}
    evaluation = evaluation_of(adapted(), speech, store, **options)
    measurement = evaluation.run()
    everyone = set("wxyz")
    assert [everyone - heard for heard in trained_on[:-1]] == [
        {u.speaker for u in batch} for batch in evaluation.batches
    ]
    assert trained_on[-1] == everyone
    assert measurement.metric.value > 0.75
    assert measurement.adapter.training_flops > 0
    assert measurement.adapter.command is None
    (kept,) = adapters()
    assert kept.key == measurement.adapter.key
    recogniser = load(adapted(), weights=checkpoint)
    ranked = recogniser.classify(*speech.utterances[0].audio())
    assert sum(ranked.values()) == pytest.approx(1)
    plain = evaluation_of(
        Configuration(task="ser", model="nano-whisper", window_s=1), speech, store
    )
    assert plain.key != evaluation.key


def test_a_sweep_trains_the_adapters_of_emotion_and_says_which_of_speech_is_missing(
    store,  # noqa: F811
    checkpoint,  # noqa: F811
    tmp_path,
    monkeypatch,
):
    monkeypatch.setattr(emotion, "HYPERPARAMETERS", SHORT)
    monkeypatch.setattr("models_registry.loading.default_source", lambda model: checkpoint)
    monkeypatch.setattr("measurements.adaptation.run.default_source", lambda model: checkpoint)
    tones(tmp_path / "tones")
    speech = Speech(dataset=f"manifest:{tmp_path / 'tones' / 'manifest.csv'}")
    transcripts = (Speech(dataset="demo", limit=1),)
    centre = {"window_s": 1.0, "adapter": "lora", "rank": 2}
    shared = {"models": ("nano-whisper",), "speech": (speech,), "timing": False}
    spec = SweepSpec(task="ser", centre=centre, **shared)
    (state,) = Sweep(spec, store).run().states
    assert (state.status, state.metric.name) == ("done", "ua")

    (state,) = (
        Sweep(SweepSpec(centre=centre, **shared | {"speech": transcripts}), store).run().states
    )
    assert (state.status, state.tries, state.failure.kind) == ("failed", 1, "unsupported")
    assert (
        "train one with: speechplan adapt --task asr --model nano-whisper" in state.failure.reason
    )


def test_training_moves_the_encoder_and_repeats(checkpoint, tmp_path):  # noqa: F811
    speech = tones(tmp_path / "tones")
    records = [
        adapt(adapted(), speech, SHORT, weights=checkpoint, root=tmp_path / name)
        for name in ("one", "two")
    ]
    assert records[0].key == records[1].key
    assert records[0].losses == records[1].losses
    first, last = records[0].losses[0], records[0].losses[-1]
    assert last.held_out < first.held_out
    files = [tmp_path / n / records[0].key / "adapter_model.safetensors" for n in ("one", "two")]
    assert files[0].read_bytes() == files[1].read_bytes()
