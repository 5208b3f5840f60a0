"""Asks a new service what its OpenAPI document shows, and writes the answers into it.

``python -m tests.api.record_examples``
"""

import json
import os
import tempfile
from pathlib import Path

from litestar.testing import TestClient

from api.app import create_app
from api.examples import PLACE
from measurements.row_formats import table_of
from measurements.settings import Settings

QUESTION = {"task": "asr", "budget": {"gflops_per_utterance": 200}}
SMALL = {"study": "asr-demo", "budget": {"gflops_per_utterance": 60}}
ROW = {"study": "calls", "dataset": "calls", "provenance": "our own runs", "model": "base"}
FIGURES = {"wer": 0.12, "unit": "fraction"}
REQUESTS = {
    "recommend": {**QUESTION, "alternatives": 1},
    "makePlan": QUESTION,
    "drawFront": {"x": "gflops_per_utterance", "y": "quality", "budget": {"memory_gib": 2}},
    "predict": {
        "configurations": [
            {"model": "base", "window_s": 20, "token_stride": 2, "reduction_layer": 3}
        ],
        "device": "nvidia-l4",
        "usd_per_device_hour": 0.8,
    },
    "startVerification": {
        "question": {**SMALL, "alternatives": 0},
        "configuration": {"model": "tiny.en", "window_s": 15},
        "limit": 20,
    },
    "startSweep": {
        "models": ["tiny.en"],
        "speech": [{"dataset": "demo", "limit": 20}],
        "axes": {"window_s": [10, 15, 20]},
    },
    "importMeasurements": {"rows": [{**ROW, "window_s": 20, **FIGURES}]},
}
STUDY = "asr-librispeech-test-other-lora32"
PARAMETERS = {
    "study_id": STUDY,
    "study": STUDY,
    "source": "published",
    "model_name": "whisper-base",
    "device_id": "nvidia-l4",
    "level": 0.9,
    "model": "whisper-base",
    "task": "asr",
    "window_s": 20,
    "token_stride": 2,
    "reduction_layer": 3,
    "precision": "fp32",
    "convention": "counted-1",
    "verify": "never",
    "dataset": "demo",
    "limit": 20,
    "wait_s": 60,
    "seed": 0,
    "unit": "percent",
    "Idempotency-Key": "deploy-2026-11-24",
    "If-Match": '"0.1.0-0"',
    "If-None-Match": '"0.1.0-0"',
}
_KEPT = 1


def cut(value):
    """The same with one item of each list, so that an example can be read."""
    if isinstance(value, dict):
        return {name: cut(one) for name, one in value.items()}
    if isinstance(value, list):
        return [cut(one) for one in value[:_KEPT]]
    return value


def _own(metrics):
    """What the service says of itself, without its process and its interpreter."""
    lines = metrics.splitlines(keepends=True)
    return "".join(line for line in lines if "speechplan_store_up" in line)


def record(folder):
    """All of ``examples.json``."""
    app = create_app(Settings(database_url=f"sqlite:///{folder / 'store.db'}"))
    with TestClient(app) as client:

        def asked(method, path, **options):
            answer = client.request(method, path, **options)
            assert answer.status_code in (200, 202), answer.text
            return answer.json()

        def posted(name, path):
            return asked("POST", path, json=REQUESTS[name])

        verification = posted("startVerification", "/v1/verifications")
        sweep = posted("startSweep", "/v1/sweeps")
        begun = f"/v1/verifications/{verification['verification']['id']}"
        swept = f"/v1/sweeps/{sweep['id']}"
        place = begun.rpartition("/")[2]
        cost = {name: PARAMETERS[name] for name in ("model", "token_stride", "reduction_layer")}
        (measured,) = asked("GET", "/v1/measurements", params={"limit": 1})["items"]
        key = measured["key"]
        responses = {
            "recommend": posted("recommend", "/v1/recommendations"),
            "getRecommendation": asked("GET", f"/v1/recommendations/{place}"),
            "getPlan": asked("GET", f"/v1/recommendations/{place}/plan"),
            "getModelCard": client.get(f"/v1/recommendations/{place}/model-card").text,
            "makePlan": posted("makePlan", "/v1/plans"),
            "drawFront": posted("drawFront", "/v1/pareto-fronts"),
            "predict": posted("predict", "/v1/predictions"),
            "startVerification": verification,
            "getVerification": asked("GET", begun),
            "listVerifications": asked("GET", "/v1/verifications"),
            "cancelVerification": asked("DELETE", begun),
            "startSweep": sweep,
            "getSweep": asked("GET", swept),
            "listSweepRuns": asked("GET", f"{swept}/runs"),
            "listSweeps": asked("GET", "/v1/sweeps"),
            "cancelSweep": asked("DELETE", swept),
            "listDevices": asked("GET", "/v1/devices"),
            "listModels": asked("GET", "/v1/models"),
            "getModel": asked("GET", "/v1/models/whisper-base"),
            "getDevice": asked("GET", "/v1/devices/nvidia-l4"),
            "getCost": asked("GET", "/v1/costs", params=cost),
            "listStudies": asked("GET", "/v1/studies"),
            "getStudy": asked("GET", f"/v1/studies/{STUDY}"),
            "indexCurves": asked("GET", "/v1/curves"),
            "listCurves": asked("GET", "/v1/studies/asr-librispeech-mini-test-other/curves"),
            "getScaling": asked("GET", f"/v1/studies/{STUDY}/scaling"),
            "listMeasurements": asked("GET", f"/v1/studies/{STUDY}/measurements"),
            "findMeasurements": asked("GET", "/v1/measurements", params={"study": STUDY}),
            "getMeasurement": asked("GET", f"/v1/measurements/{key}"),
            "getCoverage": asked("GET", "/v1/calibration"),
            "importMeasurements": posted("importMeasurements", "/v1/measurements"),
            "getHealth": asked("GET", "/health"),
            "getLiveness": asked("GET", "/health/live"),
            "getReadiness": asked("GET", "/health/ready"),
            "getMetrics": _own(client.get("/metrics").text),
        }
        flat = {"study": "calls", "model": "whisper-base"}
        texts = {
            "findMeasurements": {
                kind: client.get("/v1/measurements", params=flat, headers={"Accept": kind}).text
                for kind in ("application/jsonl", "text/csv")
            },
            "importMeasurements": {
                "application/jsonl": json.dumps(ROW | FIGURES) + "\n",
                "text/csv": table_of([ROW | FIGURES], ".csv").decode(),
            },
        }
        responses = {name: cut(answer) for name, answer in responses.items()}
    ids = {"verification_id": place, "recommendation_id": place, "sweep_id": sweep["id"]}
    ids["key"] = key
    return {
        "requests": REQUESTS,
        "parameters": {**PARAMETERS, **ids},
        "responses": responses,
        "texts": texts,
    }


def main():
    if not PLACE.exists():
        PLACE.write_text('{"texts": {}, "requests": {}, "parameters": {}, "responses": {}}')
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SPEECHPLAN_CACHE_DIR"] = folder
        found = record(Path(folder))
    PLACE.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
