"""Generated requests against the OpenAPI document: no crash, nothing undocumented."""

import time
from collections import Counter

import pytest

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from litestar.testing import TestClient  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import positive_data_acceptance  # noqa: E402
from schemathesis.core.parameters import ParameterLocation  # noqa: E402
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection  # noqa: E402

from api.app import create_app  # noqa: E402
from measurements.settings import Settings  # noqa: E402
from models_registry.weights import available  # noqa: E402

pytestmark = pytest.mark.contract

POSITIVE = GenerationMode.POSITIVE
KEY = "correct horse battery"

EXAMPLES = {
    "recommend": 40,
    "getRecommendation": 30,
    "getPlan": 20,
    "getModelCard": 20,
    "makePlan": 20,
    "drawFront": 40,
    "predict": 15,
    "listDevices": 34,
    "getDevice": 20,
    "indexCurves": 20,
    "listCurves": 34,
    "getScaling": 20,
    "startVerification": 25,
    "listVerifications": 34,
    "getVerification": 30,
    "cancelVerification": 30,
    "followVerification": 30,
    "getCoverage": 34,
    "startSweep": 12,
    "listSweeps": 34,
    "getSweep": 30,
    "listSweepRuns": 20,
    "cancelSweep": 30,
    "followSweep": 30,
    "listModels": 34,
    "getModel": 20,
    "getCost": 50,
    "listStudies": 30,
    "getStudy": 20,
    "listMeasurements": 30,
    "findMeasurements": 20,
    "getMeasurement": 20,
    "importMeasurements": 15,
    "getHealth": 1,
    "getLiveness": 1,
    "getMetrics": 1,
    "getReadiness": 1,
}
"""Requests of each operation: with a key, again without one, and without any key in use."""

NAMES = {
    "task": ["asr", "ser"],
    "study": [None, "asr-demo", "asr-librispeech-test-other", "ser-crema-d", "ser-emodb-de"],
    "model": ["tiny.en", "base", "large-v3", "wav2vec2-base", "hubert-base"],
    "models": [None, ["base"], ["tiny", "hubert-base"], ["wav2vec2-base"], ["hubert-base"]],
    "without_studies": [[], [], ["asr-librispeech-mini-test-other"], ["ser-emodb-de", "nope"]],
    "device": [None, "local", "nvidia-l4", "cpu-amd-epyc-avx2-2t-f97b39"],
    "dataset": ["demo"],
    "verify": ["never", "auto", "always"],
}
"""Names that a generator never guesses: what is behind them is asked for with these."""

BUDGETS = [
    *({"budget": {"gflops_per_utterance": gflops}} for gflops in (1, 20, 200)),
    {"budget": {"rtf": 0.1}, "device": "nvidia-l4"},
]

ASKED = {"budget": {"gflops_per_utterance": 200}, "study": "asr-demo"}


def application(folder, key):
    """The service on a new store, what is asked for most in it, and what was begun there."""
    url = f"sqlite:///{folder / 'store.db'}"
    # A body of more than the limit is refused with 413, which the check takes for accepted.
    app = create_app(Settings(database_url=url, api_key=key, max_body_bytes=100_000_000))
    known = {}
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    with TestClient(app) as client:
        client.headers.update(headers)
        for warm in (ASKED, {"budget": {"gflops_per_utterance": 200}}):
            assert client.post("/v1/recommendations", json=warm).status_code == 200
        sweep = {"models": ["tiny.en"], "speech": [{"dataset": "demo", "limit": 2}]}
        place = client.post("/v1/sweeps", json=sweep).headers["location"]
        client.delete(place)
        known["sweep_id"] = place.rpartition("/")[2]
        if available("whisper-tiny.en"):
            body = {"question": ASKED, "configuration": {"model": "tiny.en"}}
            place = client.post("/v1/verifications", json=body).headers["location"]
            client.delete(place)  # otherwise its events would never end
            known["verification_id"] = known["recommendation_id"] = place.rpartition("/")[2]
        known["key"] = client.get("/v1/measurements?limit=1").json()["items"][0]["key"]
        known |= {"model_name": "base", "device_id": "nvidia-l4"}
        known["study_id"] = "asr-librispeech-test-other"
    return app, known


def operations(app):
    document = schemathesis.openapi.from_asgi("/schema/openapi.json", app)
    found = [result.ok() for result in document.get_all_operations()]
    return {operation.definition.raw["operationId"]: operation for operation in found}


def test_at_least_2000_requests_meet_no_crash_and_nothing_undocumented(tmp_path, subtests):
    """With the right key, without one where one is needed, and where none is."""
    asked, spent = Counter(), Counter()
    enforced = set()
    for mode in ("a key", "no key", "none needed"):
        folder = tmp_path / mode
        folder.mkdir()
        app, known = application(folder, None if mode == "none needed" else KEY)
        found = operations(app)
        assert sorted(found) == sorted(EXAMPLES)
        for name, number in EXAMPLES.items():
            with subtests.test(mode=mode, operation=name):
                began = time.perf_counter()
                kinds = list(GenerationMode) if can_be_wrong(found[name]) else [POSITIVE]
                for kind in kinds:
                    each = -(-number // len(kinds))
                    every_case(found[name], kind, each, mode, known, asked, enforced)
                spent[name] += time.perf_counter() - began
    print(asked.total(), "requests;", {n: round(s, 1) for n, s in spent.most_common(8)})
    assert asked.total() >= 2000


def test_every_operation_has_examples_that_are_true_to_it(tmp_path):
    """Catches an answer whose shape has changed and an example that has not.

    ``python -m tests.api.record_examples`` writes them anew.
    """
    validator_for = pytest.importorskip("jsonschema_rs").validator_for
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}"))
    with TestClient(app) as client:
        document = client.get("/schema/openapi.json").json()
    for operations in document["paths"].values():
        for operation in operations.values():
            name = operation["operationId"]
            contents = [operation.get("requestBody", {}).get("content", {})]
            contents += [
                answer.get("content", {})
                for status, answer in operation["responses"].items()
                if status != "304"
            ]
            for content in contents:
                for media_type, described in content.items():
                    if media_type in ("text/event-stream", "application/vnd.apache.parquet"):
                        continue
                    assert described.get("examples"), f"{name} has no example of {media_type}"
                    schema = {**described["schema"], "components": document["components"]}
                    for example in described["examples"].values():
                        validator_for(schema).validate(example["value"])
            named = [p for p in operation.get("parameters", []) if p["in"] == "path"]
            assert all("example" in p for p in named), name


def every_case(operation, kind, number, mode, known, asked, enforced):
    """Requests that the document allows, or such as it does not."""
    name = operation.definition.raw["operationId"]
    headers = {"Authorization": f"Bearer {KEY}"} if mode == "a key" else {}

    @settings(
        max_examples=number,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
    )
    @given(case=operation.as_strategy(generation_mode=kind), chance=st.randoms())
    def each(case, chance):
        asked[name, kind] += 1
        if chance.random() < 0.5 and not case.meta.is_negative_at(ParameterLocation.PATH):
            for place in set(case.path_parameters or ()) & set(known):
                case.path_parameters[place] = known[place]
        if kind.is_positive:
            seeded(case, chance)
        # A schema can't say which models exist, or that a question needs a budget; and query
        # parameters that nobody knows are let be.
        excluded = [positive_data_acceptance]
        if not case.meta.is_negative_at(ParameterLocation.BODY):
            excluded.append(negative_data_rejection)
        if mode == "none needed" or (mode == "a key" and name in enforced):
            excluded.append(ignored_auth)
        response = case.call_and_validate(headers=headers, excluded_checks=excluded)
        if mode == "a key" and response.status_code < 300:
            enforced.add(name)

    each()


def can_be_wrong(operation):
    """Whether a request can be against the document; any text is a path's id."""
    raw = operation.definition.raw
    places = {parameter["in"] for parameter in raw.get("parameters", ())}
    return "requestBody" in raw or bool(places - {"path"})


def seeded(case, chance):
    """Makes of a generated request one that comes further than the check of its fields."""
    if chance.random() < 0.8:
        case.headers.pop("If-Match", None)
    case.query = named(case.query, chance, set(case.query or ()))
    likely = likely_body(case.operation.path, chance)
    if likely is None or chance.random() < 0.3:
        return
    components = case.operation.schema.raw_schema["components"]["schemas"]
    fields = {name for one in components.values() for name in one.get("properties", ())}
    generated = named(case.body, chance, fields) if chance.random() < 0.5 else {}
    case.body = {**generated, **likely} if isinstance(generated, dict) else likely


def likely_body(path, chance):
    """What is known, whether it goes together or not; none where nothing has to be."""
    asked = {
        name: chance.choice(NAMES[name]) for name in ("task", "study", "without_studies", "models")
    }
    asked |= chance.choice(BUDGETS)
    named = {"task": asked["task"], "model": chance.choice(NAMES["model"])}
    trials = chance.choice([0, 3]) if asked["task"] == "asr" else 0
    bodies = {
        "/v1/recommendations": {**asked, "relax": {}, "trials": trials},
        "/v1/plans": {**asked, "trials": 0},
        "/v1/pareto-fronts": asked,
        "/v1/predictions": {"configurations": [named], "study": asked["study"]},
        "/v1/verifications": {
            "question": asked,
            "configuration": chance.choice([None, named]),
            "dataset": chance.choice([None, "demo"]),
        },
        "/v1/sweeps": {
            "task": asked["task"],
            "models": [named["model"]],
            "speech": [{"dataset": "demo", "limit": 2}],
            "axes": {},
        },
    }
    return bodies.get(path)


def named(value, chance, fields):
    """Names that are known where there are any, without fields that nobody knows."""
    if isinstance(value, list):
        return [named(one, chance, fields) for one in value]
    if not isinstance(value, dict):
        return value
    found = {field: named(one, chance, fields) for field, one in value.items() if field in fields}
    return found | {field: chance.choice(NAMES[field]) for field in set(found) & set(NAMES)}
