"""Training: deterministic, resumable after a kill, stopped early, recorded."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from api.cli.main import app  # noqa: E402
from measurements.adaptation.examples import Example, split_by_speaker  # noqa: E402
from measurements.adaptation.records import Hyperparameters, adapter_key, read_record  # noqa: E402
from measurements.adaptation.run import adapt  # noqa: E402
from measurements.adaptation.speech import SpeechLesson  # noqa: E402
from measurements.adaptation.trainer import Trainer, TrainingError  # noqa: E402
from measurements.datasets import DatasetError, open_dataset  # noqa: E402
from measurements.records import measurement_key  # noqa: E402
from models_registry import MODELS, Configuration, PathSource, load  # noqa: E402
from models_registry.adapters import adapters_dir, find_adapter  # noqa: E402
from models_registry.plans import Plan, write_plan  # noqa: E402
from planner.cost.training import trainable_parameters  # noqa: E402
from tests import pico_whisper  # noqa: E402
from tests.conftest import needs_weights  # noqa: E402

STEPS = Hyperparameters(
    steps=12, batch_size=3, evaluate_every=4, learning_rate=0.01, held_out_share=0.2
)
LORA = {"model": "whisper-pico", "adapter": "lora", "rank": 4, "window_s": 1.2}
DAMA = {**LORA, "adapter": "dama", "unfrozen_layers": 1, "token_stride": 2, "reduction_layer": 3}
FULL = {"model": "whisper-pico", "adapter": "full", "window_s": 1.2}


@pytest.fixture
def pico(monkeypatch, tmp_path):
    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(MODELS, "_aliases", dict(MODELS._aliases))
    MODELS.add("whisper-pico", pico_whisper.architecture())
    pico_whisper.save_checkpoint(tmp_path / "checkpoint")
    pico_whisper.save_speech(tmp_path / "speech")
    return tmp_path


def train(folder, options=LORA, hyperparameters=STEPS, **more):
    speech = open_dataset(f"manifest:{folder / 'speech' / 'speech.csv'}")
    weights = PathSource(folder / "checkpoint")
    configuration = Configuration(**options)
    return adapt(configuration, speech, hyperparameters, device="cpu", weights=weights, **more)


def trained_files(record):
    folder = adapters_dir() / record.key
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


KILLED = """
import os, signal, sys
from pathlib import Path
from models_registry import MODELS
from tests import pico_whisper
from tests.measurements.test_adaptation import DAMA, train
MODELS.add("whisper-pico", pico_whisper.architecture())
def kill(progress):
    if progress.phase == "training" and progress.done == 7:
        os.kill(os.getpid(), signal.SIGKILL)
train(Path(sys.argv[1]), DAMA, checkpoint_every=3, on_progress=kill)
"""


def test_a_killed_training_ends_like_one_that_was_not(pico, monkeypatch):
    """SIGKILL at step 7, a checkpoint at 6: the same bytes as straight through, twice."""
    root = Path(__file__).parents[2]
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(pico)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert not list(adapters_dir().glob("*/training.json"))
    seen = []
    resumed = train(pico, DAMA, on_progress=lambda p: seen.append((p.phase, p.done)))
    assert next(done for phase, done in seen if phase == "training") == 6
    files = trained_files(resumed)
    assert set(files) == {"adapter_model.safetensors", "trained_weights.safetensors"}

    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(pico / "other"))
    straight = train(pico, DAMA)
    assert trained_files(straight) == files
    same = ("key", "losses", "best_step", "training_flops", "held_out_flops", "data")
    assert all(getattr(straight, name) == getattr(resumed, name) for name in same)
    assert train(pico, DAMA) == straight  # finished: nothing runs again


def test_a_training_says_all_about_itself(pico):
    record = train(pico, command="speechplan adapt ...")
    assert record == read_record(adapters_dir() / record.key)
    assert record.data.utterances + record.data.held_out_utterances == 9
    assert record.data.held_out_speakers
    assert record.losses[0].step == 0
    assert record.losses[-1].held_out < record.losses[0].held_out or record.best_step == 0
    assert record.training_flops > record.held_out_flops > 0
    assert record.training_s > 0
    found = find_adapter(Configuration(**LORA, precision="bf16"))
    assert found.key == record.key
    other = train(pico, hyperparameters=STEPS.model_copy(update={"seed": 1}))
    assert other.key != record.key
    assert trained_files(other) != trained_files(record)
    keys = {measurement_key(Configuration(**LORA), "f", "cpu", "p", a.key) for a in (record, other)}
    assert len(keys | {measurement_key(Configuration(**LORA), "f", "cpu", "p")}) == 3


@pytest.mark.parametrize("options", [LORA, DAMA, FULL], ids=lambda options: options["adapter"])
def test_what_is_trained_is_what_was_counted_before(pico, options):
    """Catches a loaded model whose encoder positions are trained as if they were weights."""
    record = train(pico, options, STEPS.model_copy(update={"steps": 1, "learning_rate": 1e-4}))
    assert record.trainable_parameters == trainable_parameters(record.configuration)


def test_audio_longer_than_the_window_is_left_out_of_supervised_training(pico):
    record = train(pico, {**LORA, "window_s": 0.8})
    assert 0 < record.data.left_out_utterances < 9
    with pytest.raises(DatasetError, match=r"no utterance with a usable target within 0.1 s"):
        train(pico, {**LORA, "window_s": 0.1})


def test_adapt_measure_and_adapters_on_the_command_line(pico, monkeypatch):
    speech = pico / "speech" / "speech.csv"
    words = ["adapt", "--model", "whisper-pico", "--rank", "4", "--window-s", "1.2"]
    words += ["--dataset", f"manifest:{speech}", "--weights", f"path:{pico / 'checkpoint'}"]
    words += ["--steps", "2", "--batch-size", "2", "--device", "cpu"]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert "--steps 2 --lr 0.001 --batch-size 2" in record["command"]
    weights = f"--weights path:{pico / 'checkpoint'}"
    assert weights in record["command"]
    listed = json.loads(CliRunner().invoke(app, ["adapters", "--json"]).stdout)
    assert [found["key"] for found in listed["adapters"]] == [record["key"]]

    # What measures it runs with it, and says so.
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{pico / 'store.db'}")
    measured = CliRunner().invoke(app, ["measure", *words[1:-6], "--adapter", "lora", "--json"])
    assert measured.exit_code == 0, measured.stderr
    document = json.loads(measured.stdout)
    assert document["adapter"]["key"] == record["key"]
    assert document["adapter"]["command"] == record["command"]
    assert document["adapter"]["trainable_parameters"] == record["trainable_parameters"]
    assert "--adapter lora --rank 4" in document["provenance"]
    assert weights in document["provenance"]
    shown = CliRunner().invoke(app, ["adapters"])
    assert f"{record['key'][:16]}  whisper-pico, window 1.2 s, lora rank 4" in shown.stdout

    # A plan names it, or brings it along to a machine that has not trained it.
    plan = Plan(
        configuration=document["configuration"],
        weights=f"path:{pico / 'checkpoint'}",
        adapter=record["key"],
    )
    write_plan(plan, pico / "plan.yaml")
    found = find_adapter(plan.configuration, record["key"]).folder
    with_files = pico / "with_files"
    shutil.copytree(found, with_files / "tuned")
    brought = plan.model_copy(update={"adapter": "tuned"})
    write_plan(brought, with_files / "plan.yaml")
    recording = sorted((pico / "speech").glob("*.wav"))[0]
    said = [
        CliRunner().invoke(app, ["transcribe", "--plan", str(file), str(recording), "--json"])
        for file in (pico / "plan.yaml", with_files / "plan.yaml")
    ]
    assert [one.exit_code for one in said] == [0, 0], said[0].stderr
    assert said[0].stdout == said[1].stdout
    shutil.rmtree(found)
    asked = ["transcribe", "--plan", str(pico / "plan.yaml"), str(recording)]
    assert "adapter" in CliRunner().invoke(app, asked).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["adapt", "--model", "tiny", "--dataset", "demo"], "needs a rank"),
        (
            ["adapt", "--model", "tiny", "--dataset", "demo", "--adapter", "none"],
            "choose lora, dama",
        ),
        (["measure", "--model", "tiny", "--adapter", "lora", "--rank", "3"], "speechplan adapt"),
        (["measure", "--model", "tiny", "--adapter-key", "abcdefgh"], "names no adapter"),
    ],
)
def test_bad_requests_say_what_is_wrong(words, said):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


class Regression:
    """A lesson without speech: a line through noisy points, noise drawn from torch."""

    held_out = (None,)

    def __init__(self, slope, worse_after=None):
        self.slope, self.worse_after, self.evaluated = slope, worse_after, 0

    def batch(self, step):
        return torch.full((4,), float(step + 1))

    def loss(self, batch):
        if batch is None:
            self.evaluated += 1
            worse = self.worse_after is not None and self.evaluated > self.worse_after
            return (self.slope - 0.5).square() + 9 * worse, 1
        noise = torch.rand(4)
        return (batch * self.slope - batch * noise).square().sum(), 4

    def flops(self, batch):
        return 2, 3


def trainer(folder, every=4, worse_after=None, **options):
    torch.manual_seed(0)
    slope = torch.nn.Parameter(torch.zeros(()))
    h = Hyperparameters(steps=20, evaluate_every=2, learning_rate=0.1, **options)
    lesson = Regression(slope, worse_after)
    path = folder / "c.safetensors"
    return slope, Trainer({"slope": slope}, lesson, h, path, checkpoint_every=every)


def test_random_numbers_and_the_optimiser_survive_a_stop(tmp_path):
    straight, whole = trainer(tmp_path / "whole", patience=20)
    whole.run()

    def stop(state):
        if state.step == 11:
            raise KeyboardInterrupt

    _, first = trainer(tmp_path / "parts", patience=20)
    with pytest.raises(KeyboardInterrupt):
        first.run(stop)
    torch.rand(7)
    resumed, second = trainer(tmp_path / "parts", patience=20)
    assert second.state.step == 8
    state = second.run()
    assert torch.equal(straight, resumed)
    assert state.points == whole.state.points
    assert state.training_flops == 20 * 5


def test_training_stops_when_patience_ends_and_keeps_the_best(tmp_path):
    slope, early = trainer(tmp_path, worse_after=3, patience=2)
    kept = []
    state = early.run(lambda s: kept.append((s.step, slope.item())))
    assert (state.step, state.best_step) == (8, 4)
    assert slope.item() == dict(kept)[4]


def test_a_loss_that_is_no_number_ends_in_words(tmp_path):
    slope, broken = trainer(tmp_path)
    with torch.no_grad():
        slope.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"loss nan at step 1: try a learning rate below 0.1"):
        broken.run()


def test_no_held_out_speaker_is_trained_on():
    speech = open_dataset("demo")
    for seed in range(3):
        training, held_out = split_by_speaker(speech, 0.2, seed)
        assert {u.speaker for u in training}.isdisjoint(u.speaker for u in held_out)
        assert len(training) + len(held_out) == len(speech.utterances)
        assert (training, held_out) == split_by_speaker(speech, 0.2, seed)
    one = replace(speech, utterances=speech.utterances[:1])
    with pytest.raises(DatasetError, match="two speakers"):
        split_by_speaker(one, 0.2, 0)


def test_speakers_that_are_told_later_are_held_out(pico):
    """The same key answered with an adapter that was held against speakers it had heard."""
    manifest = pico / "speech" / "speech.csv"
    told = manifest.read_text()
    manifest.write_text("".join(f"{line.rsplit(',', 1)[0]}\n" for line in told.splitlines()))
    before = train(pico)
    assert before.data.held_out_speakers == ("",)
    manifest.write_text(told)
    after = train(pico)
    assert after.key != before.key
    assert after.data.held_out_speakers and "" not in after.data.held_out_speakers
    assert train(pico) == after
    speech = open_dataset(f"manifest:{manifest}")
    assert after.data.fingerprint == before.data.fingerprint == speech.fingerprint()


def test_keys_of_english_adapters_stay_and_others_are_of_their_own(pico):
    def key(**said):
        return adapter_key(Configuration(**LORA), "weights", "data", STEPS, "p", **said)

    assert key() == key(language="en") == key(language=None)
    assert len({key(), key(language="de"), key(speakers={"a": "x"})}) == 3


def test_an_english_model_is_not_trained_on_german(pico):
    german = open_dataset(f"manifest:{pico / 'speech' / 'speech.csv'}", language="de")
    adapted = Configuration(**{**LORA, "model": "tiny.en"})
    with pytest.raises(DatasetError, match="English only"):
        adapt(adapted, german, STEPS, device="cpu")


def test_tight_windows_fit_the_speech_and_repeat(pico):
    speech = open_dataset(f"manifest:{pico / 'speech' / 'speech.csv'}").utterances
    examples = [
        Example(u, 0, int(seconds * 16_000), (7, 0))
        for u, seconds in zip(speech, np.linspace(0.5, 3, 9), strict=True)
    ]

    def lesson(recipe, window_s=30.0):
        chosen = Configuration(
            model="whisper-pico", adapter="lora", rank=4, recipe=recipe, window_s=window_s
        )
        return SpeechLesson(None, chosen, (1, 4), examples, examples, STEPS)

    tight = lesson("self-distilled")
    for step in range(9):
        batch = tight.batch(step)
        longest_s = max(e.duration_s for e in batch.examples)
        assert longest_s <= batch.frames / 50 <= longest_s + 0.6 + 1e-9
        assert batch == lesson("self-distilled").batch(step)
    epoch = [e.id for step in range(3) for e in tight.batch(step).examples]
    assert sorted(epoch) == sorted(e.id for e in examples)
    assert tight.batch(0) != tight.batch(3)
    assert {b.frames for b in lesson("self-distilled", 3.0).held_out} <= set(range(151))
    assert lesson("supervised", 5.0).batch(0).frames == 250


@pytest.mark.real
@needs_weights
def test_a_few_steps_teach_tiny_en_to_do_without_silence(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(tmp_path))
    configuration = Configuration(
        model="tiny.en", adapter="lora", rank=4, recipe="self-distilled", window_s=10
    )
    speech = open_dataset("demo").limited(8)
    hyperparameters = Hyperparameters(steps=6, batch_size=2, evaluate_every=6, held_out_share=0.3)
    record = adapt(configuration, speech, hyperparameters, device="cpu")
    first, last = record.losses
    assert record.best_step == 6
    assert last.held_out < 0.9 * first.held_out
    adapted = load(configuration, device="cpu")
    assert adapted.transcribe(*speech.utterances[0].audio())

    # What the teacher said is there for another rank, which begins where this one did.
    scores = SpeechLesson._scores
    asked = []

    def spy(lesson, model, *rest):
        asked.append(model is lesson._teacher)
        return scores(lesson, model, *rest)

    monkeypatch.setattr(SpeechLesson, "_scores", spy)
    smaller = configuration.model_copy(update={"rank": 2})
    again = adapt(smaller, speech, hyperparameters.model_copy(update={"steps": 1}), device="cpu")
    assert asked
    assert not any(asked)
    assert again.losses[0].held_out == pytest.approx(first.held_out, rel=1e-4)
