"""The utterance that holds most of a run's errors, wherever a run is shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from measurements.catalogue import catalogue
from measurements.records import Measurement
from measurements.settings import Settings
from measurements.store import Store

BASE = next(m for m in catalogue() if m.utterance_errors and m.metric.name == "wer")
RUNAWAY = BASE.model_copy(
    update={"key": "d" * 64, "study": "asr-runaway", "utterance_errors": ((1, 9), (40, 8), (2, 7))}
)


@pytest.mark.parametrize(
    ("errors", "position"),
    [
        ([1, 40, 2], 1),
        ([5, 3, 2], 0),
        ([4, 0, 0], None),
        ([5, 3, 3], None),
        ([20], None),
        ([0, 0], None),
        ([], None),
    ],
    ids=["runs away", "half of five", "four", "less than half", "alone", "no error", "not known"],
)
def test_an_utterance_with_half_of_the_errors_is_found(errors, position):
    found = BASE.model_copy(update={"utterance_errors": tuple((n, 10) for n in errors)})
    dominant = found.dominant_utterance
    assert (None if dominant is None else dominant.position) == position
    if dominant is not None:
        assert dominant.errors == errors[position]
        assert dominant.share == pytest.approx(errors[position] / sum(errors))


@given(st.lists(st.integers(0, 30), max_size=8))
def test_a_record_says_again_what_follows_from_it(errors):
    one = BASE.model_copy(update={"utterance_errors": tuple((n, 10) for n in errors)})
    document = json.loads(one.model_dump_json())
    assert Measurement.model_validate(document) == one
    document["dominant_utterance"] = {"position": 7, "errors": 1, "share": 1.0}
    assert Measurement.model_validate(document).dominant_utterance == one.dominant_utterance


def test_a_clip_with_a_wrong_emotion_dominates_nothing():
    assert not any(m.dominant_utterance for m in catalogue() if m.metric.name == "ua")


@pytest.fixture
def url(tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path / 'own.db'}"
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", address)
    store = Store.open(address)
    store.add_measurement(RUNAWAY)
    store.close()
    return address


def test_it_is_shown_by_the_service_and_on_its_page(url):
    with TestClient(create_app(Settings(database_url=url))) as client:
        (found,) = client.get("/v1/studies/asr-runaway/measurements").json()["items"]
        dominant = found["dominant_utterance"]
        assert (dominant["position"], dominant["errors"]) == (1, 40)
        page = client.get("/studies/asr-runaway").text
        assert "number 2, holds 93" in page
        other = client.get(f"/v1/measurements/{BASE.key}").json()
        assert other["dominant_utterance"] is None


def test_it_is_listed_by_the_command(url):
    runner = CliRunner()
    asked = ["measurements", "--study", "asr-runaway"]
    (item,) = json.loads(runner.invoke(app, [*asked, "--json"]).stdout)["items"]
    assert item["dominant_utterance"]["errors"] == 40
    shown = runner.invoke(app, asked).stdout
    assert shown.count(RUNAWAY.key[:12]) == 2
