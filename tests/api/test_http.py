"""The HTTP service: every route, and every kind of bad request."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from litestar.testing import TestClient

from api import security
from api.app import create_app
from api.known import measurement_of
from measurements.catalogue import catalogue
from measurements.settings import Settings
from measurements.store import Store
from measurements.studies import all_measurements
from models_registry import read_plan
from models_registry.weights import available
from tests.conftest import RECOMMENDATION_KEYS

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    settings = Settings(database_url=f"sqlite:///{folder / 'store.db'}")
    with TestClient(create_app(settings)) as opened:
        yield opened


def question(**fields):
    return {"task": "asr", "budget": {"gflops_per_utterance": 200}, **fields}


def test_recommendation(client):
    response = client.post("/v1/recommendations", json=question())
    assert response.status_code == 200
    body = response.json()
    assert set(body) >= {"recommendation", "study"}
    assert (body["id"], body["verification"]) == (None, None)
    assert set(body["recommendation"]) >= RECOMMENDATION_KEYS
    estimate = body["recommendation"]["predictions"]["wer"]
    assert estimate["lower"] <= estimate["mean"] <= estimate["upper"]
    assert estimate["unit"] == "fraction"
    assert estimate["provenance"]
    assert body["recommendation"]["costs"]["gflops_per_utterance"] <= 200
    assert body["recommendation"]["costs"]["convention"] == "counted-1"
    assert client.post("/v1/recommendations", json=question()).json() == body


def test_a_front_between_time_and_memory(client):
    body = {"x": "rtf", "y": "memory_gib", "device": "nvidia-l4", "budget": {"memory_gib": 4}}
    response = client.post("/v1/pareto-fronts", json=body)
    assert response.status_code == 200, response.text
    front = response.json()["front"]
    assert (front["x_unit"], front["y_unit"]) == ("s/s", "GiB")
    assert all(point["y"]["mean"] <= 4 for point in front["points"])
    assert client.post("/v1/pareto-fronts", json={"x": "rtf"}).status_code == 400


def test_configurations_are_predicted_in_the_order_asked(client):
    asked = [
        {"model": "whisper-large-v3"},
        {"model": "base", "window_s": 17.5, "token_stride": 1.7, "reduction_layer": 3},
    ]
    found = client.post("/v1/predictions", json={"configurations": asked}).json()
    large, small = (item["predictions"]["wer"] for item in found["items"])
    assert (large["basis"], small["basis"]) == ("published", "interpolated")
    assert small["mean"] > large["mean"]
    assert small["lower"] < small["mean"] < small["upper"]
    mixed = [{"model": "base"}, {"model": "base", "task": "ser"}]
    assert client.post("/v1/predictions", json={"configurations": mixed}).status_code == 400


def test_devices_and_curves(client):
    devices = client.get("/v1/devices").json()
    assert [d["name"] for d in devices["items"] if d["local"]] == [devices["local"]]
    assert any(d["profile"] for d in devices["items"])
    study = "/v1/studies/asr-librispeech-mini-test-other/curves"
    curves = client.get(study, params={"model": "tiny.en"}).json()["items"]
    assert {c["model"] for c in curves} == {"whisper-tiny.en"}
    assert {"window_s", "token_stride"} <= {c["axis"] for c in curves}
    assert client.get(study, params={"model": "tiny.eng"}).status_code == 422
    assert client.get("/v1/studies/nope/curves").status_code == 404


def test_target_and_workload(client):
    response = client.post(
        "/v1/recommendations",
        json={
            "target_wer": 0.1,
            "workload": {"durations_s": [5, 60], "weights": [3, 1], "tokens_per_audio_s": 3},
        },
    )
    assert response.status_code == 200
    assert "18.8 s of audio" in response.json()["study"]["workload"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (question(colour="red"), "colour"),
        (question(budget={"gflops_per_utterance": -5}), "greater than"),
        (question(budget={"gflops_per_utterance": "many"}), "number"),
        (question(budget={"watts": 5}), "watts"),
        (question(task="sing"), "task"),
        ({"task": "asr"}, "at least one budget"),
        (question(level=2), "less than or equal to 0.999999"),
        (question(seed=-1), "greater than or equal to 0"),
        ([], "dictionary"),
        (None, ""),
    ],
)
def test_bad_questions_are_problems_that_name_the_field(client, body, said):
    response = client.post("/v1/recommendations", json=body)
    assert response.status_code == 400
    assert response.headers["content-type"] == PROBLEM
    problem = response.json()
    assert problem["status"] == 400
    assert problem["type"].endswith("/invalid-request")
    assert problem["title"]
    assert said in problem["detail"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "-1e999"])
def test_numbers_that_are_none_are_refused(client, number):
    raw = '{"budget": {"gflops_per_utterance": ' + number + "}}"
    response = client.post(
        "/v1/recommendations", content=raw, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"null", b'"x"'])
def test_bodies_that_are_no_json_object(client, raw):
    response = client.post(
        "/v1/recommendations", content=raw, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    assert response.headers["content-type"] == PROBLEM


def test_a_body_of_10_mb_is_refused(client):
    raw = b'{"study": "' + b"x" * 10_000_000 + b'"}'
    response = client.post(
        "/v1/recommendations", content=raw, headers={"content-type": "application/json"}
    )
    assert response.status_code == 413
    assert response.headers["content-type"] == PROBLEM
    assert response.json()["type"].endswith("/body-too-large")


@pytest.mark.parametrize(
    ("body", "code", "member"),
    [
        (question(budget={"gflops_per_utterance": 0.001}), "no-feasible-configuration", "nearest"),
        (question(models=["whisper-bse"]), "unknown-name", "suggestions"),
        (question(study="asr-libri"), "unknown-name", "suggestions"),
        (question(device="nvidia-h1000"), "unknown-name", "suggestions"),
        (question(study="ser-crema-d"), "insufficient-data", "study"),
    ],
)
def test_questions_without_an_answer_are_typed(client, body, code, member):
    response = client.post("/v1/recommendations", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == PROBLEM
    problem = response.json()
    assert problem["type"].endswith(code)
    assert member in problem


@pytest.mark.parametrize("task", ["asr", "ser"])
@pytest.mark.parametrize("study", [None, "asr-demo", "asr-librispeech-test-clean", "ser-emodb-de"])
@pytest.mark.parametrize(
    "models", [None, ["tiny"], ["base"], ["hubert-base"], ["wav2vec2-base", "base"]]
)
@pytest.mark.parametrize("path", ["recommendations", "pareto-fronts"])
def test_any_task_study_and_models_have_an_answer_or_a_reason(client, task, study, models, path):
    """Would catch a search over no candidates, which ended as an internal error."""
    body = question(task=task, study=study, models=models)
    answer = client.post(f"/v1/{path}", json=body)
    other = study is not None and not study.startswith(task)
    if answer.status_code == 200:
        assert not other
        return
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    if other:
        assert f"is about {study[:3]}, not {task}" in problem["detail"]
        assert all(name.startswith(task) for name in problem["studies"])
    else:
        assert not set(models) & set(problem["models"])
        able = client.post(f"/v1/{path}", json=body | {"models": problem["models"]})
        assert able.status_code == 200


def test_unknown_names_come_with_suggestions(client):
    problem = client.post("/v1/recommendations", json=question(models=["whisper-bse"])).json()
    assert "whisper-base" in problem["suggestions"]


def test_models(client):
    items = client.get("/v1/models").json()["items"]
    by_name = {item["name"]: item for item in items}
    assert by_name["whisper-large-v3"]["parameters"] == 1_543_490_560
    expected = "installed" if available("whisper-base") else "hub"
    assert by_name["whisper-base"]["weights"] == expected


def test_costs(client):
    response = client.get(
        "/v1/costs", params={"model": "large-v3", "convention": "seed-2606.22790"}
    )
    body = response.json()
    assert body["gflops"] == pytest.approx(5228.0, abs=0.1)
    assert [p["component"] for p in body["breakdown"]] == [
        "stem",
        "encoder",
        "cross_kv",
        "decoder",
        "lm_head",
    ]
    assert body["memory_bytes"] == sum(body["memory_breakdown"].values())


def test_adapters_cost_where_they_are_not_merged(client):
    """2 r (d_in + d_out) for each token and projection: here by hand, for tiny."""
    rank, d, f, frames, tokens = 8, 384, 1536, 500, 20

    def cost(**params):
        return client.get(
            "/v1/costs", params={"model": "tiny", "window_s": 10, "output_tokens": tokens, **params}
        ).json()

    plain, adapter = cost(), {"adapter": "lora", "rank": rank}
    assert cost(**adapter)["gflops"] == plain["gflops"]
    unmerged = cost(**adapter, merged=False)
    square, up_down = 2 * rank * 2 * d, 2 * 2 * rank * (d + f)
    steps = 4 + tokens - 1
    encoder = 4 * frames * (4 * square + up_down)
    decoder = 4 * (steps * (6 * square + up_down) + frames * 2 * square)
    (part,) = [p["flops"] for p in unmerged["breakdown"] if p["component"] == "adapter"]
    assert part == encoder + decoder
    assert unmerged["gflops"] == pytest.approx(plain["gflops"] + part / 1e9)
    numbers = 4 * rank * (4 * 2 * d + 2 * (d + f)) + 4 * rank * (8 * 2 * d + 2 * (d + f))
    assert unmerged["memory_breakdown"]["adapter"] == 4 * numbers
    heads = [cost(task="ser", classes=n)["gflops"] for n in (0, 7)]
    assert heads[1] - heads[0] == pytest.approx(2 * d * 7 / 1e9)
    for wrong in ({}, {**adapter, "convention": "seed-2606.22790"}):
        params = {"model": "tiny", "merged": False, **wrong}
        assert client.get("/v1/costs", params=params).status_code == 422
    assert client.get("/v1/costs?model=tiny&adapter=lora").status_code == 400


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 400),
        ({"model": "nope"}, 422),
        ({"model": "base", "window_s": "nan"}, 400),
        ({"model": "base", "window_s": -3}, 400),
        ({"model": "base", "token_stride": 2, "reduction_layer": 9}, 400),
        ({"model": "hubert-base"}, 400),
        ({"model": "hubert-base", "task": "ser", "convention": "seed-2606.22790"}, 422),
        ({"model": "wavlm-base-plus", "task": "ser", "token_stride": 2}, 422),
    ],
)
def test_costs_of_the_impossible(client, params, status):
    response = client.get("/v1/costs", params=params)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM


def test_studies_and_their_measurements_page_by_page(client):
    studies = client.get("/v1/studies").json()["items"]
    assert "asr-librispeech-test-other" in [s["id"] for s in studies]
    path = "/v1/studies/asr-librispeech-test-other-lora32/measurements"
    everything = client.get(path).json()
    assert len(everything["items"]) == 11
    assert everything["next_cursor"] is None
    seen, cursor = [], "0"
    while cursor is not None:
        page = client.get(path, params={"cursor": cursor, "limit": 4}).json()
        seen += page["items"]
        cursor = page["next_cursor"]
    assert seen == everything["items"]
    assert client.get(path, params={"cursor": "x"}).status_code == 400
    assert client.get(path, params={"limit": 0}).status_code == 400
    assert client.get("/v1/studies/none/measurements").status_code == 404


def test_measurements_are_found_and_shown(client):
    """Catches a filter that lets others through, or one that forgets a page."""
    path, mini = "/v1/measurements", "asr-librispeech-mini-test-other"
    filters = {"study": mini, "model": "tiny.en", "source": "measured", "task": "asr"}
    found = client.get(path, params={**filters, "limit": 500}).json()["items"]
    listed = client.get(f"/v1/studies/{mini}/measurements?limit=500").json()["items"]
    own = [m for m in listed if m["configuration"]["model"] == "whisper-tiny.en"]
    assert found == [m for m in own if m["source"] == "measured"] != listed
    assert client.get(path, params={**filters, "task": "ser"}).json()["items"] == []
    assert client.get(path, params={**filters, "source": "published"}).json()["items"] == []
    seen, cursor = [], "0"
    while cursor is not None:
        answer = client.get(path, params={"task": "ser", "cursor": cursor, "limit": 200}).json()
        seen += answer["items"]
        cursor = answer["next_cursor"]
    studies = client.get("/v1/studies?limit=500").json()["items"]
    total = sum(s["measured"] + s["published"] for s in studies if s["task"] == "ser")
    assert len({m["key"] for m in seen}) == len(seen) == total
    assert client.get(f"{path}/{seen[-1]['key']}").json() == seen[-1]
    for wrong, status in (("?study=nope", 422), ("?model=tiny.eng", 422), ("?source=x", 400)):
        assert client.get(path + wrong).status_code == status
    assert client.get(f"{path}/{seen[-1]['key'][:12]}").status_code == 404


def test_fitted_curves_of_a_study(client):
    """They are those that predictions come from, with the study's own points and no others."""
    study = "asr-librispeech-mini-test-other"
    path = f"/v1/studies/{study}/scaling"
    found = client.get(path).json()
    fit = found["fit"]
    assert (found["error"], found["held"]["study"]) == ("wer", study)
    assert [term["shapes"] for term in fit["terms"]]
    assert fit["floor"]["lower"] < fit["floor"]["upper"]
    window = next(c for c in found["curves"] if c["axis"] == "window_s")
    listed = client.get(f"/v1/studies/{study}/measurements?limit=500").json()["items"]
    assert 0 < len(window["observed"]) <= len(listed)
    assert {o["value"] for o in window["observed"]} <= {
        m["configuration"]["window_s"] for m in listed
    }
    first, last = window["points"][0], window["points"][-1]
    assert first["mean"] > last["mean"]
    assert all(p["lower"] < p["mean"] < p["upper"] for p in window["points"])
    narrow = client.get(path, params={"level": 0.5}).json()["curves"]
    at = next(c for c in narrow if c["axis"] == "window_s")["points"][0]
    assert first["lower"] < at["lower"] < at["upper"] < first["upper"]
    ser = client.get("/v1/studies/ser-emodb-de/scaling").json()
    assert ser["error"] == "1 - ua"
    assert ser["held"]["depth"].startswith(ser["held"]["model"])
    assert client.get("/v1/studies/asr-demo/scaling").json()["curves"][0]["observed"] == []
    assert client.get("/v1/studies/nope/scaling").status_code == 404
    for level in (0, 1, "nan"):
        assert client.get(path, params={"level": level}).status_code == 400


def test_a_stored_measurement_is_found(tmp_path):
    with TestClient(create_app(Settings(database_url=f"sqlite:///{tmp_path / 's.db'}"))) as own:
        row = {"study": "mine", "dataset": "calls", "provenance": "ours", "model": "base"}
        own.post("/v1/measurements", json={"rows": [{**row, "wer": 0.2, "unit": "fraction"}]})
        (found,) = own.get("/v1/measurements?study=mine").json()["items"]
        shown = own.get(f"/v1/measurements/{found['key']}")
        assert shown.json() == found
        known = {"If-None-Match": shown.headers["etag"]}
        assert own.get(f"/v1/measurements/{found['key']}", headers=known).status_code == 304


@pytest.mark.parametrize("path", ["/v1/models", "/v1/devices", "/v1/studies", "/v1/calibration"])
def test_every_list_comes_page_by_page(client, path):
    everything = client.get(path).json()
    assert everything["next_cursor"] is None
    seen, cursor = [], "0"
    while cursor is not None:
        page = client.get(path, params={"cursor": cursor, "limit": 3}).json()
        seen += page["items"]
        cursor = page["next_cursor"]
    assert seen == everything["items"]


def test_new_measurements_are_a_new_revision(tmp_path):
    """Catches a client that plans with what it read before somebody measured on."""
    study = "/v1/studies/asr-librispeech-test-other-lora32"
    reads = (f"{study}/measurements", f"{study}/curves", "/v1/studies", "/v1/devices")
    with TestClient(create_app(Settings(database_url=f"sqlite:///{tmp_path / 's.db'}"))) as own:
        (tag,) = {own.get(path).headers["etag"] for path in reads}
        assert tag.startswith('"')
        for path in reads:
            known = own.get(path, headers={"If-None-Match": f'"other", {tag}'})
            assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
        answer = own.post("/v1/recommendations", json=question(), headers={"If-Match": tag})
        assert (answer.status_code, answer.headers["etag"]) == (200, tag)
        row = {"study": "mine", "dataset": "calls", "provenance": "ours", "model": "base"}
        own.post("/v1/measurements", json={"rows": [{**row, "wer": 0.2, "unit": "fraction"}]})
        new = own.get("/v1/studies", headers={"If-None-Match": tag})
        assert (new.status_code, new.headers["etag"] != tag) == (200, True)
        configurations = {"configurations": [{"model": "base"}]}
        for path, body in (
            ("/v1/recommendations", question()),
            ("/v1/pareto-fronts", {}),
            ("/v1/predictions", configurations),
            ("/v1/verifications", {"question": question(study="asr-demo")}),
        ):
            stale = own.post(path, json=body, headers={"If-Match": tag})
            assert stale.status_code == 412, stale.text
            assert stale.headers["content-type"] == PROBLEM
            assert stale.json()["type"].endswith("/stale-revision")
            assert stale.json()["revision"] == new.headers["etag"]


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_begun_work_is_answered_from_whatever_came_in_since(tmp_path):
    """A client that lost the answer sends the same again; catches a tag checked before the key."""
    asked = question(study="asr-demo", budget={"gflops_per_utterance": 50})
    row = {
        "study": "mine",
        "dataset": "calls",
        "provenance": "ours",
        "model": "base",
        "wer": 0.2,
        "unit": "fraction",
    }
    with TestClient(create_app(Settings(database_url=f"sqlite:///{tmp_path / 's.db'}"))) as own:
        tag = own.get("/v1/studies").headers["etag"]
        headers = {"Idempotency-Key": "once", "If-Match": tag}
        for path, body in (
            ("/v1/recommendations?verify=always&limit=5", asked),
            ("/v1/verifications", {"question": asked, "configuration": {"model": "tiny.en"}}),
        ):
            headers["If-Match"] = own.get("/v1/studies").headers["etag"]
            first = own.post(path, json=body, headers=headers)
            assert first.is_success, first.text
            row["wer"] += 0.01
            assert own.post("/v1/measurements", json={"rows": [row]}).status_code == 200
            again = own.post(path, json=body, headers=headers)
            assert again.status_code == first.status_code, again.text
            # What is known of the study may be told as it is now.
            assert {**again.json(), "study": None} == {**first.json(), "study": None}
            other = own.post(path, json=body, headers={**headers, "Idempotency-Key": "two"})
            assert other.status_code == 412


def test_a_sweep_s_key_begins_it_once(client):
    """A lost answer is asked for again after somebody has cancelled: it stays cancelled."""
    spec = {"models": ["tiny.en"], "speech": [{"dataset": "demo", "limit": 2}]}
    place = client.post("/v1/sweeps", json=spec, headers={"Idempotency-Key": "a"}).headers[
        "location"
    ]
    client.delete(place)
    told = client.get(f"{place}/events")
    assert told.headers["content-type"].startswith("text/event-stream")
    (event,) = [line for line in told.text.splitlines() if line.startswith("data: ")]
    assert json.loads(event.removeprefix("data: "))["status"] == "cancelled"
    again = client.post("/v1/sweeps", json=spec, headers={"Idempotency-Key": "a"})
    assert (again.status_code, again.json()["status"]) == (202, "cancelled")
    other = client.post("/v1/sweeps", json=spec, headers={"Idempotency-Key": "b"})
    assert other.json()["status"] == "running"
    client.delete(place)
    client.post("/v1/sweeps", json={**spec, "seed": 1})
    listed = client.get("/v1/sweeps", params={"limit": 1}).json()
    older = client.get("/v1/sweeps", params={"cursor": listed["next_cursor"]}).json()["items"]
    assert listed["items"][0]["id"] not in {one["id"] for one in older}
    assert client.get("/v1/sweeps/none/events").status_code == 404


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_a_recommendation_is_exported(client, tmp_path):
    """The plan in the form asked for, both the same; catches a plan of the first answer only."""
    body = {"question": question(study="asr-demo"), "configuration": {"model": "tiny.en"}}
    begun = client.post("/v1/verifications", json=body).json()["verification"]
    client.delete(f"/v1/verifications/{begun['id']}")
    path = f"/v1/recommendations/{begun['id']}/plan"
    configuration = begun["recommendation"]["configuration"]
    for accept, kind in (
        ("*/*", "json"),
        ("application/json", "json"),
        ("application/yaml", "yaml"),
        ("text/yaml, */*;q=0.1", "yaml"),
    ):
        answer = client.get(path, headers={"Accept": accept})
        assert answer.headers["content-type"].startswith(f"application/{kind}")
        assert f'filename="plan.{kind}"' in answer.headers["content-disposition"]
        (tmp_path / f"plan.{kind}").write_bytes(answer.content)
        plan = read_plan(tmp_path / f"plan.{kind}")
        assert plan.configuration.model_dump(mode="json") == configuration
        assert plan.question["study"] == "asr-demo"
    card = client.get(f"/v1/recommendations/{begun['id']}/model-card")
    assert card.headers["content-type"].startswith("text/markdown")
    assert f"# {plan.configuration.label()}" in card.text
    for name in ("plan", "model-card"):
        assert client.get(f"/v1/recommendations/none/{name}").status_code == 404


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_a_recommendation_s_key_starts_one_verification(client):
    asked = question(study="asr-demo", budget={"gflops_per_utterance": 50})
    params = {"verify": "always", "limit": 5}
    ids = [
        client.post(
            "/v1/recommendations", json=asked, params=params, headers={"Idempotency-Key": key}
        ).json()["id"]
        for key in ("r1", "r1", "r2")
    ]
    assert ids[0] == ids[1] != ids[2]


def test_bodies_of_requests_are_described_as_closed(client):
    """Catches a model below a request that is not in the list of those that refuse fields."""
    document = client.get("/schema/openapi.json").json()
    known = document["components"]["schemas"]

    def names(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"].rpartition("/")[2]
            for below in node.values():
                yield from names(below)
        elif isinstance(node, list):
            for below in node:
                yield from names(below)

    asked = set()
    bodies = [
        one.get("requestBody", {}) for path in document["paths"].values() for one in path.values()
    ]
    new = set(names(bodies))
    while new:
        asked |= new
        new = set(names([known[name] for name in new])) - asked
    assert {"Question", "Budget", "Configuration"} <= asked
    assert [name for name in asked if known[name].get("additionalProperties") is not False] == []


def test_health_and_schema(client):
    assert client.get("/health").json()["status"] == "ok"
    schema = client.get("/schema/openapi.json").json()
    operations = [op["operationId"] for path in schema["paths"].values() for op in path.values()]
    assert len(operations) == len(set(operations)) == 37
    assert client.get("/schema/docs").status_code == 200


@pytest.mark.parametrize("path", ["/v1/none", "/v1/verifications/no-such-id"])
def test_not_found(client, path):
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == PROBLEM


def test_wrong_method(client):
    response = client.delete("/v1/models")
    assert response.status_code == 405
    assert response.headers["content-type"] == PROBLEM


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"dataset": "librispeech:/etc"}, "dataset"),
        ({"dataset": "manifest:/etc/passwd"}, "dataset"),
        ({"configuration": {"model": "medium"}}, "nothing-to-verify"),
        ({"question": question(task="ser", study="asr-demo")}, "insufficient-data"),
        (
            {"configuration": {"task": "ser", "model": "tiny.en", "exit_layer": 2}},
            "nothing-to-verify",
        ),
        ({"question": question(task="ser"), "dataset": "demo"}, "insufficient-data"),
        ({"dataset": "demo", "language": "de"}, "dataset"),
        ({"dataset": "demo", "dataset_name": "mine"}, "dataset"),
        (
            {"question": question(study="asr-demo", budget={"gflops_per_utterance": 0.1})},
            "no-feasible-configuration",
        ),
    ],
)
def test_verifications_that_can_t_be(client, fields, code):
    body = {"question": question(study="asr-demo"), **fields}
    response = client.post("/v1/verifications", json=body)
    assert response.status_code == 422
    assert response.json()["type"].endswith(code)


@pytest.mark.parametrize(
    ("field", "value"), [("language", "germann"), ("dataset_name", "a/b"), ("dataset_name", "")]
)
def test_a_language_or_a_name_that_is_none_is_named(client, field, value):
    body = {"question": question(study="asr-demo"), "dataset": "demo", field: value}
    response = client.post("/v1/verifications", json=body)
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


def test_the_runs_of_a_recommendation_take_a_language(client):
    asked = {"verify": "always", "dataset": "demo", "language": "German"}
    refused = client.post("/v1/recommendations", params=asked, json=question(study="asr-demo"))
    assert (refused.status_code, refused.json()["type"].split("/")[-1]) == (422, "dataset")
    assert "not in German" in refused.json()["detail"]
    unknown = client.post(
        "/v1/recommendations", params={"language": "xx"}, json=question(study="asr-demo")
    )
    assert (unknown.status_code, unknown.json()["type"].split("/")[-1]) == (422, "unknown-name")


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_an_adapter_that_nobody_has_trained_is_told_at_once(client):
    """Catches work that is accepted, and fails as soon as a worker takes it up."""
    adapted = {"model": "tiny.en", "adapter": "lora", "rank": 8}
    body = {"question": question(study="asr-demo"), "configuration": adapted}
    refused = client.post("/v1/verifications", json=body)
    assert refused.status_code == 422
    assert refused.json()["type"].endswith("/adapter")
    assert "speechplan adapt" in refused.json()["detail"]


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_a_verification_is_accepted_and_can_be_followed(client):
    response = client.post(
        "/v1/verifications",
        json={
            "question": question(study="asr-demo"),
            "configuration": {"model": "tiny.en", "window_s": 15},
            "limit": 5,
        },
    )
    assert response.status_code == 202
    verification = response.json()["verification"]
    assert verification["status"] == "queued"
    assert verification["total"] == 5
    followed = client.get(response.headers["location"])
    assert followed.status_code == 200
    assert followed.json()["verification"] == verification


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_a_key_starts_one_verification(client):
    """A client that lost the answer asks again; catches a run that is paid for twice."""
    body = {"question": question(study="asr-demo"), "configuration": {"model": "tiny.en"}}
    again = [
        client.post("/v1/verifications", json=body, headers={"Idempotency-Key": key})
        for key in ("k1", "k1", "k2")
    ]
    first, second, other = (answer.json()["verification"]["id"] for answer in again)
    assert first == second != other
    listed = client.get("/v1/verifications", params={"limit": 1}).json()
    assert [one["id"] for one in listed["items"]] == [other]
    rest = client.get("/v1/verifications", params={"cursor": listed["next_cursor"]}).json()
    assert first in [one["id"] for one in rest["items"]]


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_a_key_is_for_one_request(client):
    """Catches a key that begins other work than the client believes to have asked for."""
    asked = question(study="asr-demo", budget={"gflops_per_utterance": 50})
    verification = {"question": asked, "configuration": {"model": "tiny.en"}}
    sweep = {"models": ["tiny.en"], "speech": [{"dataset": "demo", "limit": 4}]}
    for path, body, other in (
        ("/v1/verifications", verification, {**verification, "limit": 3}),
        ("/v1/recommendations?verify=always", asked, {**asked, "risk": 0.2}),
        ("/v1/sweeps", sweep, {**sweep, "seed": 7}),
    ):
        key = {"Idempotency-Key": "mine"}
        first = client.post(path, json=body, headers=key)
        assert first.is_success, first.text
        refused = client.post(path, json=other, headers=key)
        assert refused.status_code == 422
        assert refused.headers["content-type"] == PROBLEM
        assert refused.json()["type"].endswith("/idempotency-key-reused")
        again = client.post(path, json=body, headers=key)
        assert (again.status_code, again.json()) == (first.status_code, first.json())
        fresh = client.post(path, json=other, headers={"Idempotency-Key": "another"})
        assert fresh.is_success


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_requests_that_race_with_a_key_begin_one_verification(client):
    """Catches a look and a beginning that another request comes between."""
    asked = question(study="asr-demo", budget={"gflops_per_utterance": 50})
    bodies = [
        {"question": asked, "configuration": {"model": "tiny.en"}, "limit": limit}
        for limit in (2, 3, 2, 3)
    ]

    def begin(body):
        return client.post("/v1/verifications", json=body, headers={"Idempotency-Key": "race"})

    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = list(threads.map(begin, bodies))
    begun = [answer.json()["verification"] for answer in answers if answer.status_code == 202]
    assert len({one["id"] for one in begun}) == 1
    limits = {one["limit"] for one in begun}
    assert len(limits) == 1
    for body, answer in zip(bodies, answers, strict=True):
        assert answer.status_code == (202 if body["limit"] in limits else 422)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("windows_s=5", "did you mean window_s"),
        ("window_s=5&window_s=6", "given 2 times"),
        ("Precision=bf16", "did you mean precision"),
    ],
)
def test_parameters_that_would_be_passed_over_are_refused(client, query, said):
    """Catches an answer to another question than the one that was meant."""
    answer = client.get(f"/v1/costs?model=base&{query}")
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert answer.json()["errors"][0]["field"] in query


@pytest.mark.parametrize(
    "path", ["/v1/measurements/none", "/v1/studies/none/curves", "/v1/studies/none/measurements"]
)
def test_what_is_not_there_is_not_unchanged(client, path):
    tag = client.get("/v1/studies").headers["etag"]
    for given in (tag, "*"):
        assert client.get(path, headers={"If-None-Match": given}).status_code == 404
        assert client.get("/v1/studies", headers={"If-None-Match": given}).status_code == 304


def test_callers_may_choose_the_same_key(tmp_path):
    folder = f"sqlite:///{tmp_path / 'store.db'}"
    sweep = {"models": ["tiny.en"], "speech": [{"dataset": "demo", "limit": 2}]}
    with TestClient(
        create_app(Settings(database_url=folder, api_key="correct horse battery"))
    ) as own:
        store = Store(folder)
        secrets = [
            "correct horse battery",
            security.create_key(store, name="second", scope="measure"),
        ]
        for number, secret in enumerate(secrets):
            headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": "deploy"}
            begun = own.post("/v1/sweeps", json={**sweep, "seed": number}, headers=headers)
            assert begun.status_code == 202, begun.text
        store.close()


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_cancelling_and_what_is_told_to_who_follows(client):
    body = {"question": question(study="asr-demo"), "configuration": {"model": "tiny.en"}}
    place = client.post("/v1/verifications", json=body).headers["location"]
    assert client.delete(place).json()["verification"]["status"] == "cancelled"
    assert client.delete(place).json()["verification"]["status"] == "cancelled"
    told = client.get(f"{place}/events")
    assert told.headers["content-type"].startswith("text/event-stream")
    (event,) = [line for line in told.text.splitlines() if line.startswith("data: ")]
    assert json.loads(event.removeprefix("data: "))["verification"]["status"] == "cancelled"
    assert client.get("/v1/verifications/none/events").status_code == 404


def test_a_sweep_is_named_by_its_content_and_can_be_cancelled(client):
    spec = {
        "models": ["tiny.en"],
        "speech": [{"dataset": "demo", "limit": 3}],
        "axes": {"window_s": [10, 20]},
    }
    started = client.post("/v1/sweeps", json=spec)
    assert started.status_code == 202, started.text
    sweep = started.json()
    assert (sweep["total"], sweep["waiting"], sweep["status"]) == (3, 3, "running")
    place = started.headers["location"]
    runs = client.get(f"{place}/runs").json()["items"]
    assert all("speechplan measure" in run["command"] for run in runs)
    first = client.get(f"{place}/runs", params={"limit": 2}).json()
    rest = client.get(f"{place}/runs", params={"cursor": first["next_cursor"]}).json()
    assert (first["items"] + rest["items"], rest["next_cursor"]) == (runs, None)
    for _ in range(2):
        assert client.delete(place).json()["status"] == "cancelled"
    assert client.get(place).json()["status"] == "cancelled"
    assert client.post("/v1/sweeps", json=spec).json()["status"] == "running"
    listed = client.get("/v1/sweeps").json()["items"]
    assert sweep["id"] in [one["id"] for one in listed]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"axes": {"widow_s": [10]}}, 400, "no axis"),
        ({"axes": {"window_s": [31]}}, 422, "30 s"),
        ({"models": ["tiny.eng"]}, 422, "tiny.en"),
        ({"axes": {"window_s": [10] * 3000}, "design": "grid"}, 422, "at most"),
        ({"speech": [{"dataset": "librispeech:/etc"}]}, 422, "allowed folder"),
        ({"task": "ser"}, 422, "demo is for asr"),
        ({"speech": [{"dataset": "demo", "subset": "x"}]}, 422, "no subsets"),
        ({"centre": {"adapter": "lora", "rank": 8}}, 422, "speechplan adapt"),
        ({"axes": {"adapter+rank": [["none", None], ["lora", 8]]}}, 422, "no adapter trained"),
        ({"device": "cuda:x"}, 400, "device"),
        ({"device": "gpu"}, 400, "device"),
        ({"speech": [{"dataset": "demo", "language": "germann"}]}, 400, "did you mean de"),
        ({"speech": [{"dataset": "demo", "language": "de"}]}, 422, "is in English"),
        ({"speech": [{"dataset": "demo", "name": "a/b"}]}, 400, "name"),
    ],
)
def test_sweeps_that_can_t_be(client, change, status, said):
    spec = {"models": ["tiny.en"], "speech": [{"dataset": "demo"}], **change}
    response = client.post("/v1/sweeps", json=spec)
    assert response.status_code == status
    assert said in response.text


def test_rows_are_taken_in_all_or_none(client):
    row = {
        "study": "mine",
        "dataset": "calls",
        "provenance": "ours",
        "model": "base",
        "wer": 0.2,
        "unit": "fraction",
    }
    bad = {**row, "wer": 20, "window_s": 10}
    refused = client.post("/v1/measurements", json={"rows": [row, bad, {"model": "bas"}]})
    assert refused.status_code == 422
    assert {error["row"] for error in refused.json()["errors"]} == {2, 3}
    assert client.get("/v1/studies/mine/measurements").status_code == 404
    asked = [client.post("/v1/measurements", json={"rows": [row]}).json() for _ in range(2)]
    assert asked == [{"stored": 1, "known": 0}, {"stored": 0, "known": 1}]
    (kept,) = client.get("/v1/studies/mine/measurements").json()["items"]
    assert (kept["metric"]["value"], kept["configuration"]["model"]) == (0.2, "whisper-base")


def test_rows_change_no_measurement_and_no_study_that_is_known(client):
    """A built-in key with another WER, and a SER row in an ASR study."""
    known = client.get("/v1/measurements?study=asr-librispeech-mini-test-other").json()["items"][0]
    worse = {**known["metric"], "value": 0.9, "upper": 0.95}
    ser = {
        "study": "asr-demo",
        "dataset": "d",
        "provenance": "p",
        "model": "base",
        "ua": 0.6,
        "unit": "fraction",
    }
    rows = [{**known, "metric": worse}, ser, {**known, "flops_counted": -1}]
    refused = client.post("/v1/measurements", json={"rows": rows})
    assert refused.status_code == 422
    named = [(error["row"], error["field"]) for error in refused.json()["errors"]]
    assert named == [(1, "metric"), (2, "study"), (3, "flops_counted")]
    again = client.post("/v1/measurements", json={"rows": [known]})
    assert again.json() == {"stored": 0, "known": 1}


def test_a_measurement_is_shown_as_evidence_has_it(tmp_path):
    """Where a built-in one was run again here, answers are of the run here."""
    store = Store.open(f"sqlite:///{tmp_path / 'own.db'}")
    built_in = next(m for m in catalogue() if m.rtf)
    here = built_in.model_copy(update={"rtf": {"total": 0.5}})
    store.add_measurement(here)
    assert measurement_of(store, here.key) == here
    assert here in all_measurements(store)


@pytest.mark.skipif(not available("whisper-tiny.en"), reason="needs the offline weights")
def test_an_answer_that_verifies_itself(client):
    asked = question(study="asr-demo", budget={"gflops_per_utterance": 50})
    params = {"verify": "always", "limit": 5}
    answer = client.post("/v1/recommendations", json=asked, params=params).json()
    link = answer["verification"]
    assert (link["status"], link["settled"], answer["changes"]) == ("queued", None, [])
    assert client.get(link["href"]).json()["verification"]["total"] == 5
    again = client.get(f"/v1/recommendations/{answer['id']}").json()
    assert again["recommendation"] == answer["recommendation"]
    client.delete(link["href"])
    ended = client.get(f"/v1/recommendations/{answer['id']}").json()
    assert ended["verification"]["status"] == "cancelled"
    assert client.get("/v1/recommendations/none").status_code == 404


def test_an_answer_that_can_t_be_verified_says_why(client):
    """The default study's speech is not built in: auto answers all the same, always does not."""
    asked = question(budget={"gflops_per_utterance": 50})
    auto = client.post("/v1/recommendations", json=asked, params={"verify": "auto"})
    assert auto.status_code == 200
    if auto.json()["recommendation"]["verification"]["needed"]:
        assert "name the data set" in auto.json()["not_verified"]
    always = client.post("/v1/recommendations", json=asked, params={"verify": "always"})
    assert always.status_code == 422


def test_a_key_where_one_is_set(tmp_path):
    settings = Settings(
        database_url=f"sqlite:///{tmp_path / 'store.db'}", api_key="correct horse battery"
    )
    with TestClient(create_app(settings)) as guarded:
        assert guarded.get("/health").status_code == 200
        refused = guarded.get("/v1/models")
        assert refused.status_code == 401
        assert refused.headers["content-type"] == PROBLEM
        assert refused.headers["www-authenticate"] == "Bearer"
        wrong = {"Authorization": "Bearer correct horse"}
        assert guarded.get("/v1/models", headers=wrong).status_code == 401
        right = {"Authorization": "Bearer correct horse battery"}
        assert guarded.get("/v1/models", headers=right).status_code == 200


def test_keys_reach_as_far_as_their_scope(tmp_path, monkeypatch):
    """A revoked key, a wrong secret and a scope too small are all turned away."""
    monkeypatch.setattr(security, "_LOOK_AGAIN_S", -1.0)
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}")
    store = Store.open(settings.database_url)
    row = {
        "study": "mine",
        "dataset": "calls",
        "provenance": "ours",
        "model": "base",
        "wer": 0.2,
        "unit": "fraction",
    }

    def take_in(client, key):
        headers = {"Authorization": f"Bearer {key}"}
        return client.post("/v1/measurements", json={"rows": [row]}, headers=headers).status_code

    with TestClient(create_app(settings)) as guarded:
        assert guarded.get("/v1/models").status_code == 200
        plan = security.create_key(store, name="a", scope="plan")
        measure = security.create_key(store, name="b", scope="measure")
        assert guarded.get("/v1/models").status_code == 401
        asked = guarded.get("/v1/models", headers={"Authorization": f"Bearer {plan}"})
        assert asked.status_code == 200
        assert take_in(guarded, plan) == 403
        assert take_in(guarded, measure) == 200
        assert take_in(guarded, measure[:-1]) == 401
        assert take_in(guarded, "sp_none_none") == 401
        for verify in ("verify=auto", "verify=never&verify=auto", "verify=auto&verify=never"):
            verifying = guarded.post(
                f"/v1/recommendations?{verify}",
                json=question(),
                headers={"Authorization": f"Bearer {plan}"},
            )
            assert verifying.status_code == 403
        assert store.revoke_api_key(measure.split("_")[1])
        assert take_in(guarded, measure) == 401
    assert not any(plan.rpartition("_")[2] in str(vars(key)) for key in store.api_keys())
    store.close()


def test_a_store_that_goes_away_is_a_problem_not_a_crash(tmp_path):
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}")
    with TestClient(create_app(settings), raise_server_exceptions=False) as opened:
        assert opened.get("/health").status_code == 200
        with sqlite3.connect(tmp_path / "store.db") as connection:
            connection.execute("alter table revisions rename to elsewhere")
        for response in (
            opened.get("/health"),
            opened.post("/v1/recommendations", json=question()),
            opened.get("/v1/studies"),
        ):
            assert response.status_code == 503
            assert response.headers["content-type"] == PROBLEM
        with sqlite3.connect(tmp_path / "store.db") as connection:
            connection.execute("alter table elsewhere rename to revisions")
        assert opened.get("/health").status_code == 200


def test_what_needs_no_store_is_answered_without_it(tmp_path, monkeypatch):
    """Catches a key guard that takes everything down with the store, its own figures too."""
    monkeypatch.setattr(security, "_LOOK_AGAIN_S", -1.0)
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}")
    with TestClient(create_app(settings)) as opened:
        assert "speechplan_store_up 1.0" in opened.get("/metrics").text
        with sqlite3.connect(tmp_path / "store.db") as connection:
            for table in ("api_keys", "measurements"):
                connection.execute(f"alter table {table} rename to {table}_elsewhere")
        assert "speechplan_store_up 0.0" in opened.get("/metrics").text
        assert opened.get("/v1/costs?model=base").status_code == 200
        assert opened.get("/v1/models").status_code == 200


@pytest.mark.parametrize("path", ["/v1/sweeps", "/v1/verifications", "/sweeps", "/verifications"])
def test_a_cursor_that_no_page_gave_is_refused(client, path):
    """Catches an empty page that looks like the end of the list."""
    answer = client.get(path, params={"cursor": "zzz"})
    assert answer.status_code == 400
    assert "no next_cursor" in answer.text


def test_what_has_ended_otherwise_can_t_be_cancelled(tmp_path):
    """Catches an answer that says so of a sweep, and of a verification another."""
    spec = {"models": ["tiny.en"], "speech": [{"dataset": "demo", "limit": 7}]}
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}")
    with TestClient(create_app(settings)) as own:
        begun = own.post("/v1/sweeps", json=spec)
        store = Store(settings.database_url)
        row = store.sweep(begun.json()["id"])
        store.put_sweep(row.id, status="done", document=row.document)
        store.close()
        answer = own.delete(begun.headers["location"])
        assert (answer.status_code, answer.json()["detail"]) == (409, "the sweep is done")
        assert own.get(begun.headers["location"]).json()["status"] == "done"


def test_what_reads_the_store_documents_that_it_may_be_away(client):
    """Catches clients that are not told of a 503 which the key or the store may mean."""
    document = client.get("/schema/openapi.json").json()
    for path in ("/v1/costs", "/metrics"):
        assert "503" in document["paths"][path]["get"]["responses"]
