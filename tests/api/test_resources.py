"""Single resources, what costs are asked with, and how any route can be asked."""

import inspect

import httpx
import jsonschema
import pytest
import yaml
from litestar.testing import TestClient

from api.app import create_app
from api.cli.listing import cost
from measurements.settings import Settings
from models_registry import Configuration, read_plan
from models_registry.plans import plan_schema
from tests.api.live import live

PROBLEM = "application/problem+json"
STUDY = "asr-librispeech-test-other-lora32"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resources")
    settings = Settings(database_url=f"sqlite:///{folder / 'store.db'}")
    with TestClient(create_app(settings)) as opened:
        yield opened


def test_costs_can_be_asked_of_every_configuration(client):
    """Catches a field that HTTP or the command line forgets, so that it is counted without."""
    document = client.get("/schema/openapi.json").json()
    asked = {one["name"] for one in document["paths"]["/v1/costs"]["get"]["parameters"]}
    assert set(Configuration.model_fields) <= asked
    assert asked == set(inspect.signature(cost).parameters) - {"as_json"}
    params = {"model": "base", "window_policy": "ladder", "adapter": "lora", "rank": 4}
    more = {"unfrozen_layers": 2, "recipe": "self-distilled", "tail_s": 0.5}
    counted = client.get("/v1/costs", params={**params, **more}).json()["configuration"]
    assert {name: counted[name] for name in more} == more


@pytest.mark.parametrize(
    ("path", "name", "near"),
    [
        ("/v1/models", "whisper-base", "whisper-bse"),
        ("/v1/devices", "nvidia-l4", "nvidia-l5"),
        ("/v1/studies", STUDY, STUDY[:-1]),
    ],
)
def test_what_a_list_holds_is_shown_alone(client, path, name, near):
    """Catches an item that differs from the list's, and a 404 that suggests nothing."""
    listed = client.get(path, params={"limit": 500}).json()["items"]
    (item,) = [one for one in listed if name in (one.get("name"), one.get("id"))]
    shown = client.get(f"{path}/{name}")
    assert shown.json() == item
    if "etag" in shown.headers:
        known = {"If-None-Match": shown.headers["etag"]}
        assert client.get(f"{path}/{name}", headers=known).status_code == 304
    else:
        assert path == "/v1/models"
    missing = client.get(f"{path}/{near}")
    assert (missing.status_code, missing.headers["content-type"]) == (404, PROBLEM)
    assert name in missing.json()["suggestions"]


def test_aliases_name_the_same_item(client):
    assert client.get("/v1/models/base").json()["name"] == "whisper-base"
    local = client.get("/v1/devices/local").json()
    assert (local["local"], local["name"]) == (True, client.get("/v1/devices").json()["local"])


def test_curves_of_each_study_are_found(client):
    """Catches a path that leads nowhere."""
    index = client.get("/v1/curves", params={"limit": 500}).json()["items"]
    studies = client.get("/v1/studies", params={"limit": 500}).json()["items"]
    assert [one["study"] for one in index] == [one["id"] for one in studies]
    (own,) = [one for one in index if one["study"] == STUDY]
    assert client.get(own["measured"]).status_code == 200
    assert client.get(own["fitted"]).json()["study"] == STUDY


PATHS = [
    "/health",
    "/metrics",
    "/v1/models",
    "/v1/models/base",
    "/v1/devices/nvidia-l4",
    "/v1/costs?model=base",
    "/v1/studies",
    f"/v1/studies/{STUDY}/scaling",
    "/v1/measurements?limit=2",
    "/v1/sweeps",
    "/schema/openapi.json",
    "/models",
    "/v1/models/none",
    "/v1/costs",
]


@pytest.mark.parametrize("path", PATHS)
def test_head_answers_as_get_without_a_body(client, path):
    """Catches 405, another status, or headers that describe another body."""
    full, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (full.status_code, b"")
    for name in ("content-type", "etag", "cache-control"):
        assert head.headers.get(name) == full.headers.get(name)
    if path != "/metrics":
        assert head.headers["content-length"] == full.headers["content-length"]


def test_head_begins_no_stream_and_changes_nothing(client):
    spec = {"models": ["tiny.en"], "speech": [{"dataset": "demo", "limit": 2}]}
    place = client.post("/v1/sweeps", json=spec).headers["location"]
    assert client.head(f"{place}/events").status_code == 405
    assert client.head("/v1/recommendations").status_code == 405
    assert client.delete(place).json()["status"] == "cancelled"


def test_head_on_a_real_connection_leaves_it_in_order(tmp_path):
    """Catches a body that is announced and missing: the next answer would be read as it."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 's.db'}")
    with live(settings) as (url, _), httpx.Client(base_url=url) as http:
        for _ in range(2):
            assert http.head("/v1/models").status_code == 200
            assert http.get("/health/live").json()["status"] == "ok"
        figures = http.get("/metrics").text
    assert 'method="HEAD",route="/v1/models",status="200"' in figures


def test_a_plan_for_a_question(client, tmp_path):
    """The recommendation's own configuration, in either form; nothing is verified or kept."""
    asked = {"budget": {"gflops_per_utterance": 200}}
    answer = client.post("/v1/recommendations", json=asked)
    for accept, kind in (("application/json", "json"), ("application/yaml", "yaml")):
        made = client.post("/v1/plans", json=asked, headers={"Accept": accept})
        assert made.headers["content-type"].startswith(f"application/{kind}")
        assert made.headers["etag"] == answer.headers["etag"]
        (tmp_path / f"plan.{kind}").write_bytes(made.content)
        plan = read_plan(tmp_path / f"plan.{kind}")
        found = answer.json()["recommendation"]
        assert plan.configuration.model_dump(mode="json") == found["configuration"]
        assert plan.expected["wer"].mean == found["predictions"]["wer"]["mean"]
        jsonschema.validate(yaml.safe_load(made.text), plan_schema())
    assert client.get("/v1/verifications").json()["items"] == []
    none = client.post("/v1/plans", json={"budget": {"gflops_per_utterance": 0.001}})
    assert none.json()["type"].endswith("/no-feasible-configuration")
    stale = client.post("/v1/plans", json=asked, headers={"If-Match": '"0"'})
    assert stale.status_code == 412
