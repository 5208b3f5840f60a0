"""``speechplan predict`` and ``judge``: the service's numbers, files, verdicts."""

import json
from datetime import UTC, datetime

import pytest
import yaml
from litestar.testing import TestClient
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from measurements.records import DatasetInfo, Measurement, Metric
from measurements.settings import Settings
from measurements.store import Store
from models_registry import Configuration

CONFIGURATIONS = [
    {"model": "base", "window_s": 15.0},
    {"model": "tiny.en", "token_stride": 2.0, "reduction_layer": 2},
]


@pytest.fixture(autouse=True)
def url(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 's.db'}")
    return f"sqlite:///{tmp_path / 's.db'}"


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def ask(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_command_and_the_service_give_the_same_answer(url):
    options = ["--device", "nvidia-l4", "--usd-per-device-hour", "0.8", "--level", "0.8"]
    served = ["--audio-s", "12", "--tokens-per-audio-s", "2.5", "--arrivals-per-s", "3"]
    said = ask("predict", "--model", "base", "--window-s", "15", *options, *served)
    body = {
        "configurations": CONFIGURATIONS[:1],
        "device": "nvidia-l4",
        "usd_per_device_hour": 0.8,
        "level": 0.8,
        "workload": {
            "durations_s": [12],
            "tokens_per_audio_s": 2.5,
            "arrivals_per_s": 3,
            "source": "every recording 12 s",
        },
    }
    with TestClient(create_app(Settings(database_url=url))) as client:
        assert client.post("/v1/predictions", json=body).json() == said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("many.yaml", yaml.safe_dump(CONFIGURATIONS)),
        ("many.json", json.dumps({"configurations": CONFIGURATIONS})),
        ("plans.yaml", yaml.safe_dump([{"configuration": one} for one in CONFIGURATIONS])),
    ],
)
def test_files_hold_one_configuration_or_many(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    wanted = [Configuration(**one).model_dump(mode="json") for one in CONFIGURATIONS]
    found = ask("predict", "--config", str(tmp_path / name))
    assert [item["configuration"] for item in found["items"]] == wanted
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps(ask("recommend", "--gflops", "60")))
    both = ask("predict", "--plan", str(tmp_path / name), "--plan", str(answer))
    assert len(both["items"]) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "holds no configuration"),
        ("- model: base\n- model: base\n  window_s: 31\n", "1.configuration.window_s"),
        ("- model: base\n- 3\n", "configuration: 1: "),
        ("- model: base\n- model: base\n  task: ser\n", "configurations.1.task"),
        ("model: basee\n", "did you mean"),
        ("a: [", "neither YAML nor JSON"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_its_place(content, said, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(content)
    result = run("predict", "--plan", str(path))
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ((), 2, "--model or --plan"),
        (("--model", "base", "--plan", "x.yaml"), 2, "--model or --plan"),
        (("--plan", "x.yaml", "--window-s", "10"), 2, "leave --window-s out"),
        (("--plan", "none.yaml"), 2, "none.yaml"),
        (("--model", "base", "--usd-per-device-hour", "1"), 2, "goes with --device"),
        (("--model", "base", "--max-utilisation", "0.5"), 2, "with --arrivals-per-s"),
        (("--model", "base", "--device", "nope"), 2, "unknown device"),
        (("--model", "base", "--precision", "int4", "--device", "nvidia-t4"), 2, "0.precision"),
        (("--model", "base", "--study", "ser-crema-d"), 4, "about ser, not asr"),
        (("--model", "base", "--subset", "x"), 2, "subset"),
        (("--model", "base", "--audio-s", "1e-9"), 2, "durations_s.0"),
        (("--model", "base", "--save", "/none/p.json"), 2, "/none/p.json"),
    ],
)
def test_errors_are_one_line(arguments, exit_code, said):
    result = run("predict", *arguments)
    assert result.exit_code == exit_code, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_readers_see_every_prediction_and_what_is_left_out():
    said = run("predict", "--model", "base", "--window-s", "15").stdout
    answer = ask("predict", "--model", "base", "--window-s", "15")
    wer = answer["items"][0]["predictions"]["wer"]
    assert f"{100 * wer['mean']:.2f} %" in said
    assert "Left out: RTF" in said
    on = run("predict", "--model", "base", "--device", "nvidia-l4").stdout
    for part in ("RTF", "latency p95", "energy", "memory", "GFLOPs"):
        assert part in on


def test_what_was_saved_is_judged_by_what_is_measured_later(url, tmp_path):
    path = str(tmp_path / "p.json")
    answer = ask(
        "predict", "--model", "tiny.en", "--window-s", "17", "--dataset", "demo", "--save", path
    )
    nothing = run("judge", path)
    assert nothing.exit_code == 0
    assert "Nothing was measured" in nothing.stdout
    assert ask("judge", path)["coverage"] == []
    store = Store.open(url)
    predicted = answer["items"][0]["predictions"]["wer"]
    store.add_measurement(
        Measurement(
            key="0" * 64,
            study="asr-demo",
            configuration=Configuration(model="tiny.en", window_s=17),
            source="measured",
            provenance="a test",
            dataset=DatasetInfo(name="demo"),
            metric=Metric(name="wer", value=predicted["mean"], se=0.0),
            created_at=datetime.now(UTC),
        )
    )
    said = run("judge", path)
    assert said.exit_code == 0
    assert "inside" in said.stdout
    found = ask("judge", path)
    (verdict,) = found["items"][0]["judgements"]
    assert (verdict["inside"], verdict["ratio"]) == (True, pytest.approx(1))
    assert found["new"] == 0  # the reader's call has noted it
    record = ask("coverage")["items"]
    assert {(one["quantity"], one["predictions"]) for one in record} == {("wer", 1)}
    with TestClient(create_app(Settings(database_url=url))) as client:
        assert client.get("/v1/calibration").json()["items"] == record
        metrics = client.get("/metrics").text
        assert 'speechplan_predictions_checked{basis="interpolated",task="asr"} 1.0' in metrics
        assert "1" in client.get("/calibration").text
    assert "1 of 1" in run("coverage").stdout
    bad = run("judge", str(tmp_path / "s.db"))
    assert bad.exit_code == 2
