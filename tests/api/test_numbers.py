"""Numbers over HTTP: whatever is sent, costs are finite and above zero, or the field is named."""

import json
import math
from pathlib import Path
from typing import Annotated, get_args, get_origin

import annotated_types
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from pydantic import BaseModel

from api.app import create_app
from api.job_schemas import VerificationRequest
from api.schemas import PredictionsRequest
from measurements.settings import Settings
from measurements.sweeps.spec import Speech, SweepSpec
from models_registry import Configuration
from planner.question import Budget, FrontQuestion, Question
from planner.workload import Workload

EXTREMES = (
    0,
    -1,
    -1e308,
    1e-320,
    5e-324,
    1e-9,
    1e-3,
    0.5,
    1,
    1e3,
    1e9,
    1e300,
    1.7e308,
    10**30,
    10**400,
    math.nan,
    math.inf,
    -math.inf,
)
BUDGETS = sorted(Budget.model_fields)
FIELDS = [
    *(("budget", name) for name in BUDGETS),
    ("target_wer",),
    ("level",),
    ("risk",),
    ("tolerance",),
    ("seed",),
    ("alternatives",),
    ("relax", "memory_gib"),
    ("usd_per_device_hour",),
    ("device_watts",),
    ("max_utilisation",),
    ("workload", "durations_s", 0),
    ("workload", "weights", 0),
    ("workload", "tokens_per_audio_s"),
    ("workload", "max_batch_size"),
    ("workload", "arrivals_per_s"),
]
CONFIGURED = (
    "window_s",
    "tail_s",
    "token_stride",
    "reduction_layer",
    "exit_layer",
    "rank",
    "unfrozen_layers",
    "batch_size",
)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('numbers') / 's.db'}"
    app = create_app(Settings(database_url=url))
    with TestClient(app, raise_server_exceptions=False) as opened:
        yield opened


def question():
    return {
        "budget": {"memory_gib": 500},
        "device": "nvidia-l4",
        "usd_per_device_hour": 1,
        "alternatives": 0,
        "models": ["tiny.en", "base"],
        "workload": {"durations_s": [4, 9], "weights": [1, 2], "arrivals_per_s": 1},
    }


def put(body, path, value):
    for part in path[:-1]:
        body = body.setdefault(part, {}) if isinstance(body, dict) else body[part]
    body[path[-1]] = value


def numbers_of(document, at=""):
    if isinstance(document, dict):
        for name, value in document.items():
            yield from numbers_of(value, f"{at}.{name}")
    elif isinstance(document, list):
        for place, value in enumerate(document):
            yield from numbers_of(value, f"{at}.{place}")
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield at, document


COSTS = ("mean", "gflops_per_utterance", "gflops_per_audio_second", "memory_gib", "rtf")


def assert_answered_or_named(response, field):
    """No 500, no null, no 0: or a problem that names the field, or that there is no answer."""
    assert response.status_code in (200, 400, 422), f"{field}: {response.text[:500]}"
    document = json.loads(response.text, parse_constant=lambda word: pytest.fail(word))
    if response.status_code == 400 and "errors" not in document:
        # NaN and infinity are no JSON: of a body that can't be parsed the place is named.
        assert "JSON is malformed" in document["detail"]
    elif response.status_code == 400:
        named = [error["field"] for error in document["errors"]]
        assert any(one == field or field.startswith(f"{one}.") for one in named if one), named
    if response.status_code != 200:
        assert document["detail"]
        return
    found = document.get("recommendation") or document["items"][0]
    costs = found["costs"]
    needed = ("gflops_per_utterance", "gflops_per_audio_second", "memory_gib", "parameters")
    assert all(costs[name] > 0 for name in needed), costs
    assert all(math.isfinite(value) for _, value in numbers_of(document))
    for name, one in found["predictions"].items():
        assert one["mean"] > 0, (name, one)
        assert 0 <= one["lower"] <= one["mean"] * (1 + 1e-9), (name, one)
        assert one["mean"] <= one["upper"] * (1 + 1e-9), (name, one)


def posted(client, path, body):
    headers = {"content-type": "application/json"}
    return client.post(path, content=json.dumps(body), headers=headers)


@pytest.mark.parametrize("path", FIELDS, ids=lambda path: ".".join(map(str, path)))
def test_a_question_with_any_number_is_answered_or_the_field_named(path, client):
    """Catches 500, 0 GFLOPs and null behind durations of nanoseconds and weights without end."""
    for value in EXTREMES:
        body = question()
        put(body, path, value)
        found = posted(client, "/v1/recommendations", body)
        assert_answered_or_named(found, ".".join(map(str, path)))


@pytest.mark.parametrize("field", CONFIGURED)
@pytest.mark.parametrize("task", ["asr", "ser"])
def test_a_configuration_with_any_number_is_answered_or_the_field_named(field, task, client):
    for value in (*EXTREMES, 0.02, 29.98, 1500, 4096, 1 + 1e-15):
        named = {"model": "base", "task": task, field: value}
        if field == "tail_s":
            named |= {"window_policy": "ladder"} if task == "asr" else {}
        if field == "rank":
            named["adapter"] = "lora"
        if field == "unfrozen_layers":
            named["adapter"] = "partial"
        if field == "reduction_layer":
            named["token_stride"] = 2
        body = {"configurations": [{"model": "base", "task": task}, named], "device": "nvidia-l4"}
        found = posted(client, "/v1/predictions", body)
        assert_answered_or_named(found, f"configurations.1.{field}")
        # Of one row the costs are a sweep's and a verification's, too.
        alone = client.get("/v1/costs", params=named)
        assert alone.status_code in (200, 400, 422), alone.text
        if alone.status_code == 200:
            counted = alone.json()
            assert math.isfinite(counted["gflops"])
            assert counted["gflops"] > 0
            assert counted["memory_bytes"] > 0


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    chosen=st.lists(
        st.tuples(
            st.sampled_from([path for path in FIELDS if path != ("seed",)]),
            st.one_of(
                st.sampled_from(EXTREMES),
                st.floats(allow_nan=True, allow_infinity=True),
                st.floats(1e-9, 1e9),
                st.integers(-(10**20), 10**20),
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_several_odd_numbers_together(chosen, client):
    body = question()
    for path, value in chosen:
        put(body, path, value)
    response = posted(client, "/v1/recommendations", body)
    assert response.status_code in (200, 400, 422), f"{body}: {response.text[:500]}"
    document = json.loads(response.text, parse_constant=lambda word: pytest.fail(word))
    if response.status_code == 200:
        assert document["recommendation"]["costs"]["gflops_per_utterance"] > 0
        assert None not in document["recommendation"]["costs"]["memory_bytes"].values()
        assert all(math.isfinite(value) for _, value in numbers_of(document))
    elif response.status_code == 400:
        assert document.get("errors") or "JSON is malformed" in document["detail"]


@pytest.mark.parametrize("value", EXTREMES)
@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/studies/ser-emodb-de/scaling", "level"),
        ("/v1/studies/ser-emodb-de/curves", "seed"),
        ("/v1/studies/ser-emodb-de/curves", "limit"),
        ("/v1/studies/ser-emodb-de/curves", "cursor"),
        ("/v1/measurements", "limit"),
        ("/v1/calibration", "limit"),
    ],
)
def test_numbers_of_a_query_are_in_range_or_named(path, field, value, client):
    response = client.get(path, params={field: value})
    assert response.status_code in (200, 400), response.text
    document = json.loads(response.text, parse_constant=lambda word: pytest.fail(word))
    if response.status_code == 400:
        assert [error["field"] for error in document["errors"]] == [field]


def test_the_least_and_the_most_that_there_may_be(client):
    """Every end of every bound together still has finite costs."""
    ends = {
        "least": {"durations_s": [0.02], "weights": [1e-9], "tokens_per_audio_s": 1e-3},
        "most": {"durations_s": [1e6], "weights": [1e12], "tokens_per_audio_s": 1e3},
    }
    arrivals, price, watts = {"least": 1e-6, "most": 1e6}, (1e-6, 1e6), (1e-3, 1e6)
    for name, workload in ends.items():
        place = name == "most"
        body = question() | {
            "budget": {"memory_gib": 1e6},
            "workload": {**workload, "arrivals_per_s": arrivals[name]},
            "usd_per_device_hour": price[place],
            "device_watts": watts[place],
            "max_utilisation": 1 if place else 0.01,
            "level": 0.999_999,
            "risk": 1e-6,
        }
        response = posted(client, "/v1/recommendations", body)
        assert response.status_code in (200, 422), response.text
        named = {"configurations": [{"model": "large-v3"}, {"model": "tiny.en", "window_s": 0.02}]}
        for kept in ("workload", "device", "usd_per_device_hour", "device_watts", "level", "risk"):
            named[kept] = body[kept]
        for item in posted(client, "/v1/predictions", named).json()["items"]:
            for what, one in item["predictions"].items():
                assert 0 < one["mean"] < math.inf, what


CASES = Path(__file__).parents[3] / "shared" / "cases" / "http-numbers"


@pytest.mark.skipif(not CASES.exists(), reason=f"needs {CASES}, which is not on this machine")
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("tiny", "workload.durations_s.0"),
        ("long", "workload.durations_s.0"),
        ("weights", "workload.weights.0"),
    ],
)
def test_cases_that_people_have_reported(name, field, client):
    content = (CASES / f"{name}.json").read_bytes()
    headers = {"content-type": "application/json"}
    response = client.post("/v1/recommendations", content=content, headers=headers)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == field


def bare_numbers(kind, path=()):
    """Fields that take a number without both ends."""
    for name, field in kind.model_fields.items():
        yield from _bare(field.annotation, field.metadata, (*path, name))


def _bare(annotation, metadata, path):
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        metadata = [*metadata, *more]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return  # it is walked by itself
    if annotation in (int, float):
        flat = [part for one in metadata for part in getattr(one, "metadata", [one])]
        low = any(isinstance(one, annotated_types.Ge | annotated_types.Gt) for one in flat)
        high = any(isinstance(one, annotated_types.Le | annotated_types.Lt) for one in flat)
        if not (low and high):
            yield ".".join(path)
        return
    for own in get_args(annotation):
        # Limits of a list's length are no limits of what is in it.
        yield from _bare(
            own, [] if get_origin(annotation) in (tuple, list, dict) else metadata, path
        )


CHECKED_TOGETHER = {
    # Held against the model's own architecture.
    "window_s",
    "tail_s",
    "token_stride",
    "reduction_layer",
    "exit_layer",
    "unfrozen_layers",
}


@pytest.mark.parametrize(
    "kind",
    [
        Budget,
        Configuration,
        FrontQuestion,
        PredictionsRequest,
        Question,
        Speech,
        SweepSpec,
        VerificationRequest,
        Workload,
    ],
)
def test_every_number_of_a_request_has_two_ends(kind):
    """Catches a field that is added without them."""
    assert set(bare_numbers(kind)) - CHECKED_TOGETHER == set()


def test_the_bare_are_found():
    class Bare(BaseModel):
        plain: float
        listed: tuple[float, ...] = ()
        maybe: int | None = None
        named: Annotated[float, annotated_types.Ge(0)] = 0

    assert set(bare_numbers(Bare)) == {"plain", "listed", "maybe", "named"}
