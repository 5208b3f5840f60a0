"""Candidates of a task and a study: some, or a typed error that says why there are none."""

import pytest

from models_registry import MODELS, Configuration
from planner.errors import InsufficientDataError, NoFeasibleConfigurationError
from planner.evidence import Evidence, Observation
from planner.question import Budget, FrontQuestion, Question
from planner.recommend import Planner
from planner.space import candidates


def evidence(task, *models, language="en"):
    observations = tuple(
        Observation(str(n), "world", Configuration(task=task, model=m), 0.1, 0.01, "measured", "")
        for n, m in enumerate(models)
    )
    return Evidence(task=task, study="world", observations=observations, language=language)


CHOICES = (
    None,
    ("tiny",),
    ("hubert-base",),
    ("tiny", "hubert-base"),
    ("wavlm-base-plus", "HuBERT-base"),
)


@pytest.mark.parametrize("known", [("asr",), ("asr", "tiny"), ("ser",), ("ser", "tiny")])
@pytest.mark.parametrize("models", CHOICES)
@pytest.mark.parametrize("batch", [1, 8])
def test_there_are_candidates_or_it_is_said_why_not(known, models, batch):
    """Would catch an empty lattice, over which nothing can be searched."""
    task, *observed = known
    try:
        found = candidates(evidence(task, *observed), models, batch)
    except NoFeasibleConfigurationError as error:
        assert not any(task in MODELS.get(name).tasks for name in models)
        assert f"can't do {task}" in str(error)
    except InsufficientDataError as error:
        assert task == "ser" and not {"tiny"} & set(models or ()) & set(observed)
        assert "study world has no measurement of" in str(error)
    else:
        assert len(found)
        assert {task in MODELS.get(name).tasks for name in found.labels["model"].names} == {True}


def test_models_that_can_and_those_to_measure_are_named():
    budget = Budget(gflops_per_utterance=20)
    with pytest.raises(NoFeasibleConfigurationError, match="hubert-base can't do asr") as none_can:
        planner = Planner(evidence("asr", "tiny"))
        planner.recommend(Question(budget=budget, models=("hubert-base",)))
    assert "whisper-tiny" in none_can.value.details["models"]
    with pytest.raises(InsufficientDataError, match="no measurement of hubert-base") as unknown:
        Planner(evidence("ser", "tiny")).front(FrontQuestion(task="ser", models=("hubert-base",)))
    assert unknown.value.details["models"] == ["whisper-tiny"]
    assert unknown.value.details["measure"] == [{"task": "ser", "model": "hubert-base"}]


ENGLISH_ONLY = {name for name in MODELS.names() if name.endswith(".en") or "distil" in name}


def test_a_german_study_is_offered_no_english_model():
    known = evidence("asr", "tiny", "tiny.en", language="de")
    offered = {candidates(known)[row].model for row in range(len(candidates(known)))}
    assert offered and not offered & ENGLISH_ONLY
    emotions = evidence("ser", "tiny.en", language="de")
    assert {candidates(emotions)[0].model} == {"whisper-tiny.en"}


def test_why_an_english_model_is_not_feasible_is_said():
    planner = Planner(evidence("asr", "tiny", "tiny.en", language="de"))
    question = Question(budget=Budget(gflops_per_utterance=100), models=("tiny.en",))
    with pytest.raises(
        NoFeasibleConfigurationError, match=r"world: whisper-tiny\.en.*German"
    ) as no:
        planner.recommend(question)
    assert no.value.details["binding"] == "language"
    assert not set(no.value.details["models"]) & ENGLISH_ONLY
    with pytest.raises(NoFeasibleConfigurationError, match="English only"):
        planner.predict([Configuration(model="tiny.en")])
    with pytest.raises(NoFeasibleConfigurationError, match="English only"):
        planner.search(
            question.model_copy(update={"models": None}),
            lambda trial: Configuration(
                model="tiny.en", window_s=trial.suggest_float("w", 5, 30, step=1)
            ),
            trials=4,
        )
