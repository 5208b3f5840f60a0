"""Plans of what was trained: exported with it, run where nothing was trained."""

import json
import shutil

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

from api.services.planning import PlanningService  # noqa: E402
from measurements.adaptation.run import adapt  # noqa: E402
from models_registry import Configuration, load, read_plan  # noqa: E402
from planner.question import Budget, Question  # noqa: E402
from tests.api.test_cli import ask, run  # noqa: E402
from tests.measurements.test_emotion import checkpoint, tones  # noqa: E402, F401
from tests.measurements.test_emotion_adaptation import SHORT, adapted  # noqa: E402

ASKED = ("--task", "ser", "--gflops", "20", "--study", "ser-emodb-de")


@pytest.fixture
def answered(tmp_path, monkeypatch):
    """Lets the planner recommend a small model, as if its study were another."""
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'own.db'}")
    question = Question(task="ser", study="ser-emodb-de", budget=Budget(gflops_per_utterance=20))
    real = PlanningService(None).recommend(question)

    def answer(configuration, study, provenance):
        ua = real.recommendation.predictions["ua"].model_copy(update={"source": "measured"})
        changed = real.recommendation.model_copy(
            update={
                "configuration": configuration,
                "predictions": {"ua": ua.model_copy(update={"provenance": provenance})},
            }
        )
        found = real.model_copy(
            update={
                "recommendation": changed,
                "study": real.study.model_copy(update={"id": study}),
            }
        )
        monkeypatch.setattr(PlanningService, "recommend", lambda *_: found)

    return answer


def elsewhere(monkeypatch, tmp_path, folder):
    """Another machine, which gets the files of a folder and no cache."""
    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(tmp_path / "other-cache"))
    return shutil.copytree(folder, tmp_path / "shipped")


def test_a_read_out_goes_with_its_plan(checkpoint, answered, tmp_path, monkeypatch):  # noqa: F811
    """Measured, exported, and run in another cache: alone, the plan says what trains it."""
    monkeypatch.setattr("models_registry.loading.default_source", lambda model: checkpoint)
    speech = tones(tmp_path / "tones")
    dataset, audio = f"manifest:{tmp_path / 'tones' / 'manifest.csv'}", speech.utterances[0].path
    model = ("--task", "ser", "--model", "nano-whisper", "--window-s", "1")
    measured = ask("measure", *model, "--dataset", dataset, "--no-timing")
    chosen = Configuration.model_validate(measured["configuration"])
    answered(chosen, measured["study"], measured["provenance"])
    here = ask("classify", *model[2:], str(audio))["probabilities"]

    (tmp_path / "made").mkdir()
    result = run("export", *ASKED, "--output", str(tmp_path / "made" / "ser.yaml"))
    assert "it runs with --plan" in result.stdout, result.output
    names = {file.name for file in (tmp_path / "made").iterdir()}
    assert names == {"ser.yaml", "ser.readout.safetensors"}
    there = elsewhere(monkeypatch, tmp_path, tmp_path / "made")
    assert ask("classify", "--plan", str(there / "ser.yaml"), str(audio))["probabilities"] == here
    assert load(there / "ser.yaml").classify(*speech.utterances[0].audio()) == here[str(audio)]

    for arguments in (("--output", str(tmp_path / "bare.yaml")), ()):
        result = run("export", *ASKED, *arguments)
        assert result.exit_code == 0
        assert "it runs with" not in result.output
        assert measured["provenance"] in result.output
    result = run("classify", "--plan", str(tmp_path / "bare.yaml"), str(audio))
    assert result.exit_code == 1
    assert result.stderr.strip().endswith(f"train it with: {measured['provenance']}")
    (there / "ser.readout.safetensors").unlink()
    result = run("classify", "--plan", str(there / "ser.yaml"), str(audio))
    assert "ser.readout.safetensors: No such file" in result.stderr


def test_an_adapter_goes_with_its_plan(checkpoint, answered, tmp_path, monkeypatch):  # noqa: F811
    """With the read-out that was trained along, and the command where it is not here."""
    monkeypatch.setattr("models_registry.loading.default_source", lambda model: checkpoint)
    speech = tones(tmp_path / "tones")
    answered(adapted(), "ser-emodb-de", "curves")
    bare = run("export", *ASKED, "--json")
    assert "train one with: speechplan adapt --task ser --model nano-whisper" in bare.stderr

    adapt(adapted(), speech, SHORT, weights=checkpoint)
    sound = speech.utterances[0].audio()
    here = load(adapted()).classify(*sound)
    (tmp_path / "made").mkdir()
    printed = ask("export", *ASKED, "--output", str(tmp_path / "made" / "ser.json"))
    assert printed == json.loads((tmp_path / "made" / "ser.json").read_text())
    there = elsewhere(monkeypatch, tmp_path, tmp_path / "made")
    assert read_plan(there / "ser.json").adapter == "ser.adapter"
    assert load(there / "ser.json").classify(*sound) == here
