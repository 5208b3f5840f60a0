"""Answers without the measurements of a study, by command, over HTTP and from the form."""

import json

import pytest
from litestar.testing import TestClient
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from api.schemas import PredictionsRequest
from api.services.planning import PlanningService
from measurements.settings import Settings
from measurements.studies import DEFAULT_STUDY, evidence_for
from models_registry import Configuration
from planner.question import Budget, Question

runner = CliRunner()
OWN = DEFAULT_STUDY["asr"]
OTHER = "asr-librispeech-mini-test-other"
COMMANDS = (
    ("recommend", "--gflops", "100"),
    ("pareto",),
    ("predict", "--model", "base", "--window-s", "10"),
    ("verify", "--gflops", "100"),
    ("export", "--gflops", "100"),
)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('without') / 'w.db'}"
    with TestClient(create_app(Settings(database_url=url))) as opened:
        yield opened


@pytest.fixture(autouse=True)
def empty_store(tmp_path, monkeypatch):
    """Of many studies in a store a refusal names those alone that are called alike."""
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'own.db'}")


def test_nothing_of_the_study_is_evidence():
    every = evidence_for("asr", None, None)
    fewer = evidence_for("asr", None, None, without_studies=[OTHER])
    assert {o.study for o in every.observations} - {o.study for o in fewer.observations} == {OTHER}
    kept = [o for o in every.observations if o.study != OTHER]
    assert sorted(o.key for o in fewer.observations) == sorted(o.key for o in kept)
    assert fewer.workload == every.workload


def test_a_planner_of_all_is_not_one_of_fewer():
    """The service keeps planners; asked in turns, each question has its own."""
    planning = PlanningService(None)
    question = Question(budget=Budget(gflops_per_utterance=100))
    fewer = question.model_copy(update={"without_studies": (OTHER,)})
    first, second, third = (planning.recommend(one) for one in (question, fewer, question))
    assert first == third
    assert second.study.informed_by < first.study.informed_by
    assert second.recommendation.predictions != first.recommendation.predictions
    asked = {"configurations": [Configuration(model="base", window_s=10)]}
    answers = [
        planning.predict(PredictionsRequest(**asked, without_studies=names))
        for names in ((), (OTHER,))
    ]
    assert answers[0].items != answers[1].items


@pytest.mark.parametrize("command", COMMANDS, ids=[name for name, *_ in COMMANDS])
@pytest.mark.parametrize(
    ("name", "code", "said"),
    [("asr-nope", 2, OTHER), ("ser-emodb-de", 2, OTHER), (OWN, 4, "asked about")],
)
def test_what_can_t_be_left_out_is_refused_by_each_command(command, name, code, said):
    result = runner.invoke(app, [*command, "--study", OWN, "--without-study", name])
    assert result.exit_code == code, result.output
    assert said in result.stderr


def test_commands_leave_studies_out():
    def asked(*more):
        result = runner.invoke(app, ["predict", "--model", "base", "--json", *more])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    assert asked("--window-s", "10") != asked("--window-s", "10", "--without-study", OTHER)
    result = runner.invoke(app, ["pareto", "--json", "--without-study", OTHER])
    assert result.exit_code == 0, result.output


def test_it_is_asked_over_http(client):
    question = {"budget": {"gflops_per_utterance": 100}}
    fewer = {**question, "without_studies": [OTHER]}
    every, less = (
        client.post("/v1/recommendations", json=body).json() for body in (question, fewer)
    )
    assert less["study"]["informed_by"] < every["study"]["informed_by"]
    front = client.post("/v1/pareto-fronts", json={"without_studies": [OTHER]})
    assert front.status_code == 200, front.text
    unknown = client.post("/v1/recommendations", json={**question, "without_studies": ["nope"]})
    assert unknown.status_code == 422
    assert unknown.json()["kind"] == "study to leave out"
    own = client.post("/v1/recommendations", json={**question, "without_studies": [OWN]})
    assert (own.status_code, own.json()["study"]) == (422, OWN)


def test_the_form_asks_it_too(client):
    page = client.get("/", params={"gflops": "100", "without_study": OTHER})
    assert page.status_code == 200
    assert f'value="{OTHER}" data-task="asr" checked' in page.text
    assert f"--without-study {OTHER}" in page.text
    assert client.get("/", params={"gflops": "100", "without_study": "nope"}).status_code == 422
