"""Plans: files that run as they stand."""

import json

import pytest

from models_registry import Configuration, Plan, PlanError, read_plan, write_plan
from models_registry.weights import PathSource

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
