"""Inputs as people have them, each with what a user may expect of it.

Every folder of ``../shared/cases`` holds its files, the command (``cmd.txt``) and the expected
result (``expected.txt``). A check below is named by its folder.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from measurements.workloads import workload_from
from tests.conftest import SHARED, needs_weights

CASES = SHARED / "cases"
FOLDERS = sorted(f.name for f in CASES.iterdir() if f.is_dir()) if CASES.is_dir() else []

pytestmark = pytest.mark.skipif(not FOLDERS, reason="the cases are not here")


class Case:
    """Runs commands in a case's folder, with a store of its own."""

    def __init__(self, folder):
        self.folder = folder

    def run(self, *arguments):
        """The result of a command."""
        return CliRunner().invoke(app, list(arguments))

    def ask(self, *arguments):
        """The JSON that a command prints; it has to succeed."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def refused(self, *arguments):
        """What a command says that refuses its input; its last line is the reason."""
        result = self.run(*arguments)
        assert result.exit_code == 2, result.output
        assert result.stderr.strip().splitlines()[-1].startswith("speechplan: "), result.stderr
        return result.stderr

    def measure(self, manifest, *more):
        """A measurement of tiny.en on a manifest, not timed."""
        return self.ask(
            "measure", "--model", "tiny.en", "--dataset", f"manifest:{manifest}", "--no-timing",
            *more,
        )  # fmt: skip

    def errors(self, manifest, *more):
        """How many word errors a measurement counts."""
        counts = self.measure(manifest, *more)["errors"]
        return sum(counts[kind] for kind in ("substitutions", "deletions", "insertions"))

    def mean_audio_s(self, workload):
        """Mean duration of the recordings of a workload, which a question may be asked about."""
        self.ask("recommend", "--gflops", "5000", "--workload", workload)
        return workload_from(Path(workload)).mean_audio_s


def apostrophes(case):
    from measurements.scoring import word_errors

    curly = "We\u2019re all mad here. I\u2019m mad. You\u2019re mad."
    assert word_errors(curly, curly.replace("\u2019", "'")).total == 0
    assert case.errors("m.csv") == case.errors("straight.csv")


def csv_bom(case):
    from measurements.datasets import open_dataset

    assert case.measure("m.csv")["n_utterances"] == 1
    speakers = open_dataset("manifest:speakers.csv").utterances
    assert [u.speaker for u in speakers] == ["ann", "bob"]
    assert case.mean_audio_s("weights.csv") == pytest.approx(330 / 101, rel=0.01)


def csv_quoted_newline(case):
    from measurements.datasets import open_dataset

    first = open_dataset("manifest:m.csv").utterances[0].reference
    assert first.split()[:7] == ["Alice", "was", "beginning", "to", "get", "very", "tired"]
    assert case.measure("m.csv")["errors"]["reference_words"] == 23


def csv_unquoted_comma(case):
    for manifest in ("m.csv", "m2.csv"):
        said = case.refused(
            "measure", "--model", "tiny.en", "--dataset", f"manifest:{manifest}", "--no-timing"
        )
        assert f"{manifest}:2" in said


def dc_offset(case):
    clean, offset = (case.errors(m, "--window-s", "10") for m in ("clean.csv", "dc.csv"))
    assert clean <= 2
    assert abs(offset - clean) <= 1


def ellipsis_(case):
    from measurements.scoring import word_errors

    for heard in ("I was going to...", "I was going to…", "Wait... for me.", "It costs five $"):
        assert word_errors(heard.rstrip(".…$ "), heard).total == 0, heard
    assert case.errors("m.csv") == 0


def fit_duplicates(case):
    once, copied = case.ask("fit", "one.csv"), case.ask("fit", "five.csv")
    assert copied["warnings"] or copied["observations"] == once["observations"]
    blank = case.ask("fit", "blank.csv")
    assert any("window_s" in warning for warning in blank["warnings"])


def flac_unknown_length(case):
    from measurements.datasets import open_dataset

    assert case.measure("m.csv")["n_utterances"] == 2
    durations = [u.duration_s() for u in open_dataset("manifest:m.csv").utterances]
    assert durations == pytest.approx([4.7, 4.7], abs=0.1)
    assert case.mean_audio_s("calls") == pytest.approx(4.7, abs=0.1)


def http_numbers(case):
    for body in ("tiny.json", "weights.json", "long.json"):
        status, answer = posted("/v1/recommendations", Path(body).read_bytes())
        assert status == 400, (body, answer)
        assert "workload" in json.dumps(answer["errors"])


def import_interval_ignored(case):
    assert case.run("import", "ivl.csv").exit_code == 0
    body = {
        "study": "asr-ivl",
        "level": 0.95,
        "configurations": [{"model": "whisper-base"}],
    }
    status, answer = posted("/v1/predictions", json.dumps(body).encode())
    assert status == 200, answer
    wer = answer["items"][0]["predictions"]["wer"]
    assert wer["lower"] < 0.13
    assert wer["upper"] > 0.21


def import_percent_below_5(case):
    assert "unit" in case.refused("import", "leader.csv")
    assert case.run("import", "leader.csv", "--unit", "percent").exit_code == 0
    answer = case.ask("recommend", "--gflops", "200", "--study", "asr-lsclean")
    assert answer["recommendation"]["predictions"]["wer"]["mean"] < 0.06


def mp3_without_tag(case):
    assert case.mean_audio_s("calls") == pytest.approx(63.2, abs=0.5)


def ok_http_clients(case):
    body = Path("q.json").read_bytes()
    status, answer = posted("/v1/recommendations", body)
    again, other = posted("/v1/recommendations", body, content="application/json; charset=utf-8")
    assert (status, again) == (200, 200)
    assert answer["recommendation"]["configuration"] == other["recommendation"]["configuration"]


def ok_nan_samples(case):
    said = case.refused(
        "measure", "--model", "tiny.en", "--dataset", "manifest:m.csv", "--no-timing"
    )
    assert "nan.wav" in said


def ok_quoted_paths_crlf(case):
    from measurements.datasets import open_dataset

    (utterance,) = open_dataset("manifest:m.csv").utterances
    assert utterance.path.name == "x y.flac"
    assert utterance.reference == 'Well, he said "no", twice.'


def ok_telephony_and_odd_wavs(case):
    assert case.errors("m.csv") == 0


def one_name_one_study(case):
    """Two studies, or a word: either the second is refused by name, or stored elsewhere."""
    first = case.measure("a/test.csv")["study"]
    command = ("measure", "--model", "tiny.en", "--dataset", "manifest:b/test.csv", "--no-timing")
    result = case.run(*command, "--json")
    if result.exit_code == 0:
        assert json.loads(result.stdout)["study"] != first
    else:
        assert result.exit_code == 2
        assert first in result.stderr
        named = case.ask(*command, "--name", "other")
        assert named["study"] != first


def raw_and_long_cells(case):
    for manifest in ("raw.csv", "long.csv"):
        result = case.run(
            "measure", "--model", "tiny.en", "--dataset", f"manifest:{manifest}", "--no-timing"
        )
        assert result.exit_code == 2, result.output
        assert manifest.replace(".csv", "") in result.stderr or "x.raw" in result.stderr


def repeats_pick_lowest(case):
    assert case.run("import", "win.csv").exit_code == 0
    answer = case.ask("recommend", "--gflops", "2000", "--model", "base", "--study", "asr-win")
    wer = answer["recommendation"]["predictions"]["wer"]
    assert wer["upper"] > 0.25
    assert wer["mean"] > 0.1


def segments_and_language_ignored(case):
    from measurements.datasets import DatasetError, open_dataset

    with pytest.raises(DatasetError, match=r"m\.jsonl:2"):
        open_dataset("manifest:m.jsonl")
    rows = Path("m.jsonl").read_text().splitlines()
    manifest = Path(case.folder / "same.jsonl")
    rows = [json.loads(row) | {"language": "en"} for row in rows]
    for row in rows:
        row["audio"] = "00.flac"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    Path(case.folder / "00.flac").write_bytes(Path("00.flac").read_bytes())
    durations = [u.duration_s() for u in open_dataset(f"manifest:{manifest}").utterances]
    assert durations == pytest.approx([2.4, 2.3], abs=0.05)


def serve_port(case):
    refused = subprocess.run(
        [sys.executable, "-m", "api.cli", "serve", "--port", "70000", "--no-worker"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        busy = subprocess.run(
            [sys.executable, "-m", "api.cli", "serve", "--port", port, "--no-worker"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert busy.returncode == 1
    assert busy.stderr.strip().splitlines()[-1].startswith("speechplan:")


def silent_clips(case):
    for manifest in ("m.csv", "m3.csv"):
        wer = case.measure(manifest)["wer"]
        assert 0 <= wer["lower"] < wer["value"] < wer["upper"]


def workload_formats_left_out(case):
    answer = case.ask("recommend", "--gflops", "40", "--workload", "calls")
    said = json.dumps(answer)
    assert "3 recordings" in said or ("d.m4a" in said and "left out" in said)


def workload_weights_ignored(case):
    for workload, column in (("count.csv", "count"), ("space.csv", "weight")):
        result = case.run("recommend", "--gflops", "40", "--workload", workload)
        if result.exit_code == 2:
            assert column in result.stderr
        else:
            assert case.mean_audio_s(workload) == pytest.approx(330 / 101, rel=0.01)
    assert case.mean_audio_s("right.csv") == pytest.approx(330 / 101, rel=0.01)


CHECKS = {
    check.__name__.strip("_").replace("_", "-"): check
    for check in (
        apostrophes, csv_bom, csv_quoted_newline, csv_unquoted_comma, dc_offset, ellipsis_,
        fit_duplicates, flac_unknown_length, http_numbers, import_interval_ignored,
        import_percent_below_5, mp3_without_tag, ok_http_clients, ok_nan_samples,
        ok_quoted_paths_crlf, ok_telephony_and_odd_wavs, one_name_one_study, raw_and_long_cells,
        repeats_pick_lowest, segments_and_language_ignored, serve_port, silent_clips,
        workload_formats_left_out, workload_weights_ignored,
    )
}  # fmt: skip


def posted(path, body, content="application/json"):
    """Status and JSON of a request to the service."""
    from litestar.testing import TestClient

    from api.app import create_app
    from measurements.settings import Settings

    with TestClient(create_app(Settings())) as client:
        answer = client.post(path, content=body, headers={"content-type": content})
        return answer.status_code, answer.json()


@needs_weights
@pytest.mark.real
@pytest.mark.parametrize("name", FOLDERS)
def test_case(name, tmp_path, monkeypatch):
    assert name in CHECKS, f"no check of {name}"
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.chdir(CASES / name)
    CHECKS[name](Case(tmp_path))
