"""Plans: files that run as they stand."""

import hashlib
import json

import pytest

from api.services.planning import PlanningService, plan_of
from models_registry import Configuration, Plan, PlanError, read_plan, write_plan
from models_registry.weights import PathSource, pinned
from planner.question import Budget, Question

CONFIGURATION = Configuration(model="base", window_s=12.5, token_stride=1.5, reduction_layer=3)


@pytest.mark.parametrize("name", ["plan.yaml", "plan.json"])
def test_a_plan_comes_back_as_it_was(tmp_path, name):
    promise = {"mean": 0.1, "lower": 0.08, "upper": 0.12, "level": 0.9, "unit": "fraction"}
    promise |= {"source": "predicted", "provenance": "curves"}
    plan = Plan(
        configuration=CONFIGURATION,
        weights="path:/weights",
        language="de",
        expected={"wer": promise},
        question={"budget": {"rtf": 0.1}},
    )
    write_plan(plan, tmp_path / name)
    assert read_plan(tmp_path / name) == plan
    assert plan.options()["language"] == "de"
    assert isinstance(plan.options()["weights"], PathSource)


def test_an_answer_and_a_configuration_are_plans_too(tmp_path):
    file = tmp_path / "answer.json"
    document = CONFIGURATION.model_dump(mode="json")
    for content in (
        {"recommendation": {"configuration": document, "reasons": []}, "study": {}},
        {"configuration": document},
        document,
    ):
        file.write_text(json.dumps(content))
        assert read_plan(file).configuration == CONFIGURATION


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "neither YAML nor JSON"),
        (b"a: [", "neither YAML nor JSON"),
        (b"- 1", "holds no configuration"),
        (b"{}", "configuration.model"),
        (b"model: base\nwindow_s: 31", "30 s"),
        (b"format: speechplan-plan/9\nconfiguration: {model: base}", "format"),
    ],
)
def test_other_files_say_what_is_wrong(tmp_path, content, said):
    file = tmp_path / "plan.yaml"
    file.write_bytes(content)
    with pytest.raises(PlanError, match=said):
        read_plan(file)
    with pytest.raises(PlanError, match="No such file"):
        read_plan(tmp_path / "none.yaml")


SHA256 = "a" * 64


def test_a_plan_pins_its_weights(tmp_path):
    """Catches a checksum that a plan holds and nobody looks at."""
    pinned = {"weights": "hub:me/mine@abc", "weights_sha256": {"model.safetensors": SHA256}}
    plan = Plan(configuration=CONFIGURATION, **pinned)
    write_plan(plan, tmp_path / "plan.yaml")
    source = read_plan(tmp_path / "plan.yaml").options()["weights"]
    assert (str(source), source.sha256) == ("hub:me/mine@abc", {"model.safetensors": SHA256})
    for wrong in (
        {"weights": "wheel"},
        {"weights": None},
        {"weights_sha256": {"../model.safetensors": SHA256}},
        {"weights_sha256": {"model.safetensors": "abc"}},
    ):
        with pytest.raises(ValueError, match="weights_sha256"):
            Plan(configuration=CONFIGURATION, **{**pinned, **wrong})


def test_weights_are_pinned_as_the_hub_s_cache_has_them(tmp_path, monkeypatch):
    """The commit behind the branch; a large file's checksum is its blob's name, others are made."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert pinned("large-v3") is None
    repo = tmp_path / "models--openai--whisper-large-v3"
    snapshot = repo / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("c" * 40)
    (snapshot / "config.json").write_text("{}")
    (repo / "blobs").mkdir()
    (repo / "blobs" / SHA256).write_bytes(b"large")
    (snapshot / "model-00001-of-00002.safetensors").symlink_to(repo / "blobs" / SHA256)
    (snapshot / "model-00002-of-00002.safetensors").write_bytes(b"")
    source = pinned("large-v3")
    assert str(source) == f"hub:openai/whisper-large-v3@{'c' * 40}"
    assert list(source.sha256.values()) == [SHA256, hashlib.sha256(b"").hexdigest()]
    question = Question(models=("large-v3",), budget=Budget(memory_gib=20))
    plan = plan_of(PlanningService(None).recommend(question), question)
    assert (plan.weights, plan.weights_sha256) == (str(source), dict(source.sha256))
