"""The command line: keys that scripts rely on, exit codes, one-line errors."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from measurements.datasets import Utterance
from measurements.store import Store
from models_registry import load, read_plan
from tests.conftest import RECOMMENDATION_KEYS, needs_base_weights, needs_weights

runner = CliRunner()


def run(*arguments):
    return runner.invoke(app, list(arguments))


def ask(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_cost_of_the_seed_paper_s_largest_row():
    document = ask(
        "cost",
        "--model",
        "whisper-large-v3",
        "--window-s",
        "30",
        "--convention",
        "seed-2606.22790",
    )
    assert document["gflops"] == pytest.approx(5228.0, abs=0.1)
    assert document["convention"] == "seed-2606.22790"
    assert [p["component"] for p in document["breakdown"]] == [
        "stem",
        "encoder",
        "cross_kv",
        "decoder",
        "lm_head",
    ]
    assert sum(p["flops"] for p in document["breakdown"]) / 1e9 == document["gflops"]
    assert document["memory_bytes"] > 6e9


def test_recommend_keys():
    document = ask("recommend", "--task", "asr", "--gflops", "200")
    assert set(document) == {"recommendation", "study"}
    assert set(document["recommendation"]) >= RECOMMENDATION_KEYS
    assert document["recommendation"]["configuration"]["model"]


def test_what_more_of_a_budget_would_buy():
    asked = ask("recommend", "--gflops", "200", "--memory-gib", "4", "--relax", "gflops=+150%")
    flops, memory = asked["recommendation"]["budgets"]
    assert (flops["name"], flops["factor"]) == ("gflops_per_utterance", 2.5)
    assert (memory["name"], memory["factor"]) == ("memory_gib", 1.2)
    assert flops["relaxed"]["bound"] == 500


def test_a_front_over_any_two_axes_and_its_chart(tmp_path):
    asked = ("pareto", "--x", "memory_gib", "--y", "quality", "--gflops", "500")
    points = ask(*asked)["front"]["points"]
    assert [p["x"]["mean"] for p in points] == sorted(p["x"]["mean"] for p in points)
    assert [p["y"]["mean"] for p in points] == sorted(p["y"]["mean"] for p in points)[::-1]
    chart = tmp_path / "front.json"
    result = run(*asked, "--plot", str(chart))
    assert result.exit_code == 0, result.output
    drawn = json.loads(chart.read_text())
    (values,) = drawn["datasets"].values() if "datasets" in drawn else [drawn["data"]["values"]]
    assert [v["x"] for v in values] == [p["x"]["mean"] for p in points]
    assert result.stdout.count(" %") >= len(points)


def test_axes_have_the_names_of_the_budgets():
    """What --gflops bounds was refused as --x gflops."""
    long = ask("pareto", "--x", "gflops_per_utterance", "--y", "memory_gib")
    assert ask("pareto", "--x", "gflops", "--y", "memory-gib") == long


def test_measurements_go_out_and_come_back(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'own.db'}")
    file = tmp_path / "all.jsonl"
    assert run("measurements", "--output", str(file)).exit_code == 0
    known = len(file.read_text().splitlines())
    assert ask("import", str(file)) == {"stored": 0, "known": known}
    table = tmp_path / "all.csv"
    assert run("measurements", "--output", str(table)).exit_code == 0
    assert ask("import", str(table)) == {"stored": 0, "known": known}
    result = run("import", str(tmp_path / "none.csv"))
    assert result.exit_code == 2
    assert "No such file" in result.stderr
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("study,dataset,provenance,model,wer\na,b,c,tiny,12\n")
    result = run("import", str(wrong))
    assert result.exit_code == 2
    assert "row 1, unit (line 2)" in result.stderr
    result = run("import", str(wrong), "--unit", "fraction")
    assert result.exit_code == 2
    assert "row 1, wer (line 2)" in result.stderr
    assert ask("import", str(wrong), "--unit", "percent") == {"stored": 1, "known": 0}
    wrong.write_text("study,dataset,provenance,model,wer,unit\na,b,c,base,1.2,fraction\n")
    assert "120 %" in ask("import", str(wrong))["remarks"][0]
    assert "120 %" in run("import", str(wrong)).stdout
    wrong.write_text("study,dataset,provenance,model,wer\na,b,c,base,0.12\n")
    assert "taken as fractions: WER 12 %" in run("import", str(wrong)).stdout
    wrong.write_text("study,werr\n")
    result = run("import", str(wrong))
    assert (result.exit_code, f"{wrong}:1: werr: " in result.stderr) == (2, True)


def test_keys_are_made_listed_and_revoked(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'keys.db'}")
    made = ask("keys", "create", "ours", "--scope", "measure")
    identifier = made["key"].split("_")[1]
    assert identifier in run("keys", "list").stdout
    assert made["key"] not in run("keys", "list").stdout
    assert run("keys", "revoke", identifier).exit_code == 0
    again = run("keys", "revoke", identifier)
    assert again.exit_code == 2
    assert "no key" in again.stderr


def test_nothing_verified_yet_is_said():
    assert "No prediction was verified yet" in run("coverage").stdout
    assert ask("coverage") == {"items": []}


def test_recommend_for_readers():
    result = run("recommend", "--gflops", "300")
    assert result.exit_code == 0
    for part in ("WER", "% (", "GFLOPs per utterance", "Why:", "Verify first", "Study:"):
        assert part in result.stdout


def test_readers_see_what_a_budget_is_worth():
    """Prices and elasticities were in the JSON document alone."""
    asked = ("recommend", "--gflops", "200")
    said, answer = run(*asked).stdout, ask(*asked)["recommendation"]
    steps = [b["next_step"] or b["relaxed"] for b in answer["budgets"]]
    priced = [step for step in steps if step]
    assert priced
    assert said.count(" points per G") == len(priced)
    for step in priced:
        assert f": {100 * step['price']:.3g} points per G" in said
    for one in answer["elasticities"]:
        assert f"  - {one['elasticity']['mean']:.2g} % (" in said


def test_emotions_are_not_planned_for_read_books():
    """CREMA-D's clips were said to be LibriSpeech's, with tokens."""
    workload = ask("recommend", "--task", "ser", "--target-ua", "0.7")["study"]["workload"]
    assert "EmoDB" in workload
    assert "LibriSpeech" not in workload
    assert "token" not in workload


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["recommend"], 2, "at least one budget"),
        (["recommend", "--gflops", "-1"], 2, "greater than"),
        (["recommend", "--gflops", "nan"], 2, "finite"),
        (["recommend", "--gflops", "9", "--relax", "gflop=+9%"], 2, "did you mean gflops"),
        (["recommend", "--gflops", "9", "--relax", "gflops=9"], 2, "gflops=+20%"),
        (["recommend", "--gflops", "9", "--relax", "rtf=+9%"], 2, "rtf, which has no budget"),
        (["recommend", "--gflops", "many"], 2, "valid number"),
        (["recommend", "--rtf", "0.1"], 2, "for example local"),
        (["recommend", "--gflops", "9", "--study", "nope"], 2, "unknown study"),
        (["pareto", "--x", "speed"], 2, "'latency_p95_s'"),
        (["pareto", "--x", "quality"], 2, "both are quality"),
        (["pareto", "--plot", "front.gif"], 2, ".png, .svg"),
        (["pareto", "--x", "rtf"], 2, "name one, for example local"),
        (["recommend", "--gflops", "9", "--device", "h10"], 2, "did you mean nvidia-h100-sxm"),
        (["recommend", "--gflops", "9", "--model", "whisper-bas"], 2, "whisper-base"),
        (["recommend", "--gflops", "9", "--arrivals-per-s", "10"], 2, "goes with --device"),
        (["recommend", "--gflops", "9", "--usd-per-device-hour", "3"], 2, "goes with --device"),
        (["recommend", "--gflops", "9", "--device-watts", "100"], 2, "goes with --device"),
        (["recommend", "--gflops", "9", "--minimise", "memory-gib"], 2, "goes with a target"),
        (["recommend", "--gflops", "9", "--max-utilisation", "0.1"], 2, "with --arrivals-per-s"),
        (["pareto", "--arrivals-per-s", "100", "--device", "nvidia-t4"], 2, "--arrivals-per-s"),
        (["recommend", "--gflops", "0.01"], 3, "no configuration holds 0.01 GFLOPs"),
        (["pareto", "--gflops", "0.01"], 3, "no configuration holds 0.01 GFLOPs; the nearest"),
        (["recommend", "--target-wer", "0.0001"], 3, "reaches WER 0.01 %"),
        (["recommend", "--gflops", "9", "--study", "ser-crema-d"], 4, "about ser, not asr"),
        (["recommend", "--gflops", "9", "--model", "hubert-base"], 3, "can't do asr"),
        (["recommend", "--gflops", "9", "--task", "ser", "--model", "tiny"], 4, "wav2vec2-base"),
        (["pareto", "--task", "ser", "--study", "asr-demo"], 4, "about asr, not ser"),
        (["verify", "--task", "ser", "--gflops", "20"], 2, "name the data set of study ser-crema"),
        (["verify", "--task", "ser", "--gflops", "9", "--study", "asr-demo"], 4, "ser-emodb-de"),
        (["cost", "--model", "tiny", "--window-s", "31"], 2, "30 s that whisper-tiny can see"),
        (["cost", "--model", "nope"], 2, "unknown model 'nope'"),
        (["cost", "--model", "tiny", "--convention", "mine"], 2, "counted-1"),
        (["measure", "--model", "tiny.en", "--dataset", "librispeech:/none"], 2, "no such folder"),
        (["measure", "--model", "tiny.en", "--dataset", "x:y"], 2, "unknown data set"),
        (["measure", "--model", "tiny.en", "--limit", "0"], 2, "--limit"),
        (["measure", "--model", "hubert-base", "--task", "ser"], 2, "demo is for asr"),
        (["classify", "none.wav", "--model", "tiny.en"], 2, "none.wav"),
        (["classify", "x.wav"], 2, "--model or --plan"),
        (["transcribe", "x.wav"], 2, "--model or --plan"),
        (["transcribe", "none.wav", "--model", "tiny.en"], 2, "none.wav"),
        (["serve", "--host", "0.0.0.0"], 2, "keys create"),
        (["serve", "--host", "127.evil.example"], 2, "keys create"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_errors_are_one_line_and_have_their_exit_code(arguments, exit_code, said):
    result = run(*arguments)
    assert result.exit_code == exit_code, result.output
    assert said in " ".join(result.output.replace("│", "").split())
    assert "Traceback" not in result.output
    if "Usage:" not in result.output:
        assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("command", "makes"), [("sweeps", "sweep"), ("export", "verify")])
def test_where_there_is_none_yet_it_is_said_what_makes_one(command, makes, tmp_path, monkeypatch):
    """Catches "choose one of " with nothing behind it, with a store and without one."""
    from measurements.store import Store

    url = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", url)
    for _ in range(2):
        result = run(command, "nosuch")
        assert result.exit_code == 2
        assert f"'nosuch': there is none yet; 'speechplan {makes}' makes one" in result.stderr
        Store.open(url).close()


def test_an_infeasible_budget_is_typed_in_json():
    result = run("recommend", "--gflops", "0.5", "--json")
    assert result.exit_code == 3
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "no-feasible-configuration"
    assert error["details"]["binding"] == "gflops_per_utterance"
    assert error["details"]["needed"]["gflops_per_utterance"] > 0.5
    assert error["details"]["nearest"]["configuration"]["model"]


@pytest.mark.real
def test_calibrate_and_what_becomes_of_it():
    pytest.importorskip("torch")
    arguments = ("calibrate", "--device", "cpu", "--model", "tiny.en", "--precision", "fp32")
    document = ask(*arguments, "--budget-s", "6")
    assert document["timed"] + document["known"] == len(document["timings"]) >= 1
    assert document["failed"] == document["skipped"] == {}
    for timing in document["timings"]:
        assert timing["rtf"]["total"] > 0
        assert timing["repeats"] >= 1
    profile = next(
        item["profile"]
        for item in ask("devices")["items"]
        if item["name"] == document["device"]["id"]
    )
    assert profile["calibrated"] >= len(document["timings"])
    for wrong, said in (("--precision=fp16", "fp32, int8, bf16"), ("--model=tny", "whisper-tiny")):
        result = run("calibrate", "--device", "cpu", wrong)
        assert result.exit_code == 2
        assert said in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_lists():
    assert len(ask("models")["items"]) >= 18
    assert ask("devices")["local"]
    assert "asr-librispeech-test-other" in [s["id"] for s in ask("studies")["items"]]
    assert run("models").exit_code == run("studies").exit_code == 0
    assert run("devices").exit_code == 0


@pytest.mark.parametrize(
    "command",
    [
        "recommend",
        "predict",
        "judge",
        "pareto",
        "coverage",
        "cost",
        "models",
        "studies",
        "measure",
        "verify",
        "transcribe",
        "classify",
        "serve",
        "worker",
        "demo",
        "keys",
        "import",
        "settings",
        "db",
    ],
)
def test_every_command_explains_itself(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_version():
    assert run("--version").stdout.strip().count(".") == 2


@pytest.mark.parametrize(
    "question",
    [
        ["--gflops", "200"],
        ["--target-wer", "0.06"],
        ["--rtf", "1000", "--device", "local"],
    ],
)
def test_a_process_of_its_own_answers(question):
    """Catches what only a fresh interpreter shows; how long it takes is a benchmark."""
    command = [sys.executable, "-m", "api.cli", "recommend", *question, "--json"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "configuration" in json.loads(done.stdout)["recommendation"]


@needs_weights
@pytest.mark.real
def test_measure_keys_and_transcribing_a_plan(tmp_path):
    arguments = [
        "measure",
        "--task",
        "asr",
        "--model",
        "tiny.en",
        "--dataset",
        "demo",
        "--limit",
        "4",
        "--window-s",
        "20",
        "--token-stride",
        "1.5",
        "--reduction-layer",
        "2",
    ]
    document = ask(*arguments)
    assert set(document["wer"]) >= {"value", "lower", "upper"}
    assert document["n_utterances"] == 4
    assert document["flops_counted"] > 1e10
    assert set(document["rtf"]) == {"features", "encoder", "prefill", "decode", "total"}
    assert len(document["dataset_fingerprint"]) == 64
    assert 1e8 < document["weights_bytes"] < document["peak_memory_bytes"]
    assert document["provenance"].startswith("speechplan measure --task asr --model whisper-tiny")
    assert ask(*arguments)["key"] == document["key"]
    (listed,) = ask("measurements", "--study", "asr-demo")["items"]
    assert listed["weights_bytes"] == document["weights_bytes"]
    assert "asr-demo" in [s["id"] for s in ask("studies")["items"]]

    asked = ("recommend", "--gflops", "60", "--model", "tiny.en", "--study", "asr-demo")
    plan = tmp_path / "plan.yaml"
    answer = ask(*asked, "--output", str(plan))["recommendation"]
    written = read_plan(plan)
    assert written.configuration.model_dump(mode="json") == answer["configuration"]
    assert written.expected["wer"].mean == answer["predictions"]["wer"]["mean"]
    assert written.question["budget"] == {"gflops_per_utterance": 60}
    audio = Path(__file__).parents[2] / "measurements" / "demo_speech" / "audio" / "00.flac"
    heard = ask("transcribe", "--plan", str(plan), str(audio))
    assert "tired of sitting by her sister" in heard["transcripts"][str(audio)]
    samples, rate = Utterance("00", audio, "").audio()
    assert load(plan).transcribe(samples, rate) == heard["transcripts"][str(audio)]
    plan.write_text("{}")
    bad = run("transcribe", "--plan", str(plan), str(audio))
    assert bad.exit_code == 2


@needs_weights
@pytest.mark.real
def test_the_service_started_by_the_command_line_verifies(tmp_path):
    """serve starts a worker beside itself; a verification posted to it is really run.

    The worker leaves with the service, even where that is killed.
    """
    import httpx

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "SPEECHPLAN_DATABASE_URL": f"sqlite:///{tmp_path / 'serve.db'}",
        "SPEECHPLAN_PORT": str(port),
    }
    serve = [sys.executable, "-m", "api.cli", "serve"]
    service = subprocess.Popen(serve, env=environment, start_new_session=True)
    try:
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90)
        end = time.monotonic() + 180
        while True:
            try:
                assert client.get("/health").status_code == 200
                break
            except httpx.TransportError:
                assert time.monotonic() < end
                time.sleep(0.2)
        started = client.post(
            "/v1/verifications",
            json={
                "question": {"study": "asr-demo", "budget": {"gflops_per_utterance": 50}},
                "configuration": {"model": "tiny.en", "window_s": 15},
                "limit": 4,
            },
        )
        assert started.status_code == 202, started.text
        while True:
            found = client.get(started.headers["location"]).json()["verification"]
            if found["status"] not in ("queued", "running"):
                break
            assert time.monotonic() < end + 300
            time.sleep(0.3)
        assert found["status"] == "succeeded", found["error"]
        assert found["runs"][0]["measured"]["name"] == "wer"
        record = client.get("/v1/calibration").json()["items"]
        assert record[0]["predictions"] == 1
        assert record[0]["inside"] == found["runs"][0]["inside"]
        long = {
            "question": {"study": "asr-demo", "budget": {"gflops_per_utterance": 50}},
            "configuration": {"model": "tiny.en", "window_s": 10},
        }
        place = client.post("/v1/verifications", json=long).headers["location"]
        assert client.delete(place).status_code == 200
        short = {**long, "configuration": {"model": "tiny.en", "window_s": 15}, "limit": 4}
        behind = client.post("/v1/verifications", json=short).headers["location"]
        with client.stream("GET", f"{behind}/events", timeout=600) as stream:
            told = [line for line in stream.iter_lines() if line.startswith("data: ")]
        assert json.loads(told[-1][6:])["verification"]["status"] == "succeeded"
        cancelled = client.get(place).json()["verification"]
        assert (cancelled["status"], cancelled["runs"]) == ("cancelled", [])
        page = client.get("/v1/studies/asr-demo/measurements").json()
        assert [m["source"] for m in page["items"]] == ["measured"]
    finally:
        service.kill()
        service.wait(timeout=90)
    end = time.monotonic() + 180
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(service.pid, 0)
            time.sleep(0.1)


QUICK = {
    "cost": ["--model", "whisper-tiny"],
    "recommend": ["--gflops", "200"],
    "predict": ["--model", "tiny", "--save", "predictions.json"],
    "pareto": [],
    "export": ["--gflops", "200"],
    "export --schema": [],
    "models": [],
    "devices": [],
    "studies": [],
    "coverage": [],
    "adapters": [],
    "sweeps": [],
    "settings": [],
    "measurements": ["--study", "asr-demo"],
    "measurements --output all.csv": [],
    "curves": ["--study", "asr-librispeech-mini-train-clean-100"],
    "fit --study ser-crema-d": [],
    "keys list": [],
    "keys create nightly": ["--scope", "plan"],
    "db upgrade": [],
    "db backup copy.db": [],
}
"""Every command that answers without real runs, with what it has to be told."""


@pytest.mark.parametrize("command", QUICK)
def test_json_is_all_that_json_prints(command, tmp_path, monkeypatch):
    """A sentence beside it, or instead, would break every script."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'own.db'}"
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", url)
    Store.open(url).close()
    result = run(*command.split(), *QUICK[command], "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    if command.startswith("measurements --output"):
        rows = (tmp_path / "all.csv").read_text().count("\n") - 1
        assert document == {"file": "all.csv", "measurements": rows}


def test_recommend_verify_and_export_ask_the_same_question(monkeypatch):
    """An option that one of them left out would answer another question than was asked."""
    asked = [
        *("--task", "ser", "--study", "ser-emodb-de", "--target-ua", "0.7", "--risk", "0.2"),
        *("--minimise", "memory_gib", "--tolerance", "0.05", "--relax", "gflops=+50%"),
        *("--gflops", "50", "--device", "nvidia-t4", "--max-utilisation", "0.5"),
        *("--arrivals-per-s", "2"),
    ]
    questions = []

    def noted(question, *_, **__):
        questions.append(question)
        raise ValueError("enough")

    for place in ("api.exporting.export_of", "measurements.verification.create"):
        monkeypatch.setattr(place, noted)
    for command in ("recommend", "export", "verify"):
        assert "enough" in run(command, *asked).stderr
    recommended, exported, verified = questions
    assert recommended == exported == verified
    assert (verified.target_ua, verified.tolerance, verified.minimise) == (0.7, 0.05, "memory_gib")
    assert verified.relax == {"gflops_per_utterance": 1.5}


def test_weights_let_what_is_not_here_be_verified(tmp_path, monkeypatch):
    """The first candidate alone, with these weights and no others' sake."""
    pytest.importorskip("torch")
    asked = ["verify", "--gflops", "2000", "--model", "whisper-small"]
    refused = run(*asked)
    assert refused.exit_code == 4 and "weights" in refused.stderr
    assert run(*asked, "--weights", "attic").exit_code == 2
    begun = []

    def noted(verification, store, *, weights, **_):
        begun.append((verification, weights))
        raise ValueError("enough")

    monkeypatch.setattr("measurements.verifying.run", noted)
    assert "enough" in run(*asked, "--weights", f"path:{tmp_path}").stderr
    ((verification, weights),) = begun
    assert verification.configuration.model == "whisper-small"
    assert (verification.max_runs, weights.path) == (1, tmp_path)


def german(folder, rows=("ein Satz", "noch ein Satz")):
    """A manifest of silence that is said to be German speech."""
    import soundfile

    for index, _ in enumerate(rows):
        soundfile.write(folder / f"{index}.wav", [0.0] * 8000, 16_000)
    file = folder / "anrufe.csv"
    lines = [f"{index}.wav,{text}" for index, text in enumerate(rows)]
    file.write_text("\n".join(["audio,text", *lines]) + "\n")
    return f"manifest:{file}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["measure", "--model", "tiny.en", "--language", "de"], "English only"),
        (["measure", "--model", "base", "--language", "germann"], "did you mean de"),
        (["measure", "--model", "base", "--language", "ja"], "without spaces"),
        (["measure", "--model", "base", "--name", "a/b"], "is no name"),
        (["adapt", "--model", "tiny.en", "--rank", "2", "--language", "de"], "English only"),
        (["sweep", "--model", "base", "--language", "xx", "--queue"], "unknown language"),
        (["sweep", "--model", "tiny.en", "--language", "de", "--queue"], "English only"),
        (["verify", "--gflops", "50", "--language", "de"], "asr-anrufe-de"),
        (["verify", "--gflops", "50", "--language", "xx"], "unknown language"),
    ],
)
def test_a_language_is_taken_wherever_a_data_set_is(tmp_path, words, said):
    refused = run(*words, "--dataset", german(tmp_path))
    assert refused.exit_code in (2, 4), refused.stdout
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_transcript_in_a_language_that_a_model_does_not_know_is_refused(tmp_path):
    german(tmp_path)
    refused = run("transcribe", "--model", "tiny.en", "--language", "de", str(tmp_path / "0.wav"))
    assert refused.exit_code == 2
    assert "English only" in refused.stderr


@pytest.mark.real
@needs_weights
def test_what_is_assumed_of_a_language_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    words = ("measure", "--model", "tiny.en", "--dataset", german(tmp_path), "--no-timing")
    plain = run(*words)
    assert plain.exit_code == 0, plain.stderr
    assert "assumed English (en)" in plain.stdout
    document = ask(*words)
    assert (document["language"], document["language_assumed"]) == ("en", True)
    assert any("--language" in remark for remark in document["remarks"])
    stated = ask(*words, "--language", "English")
    assert (stated["language_assumed"], stated["remarks"]) == (False, [])
    assert stated["key"] == document["key"]


@pytest.mark.real
@needs_weights
@needs_base_weights
def test_a_german_study_is_planned_for_in_german(tmp_path, monkeypatch):
    """From the measurement to the plan that transcribes: German all the way."""
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    speech = ("--dataset", german(tmp_path), "--language", "de")
    ask("measure", "--model", "base", "--window-s", "10", *speech, "--no-timing")
    about = ("--gflops", "100", "--study", "asr-anrufe-de")
    answer = ask("recommend", *about)
    assert answer["study"]["language"] == "de"
    offered = [answer["recommendation"], *answer["recommendation"]["alternatives"]]
    names = {one["configuration"]["model"] for one in offered}
    assert names and not any(name.endswith(".en") or "distil" in name for name in names)
    refused = run("recommend", *about, "--model", "tiny.en")
    assert refused.exit_code == 3
    assert "English only" in refused.stderr
    plan = tmp_path / "plan.yaml"
    assert run("recommend", *about, "--model", "base", "--output", str(plan)).exit_code == 0
    assert read_plan(plan).language == "de"
    heard = ask("transcribe", "--plan", str(plan), str(tmp_path / "0.wav"))
    assert (heard["language"], heard["language_assumed"]) == ("de", False)


@pytest.mark.parametrize("terminal", [{}, {"TERM": "dumb", "TTY_COMPATIBLE": "1"}])
def test_a_table_is_as_wide_as_columns_says(terminal):
    arguments = ["predict", "--model", "base", "--window-s", "15", "--device", "nvidia-l4"]
    printed = subprocess.run(
        [sys.executable, "-m", "api.cli", *arguments],
        env={**os.environ, "COLUMNS": "300", **terminal},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "the data sheet of nvidia-l4, never timed" in printed.stdout
