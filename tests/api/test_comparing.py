"""``measurements``, ``compare``, ``curves``, ``sweep`` as a script or a reader sees them."""

import json
import re

import pytest
from typer.testing import CliRunner

from api.cli.main import app

runner = CliRunner()
STUDY = "asr-librispeech-mini-test-other"


def ask(*arguments):
    result = runner.invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_keys_that_are_listed_can_be_compared():
    items = ask("measurements", "--study", STUDY, "--model", "tiny.en")["items"]
    by_label = {item["label"]: item for item in items}
    a, b = by_label["whisper-tiny.en, window 20 s"], by_label["whisper-tiny.en, window 8 s"]
    found = ask("compare", a["key"][:10], b["label"], "--study", STUDY)["comparison"]
    assert (found["a"], found["b"]) == (a["key"], b["key"])
    assert found["difference"] == pytest.approx(b["metric"]["value"] - a["metric"]["value"])
    assert found["by_utterance"]["lower"] < found["difference"] < found["by_utterance"]["upper"]
    shown = runner.invoke(app, ["compare", a["key"][:10], b["key"][:10]])
    assert "B - A  WER +" in shown.stdout
    assert "jackknife over speakers" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compare", "zzzz", "zzzz"], "unknown measurement 'zzzz'"),
        (
            [
                "compare",
                "whisper-tiny.en, window 30 s",
                "whisper-small.en, window 30 s",
            ],
            "known without its errors by utterance (published)",
        ),
        (["curves", "--axis", "windows"], "did you mean window_s"),
        (["curves", "--study", "ser-crema-d"], "nothing was measured along such an axis"),
        (["curves", "--study", STUDY, "--plot", "x.gif"], "ends in .png, .svg, .json"),
        (["sweep", "--model", "tiny.en", "--axis", "window_s"], "is not FIELD=VALUE"),
        (["sweep"], "models: Tuple should have at least 1 item"),
        (["sweep", "--model", "tiny.en", "--axis", "windows=3"], "'windows' is no axis"),
        (["sweep", "--model", "tiny.em"], "did you mean whisper-tiny.en"),
        (["sweep", "--spec", "/none.yaml"], "/none.yaml: No such file"),
        (["sweeps", "nothing"], "unknown sweep 'nothing'"),
    ],
)
def test_errors_are_one_line(arguments, said):
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_curves_by_one_command(tmp_path):
    items = ask("curves", "--study", STUDY, "--axis", "window_s")["items"]
    assert {item["model"] for item in items} == {"whisper-tiny.en", "whisper-base"}
    shown = runner.invoke(app, ["curves", "--study", STUDY, "--axis", "window_s", "--commands"])
    assert "the centre" in shown.stdout
    for item in items:
        for point in item["points"]:
            assert f"{point['key'][:12]}  {point['command']}" in shown.stdout


def test_a_chart_shows_every_point(tmp_path):
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    shown = ["--study", STUDY, "--model", "base", "--axis", "window_s", "--axis", "token_stride"]
    for name in ("c.json", "c.png"):
        items = ask("curves", *shown, "--plot", str(tmp_path / name))["items"]
    drawn = set(re.findall(r'"key": "(\w+)"', (tmp_path / "c.json").read_text()))
    assert drawn == {p["key"][:12] for item in items for p in item["points"]}
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
