"""What is known of one configuration: the numbers of a recommendation, for whichever is named."""

import json
import math

import pytest
from litestar.testing import TestClient

from api.app import create_app
from measurements.catalogue import catalogue
from measurements.settings import Settings
from planner.question import TIMED

STUDY = "asr-librispeech-mini-test-other"
CALLS = {"durations_s": [2, 5, 11, 47], "weights": [4, 3, 2, 1], "tokens_per_audio_s": 2.4}
ARRIVING = {**CALLS, "max_batch_size": 8, "arrivals_per_s": 3}
PRICED = {"device": "nvidia-l4", "usd_per_device_hour": 0.8}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('predictions') / 's.db'}"
    with TestClient(create_app(Settings(database_url=url))) as opened:
        yield opened


def asked(client, path, **body):
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def assert_same(one, other, at=""):
    """Equal but for the last digits: sums of retries are taken in blocks."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), at
        for name, value in one.items():
            assert_same(value, other[name], f"{at}.{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), at
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{at}.{place}")
    elif isinstance(one, float) and isinstance(other, float):
        assert math.isclose(one, other, rel_tol=1e-7), f"{at}: {one} {other}"
    else:
        assert one == other, at


@pytest.mark.parametrize(
    ("setting", "budget"),
    [
        ({}, {"gflops_per_utterance": 60}),
        ({"study": STUDY, "level": 0.5, "convention": "seed-2606.22790"}, {"memory_gib": 1}),
        ({"study": STUDY, "workload": CALLS}, {"gflops_per_audio_second": 30}),
        ({"device": "cpu-amd-epyc-2t", "study": STUDY}, {"rtf": 0.3}),
        ({**PRICED, "workload": CALLS, "risk": 0.2}, {"usd_per_audio_hour": 0.01}),
        (
            {**PRICED, "device_watts": 60, "workload": ARRIVING, "max_utilisation": 0.5},
            {"latency_p95_s": 0.4, "joules_per_audio_second": 1},
        ),
        ({"task": "ser", "study": "ser-emodb-de", "device": "nvidia-t4"}, {"memory_gib": 1}),
        ({"task": "ser"}, {"gflops_per_utterance": 60}),
    ],
)
def test_a_configuration_gets_the_numbers_of_its_recommendation(setting, budget, client):
    """Every field of it, of the choice and of the alternatives; measured and predicted ones."""
    found = asked(client, "/v1/recommendations", budget=budget, **setting)
    chosen, others = found["recommendation"], found["recommendation"]["alternatives"]
    setting.pop("task", None)
    configurations = [one["configuration"] for one in (chosen, *others)]
    answer = asked(client, "/v1/predictions", configurations=configurations, **setting)
    assert [item["configuration"] for item in answer["items"]] == configurations
    for item, one in zip(answer["items"], (chosen, *others), strict=True):
        known = {name: item["predictions"].pop(name) for name in one["predictions"]}
        assert_same(known, one["predictions"])
        for name, counted in item["predictions"].items():
            assert_same(counted["mean"], float(item["costs"][name]))
            assert counted["lower"] <= counted["mean"] <= counted["upper"]
            exact = not item["costs"]["retries_sd"] or name == "parameters"
            assert not exact or counted["lower"] == counted["upper"]
        assert set(item["predictions"]) == {
            "gflops_per_utterance",
            "gflops_per_audio_second",
            "parameters",
        }
        assert item["runnable"] == one["runnable"]
    first = answer["items"][0]
    assert_same(first["costs"], chosen["costs"])
    assert_same(first["deployment"], chosen["deployment"])
    assert answer["study"] == found["study"]["id"]
    assert answer["workload"] == found["study"]["workload"]
    assert answer["device"] == chosen["costs"]["device"]


def test_equal_configurations_are_answered_alike(client):
    """One that was timed, twice: a timing belongs to one row of a lattice."""
    timed = next(m for m in catalogue() if m.study == STUDY and m.timings)
    named = timed.configuration.model_dump(mode="json")
    body = {"configurations": [named, {**named, "batch_size": 4}, named]}
    setting = {"device": timed.device.id, "study": STUDY}
    first, _, last = asked(client, "/v1/predictions", **setting, **body)["items"]
    (alone,) = asked(client, "/v1/predictions", **setting, configurations=[named])["items"]
    assert_same(first, alone)
    assert first == last
    assert first["predictions"]["rtf"]["basis"] == "measured"


def test_what_can_t_be_said_is_named_with_what_it_takes(client):
    named = [{"model": "base"}]
    alone = asked(client, "/v1/predictions", configurations=named)
    assert set(alone["left_out"]) == set(TIMED)
    assert not set(alone["items"][0]["predictions"]) & set(TIMED)
    on = asked(client, "/v1/predictions", configurations=named, device="nvidia-l4")
    assert set(on["left_out"]) == {"usd_per_audio_hour"}
    assert set(on["items"][0]["predictions"]) >= set(TIMED) - set(on["left_out"])
    priced = asked(client, "/v1/predictions", configurations=named, **PRICED)
    assert priced["left_out"] == {}


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("configurations.1.window_s", {"configurations": [{}, {"window_s": 31}]}),
        ("configurations.1.task", {"configurations": [{}, {"task": "ser"}]}),
        ("configurations.0.task", {"configurations": [{"model": "hubert-base"}]}),
        ("configurations.1.rank", {"configurations": [{}, {"adapter": "lora"}]}),
        ("configurations.1.rank", {"configurations": [{}, {"adapter": "lora", "rank": 10**400}]}),
        (
            "configurations.1.precision",
            {"configurations": [{}, {"precision": "int4"}], "device": "nvidia-t4"},
        ),
        (
            "configurations.0.precision",
            {"configurations": [{"precision": "fp16"}], "device": "cpu-amd-epyc-2t"},
        ),
        (
            "configurations.2.window_policy",
            {"configurations": [{}, {}, {"window_policy": "truncate"}], "workload": CALLS},
        ),
        ("configurations", {"configurations": []}),
        ("budget", {"configurations": [{}], "budget": {"rtf": 1}}),
        ("workload.durations_s.0", {"configurations": [{}], "workload": {"durations_s": [0]}}),
    ],
)
def test_what_can_t_be_run_names_the_configuration_and_its_field(field, body, client):
    body["configurations"] = [{"model": "base", **one} for one in body["configurations"]]
    response = client.post("/v1/predictions", content=json.dumps(body))
    assert response.status_code == 400, response.text
    assert response.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "setting", [{"device": "nvidia-t5"}, {"study": "asr-nowhere"}, {"study": "ser-crema-d"}]
)
def test_what_is_not_known_is_the_problem_of_a_recommendation(setting, client):
    body = {"budget": {"gflops_per_utterance": 60}, **setting}
    refused = client.post("/v1/recommendations", json=body)
    named = client.post("/v1/predictions", json={"configurations": [{"model": "base"}], **setting})
    assert refused.status_code == named.status_code == 422
    assert named.json() == refused.json()


def test_quality_of_what_the_curves_don_t_describe_is_left_out(client):
    """Picked tokens lose far less at the output than their mean: it was answered as that."""
    picked = {"model": "base", "token_stride": 4, "reduction": "pick"}
    ser = {"model": "base", "task": "ser", "adapter": "full"}
    for named, metric in ((picked, "wer"), (ser, "ua")):
        (item,) = asked(client, "/v1/predictions", configurations=[named])["items"]
        assert metric not in item["predictions"]
        assert metric in " ".join(item["notes"])
        assert item["predictions"]["gflops_per_utterance"]["mean"] > 0


def test_a_device_s_memory_is_held_against_what_is_named(client):
    named = {"model": "large-v3", "batch_size": 256}
    (item,) = asked(client, "/v1/predictions", configurations=[named], device="nvidia-t4")["items"]
    assert item["predictions"]["memory_gib"]["mean"] > 16
    assert "memory" in " ".join(item["notes"])


def test_a_data_set_names_its_study(client):
    named = [{"model": "tiny.en"}]
    by_set = asked(client, "/v1/predictions", configurations=named, dataset="demo")
    assert by_set == asked(client, "/v1/predictions", configurations=named, study="asr-demo")
    for other in (
        {"dataset": "demo", "study": STUDY},
        {"dataset": "manifest:/etc/passwd"},
        {"dataset": "nothing"},
    ):
        refused = client.post("/v1/predictions", json={"configurations": named, **other})
        assert refused.status_code == 422, refused.text
    alone = client.post("/v1/predictions", json={"configurations": named, "subset": "test"})
    assert alone.status_code == 400


NEAR_S = (9.5, 9.9, 10, 10.02, 10.5)


def test_nearby_windows_take_nearly_the_same_time_on_every_device(client):
    """A timing of another task answered for one of them."""
    devices = [
        one["name"] for one in client.get("/v1/devices", params={"limit": 500}).json()["items"]
    ]
    named = [{"model": "base", "window_s": window_s} for window_s in NEAR_S]
    apart = {}
    for device in devices:
        found = asked(client, "/v1/predictions", configurations=named, device=device)
        rtf = [item["predictions"]["rtf"]["mean"] for item in found["items"]]
        for window_s, here, there in zip(NEAR_S[1:], rtf[:-1], rtf[1:], strict=True):
            if abs(there / here - 1) >= 0.1:
                apart[device, window_s] = (here, there)
    assert apart == {}
