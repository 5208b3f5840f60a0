"""``measurements``, ``compare``, ``curves``, ``sweep`` as a script or a reader sees them."""

import json
import re

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from api.cli.output import console

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
        (["sweep"], "models: at least one is needed"),
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


def test_curves_by_one_command():
    items = ask("curves", "--study", STUDY, "--axis", "window_s")["items"]
    assert {item["model"] for item in items} == {"whisper-tiny.en", "whisper-base"}
    shown = runner.invoke(app, ["curves", "--study", STUDY, "--axis", "window_s"])
    for item in items:
        for point in item["points"]:
            assert f"{point['key'][:12]}  {point['command']}\n" in shown.stdout
    short = runner.invoke(
        app, ["curves", "--study", STUDY, "--axis", "window_s", "--no-commands"]
    ).stdout
    assert items[0]["points"][0]["key"][:12] in short
    assert "speechplan measure" not in short


@pytest.fixture
def narrow(monkeypatch):
    """A window of 60 columns."""
    monkeypatch.setenv("COLUMNS", "60")
    vars(console).pop("_console", None)
    yield
    vars(console).pop("_console", None)


@pytest.mark.usefixtures("narrow")
def test_numbers_and_keys_are_not_broken_in_a_narrow_window():
    """Or no row can be read, and no key copied."""
    (item,) = ask("curves", "--study", STUDY, "--model", "base", "--axis", "window_s")["items"]
    words = ["curves", "--study", STUDY, "--model", "base", "--axis", "window_s", "--no-commands"]
    lines = runner.invoke(app, words).stdout.splitlines()
    for point in item["points"]:
        (line,) = [line for line in lines if point["key"][:12] in line]
        low, high = (100 * point["metric"][end] for end in ("lower", "upper"))
        assert f"{low:.2f} to {high:.2f}" in line


@pytest.mark.usefixtures("narrow")
def test_what_trains_an_adapter_is_printed_before_what_measures_it():
    """On one line each, however narrow the window: a command that is broken up runs nothing."""
    (item, *_) = ask("curves", "--study", STUDY, "--model", "base", "--axis", "recipe")["items"]
    recipe = item["points"][-1]
    shown = runner.invoke(app, ["curves", "--study", STUDY, "--model", "base", "--axis", "recipe"])
    lines = [line.strip() for line in shown.stdout.splitlines()]
    place = lines.index(f"{recipe['key'][:12]}  {recipe['adapter_command']}")
    assert lines[place + 1] == recipe["command"]
    listed = ask("measurements", "--study", STUDY, "--model", "base")["items"]
    (one,) = [m for m in listed if m["key"] == recipe["key"]]
    assert one["adapter_command"] == recipe["adapter_command"]


def test_a_chart_shows_every_point(tmp_path):
    pytest.importorskip("vl_convert")
    shown = ["--study", STUDY, "--model", "base", "--axis", "window_s", "--axis", "token_stride"]
    for name in ("c.json", "c.png"):
        items = ask("curves", *shown, "--plot", str(tmp_path / name))["items"]
    drawn = set(re.findall(r'"key": "(\w+)"', (tmp_path / "c.json").read_text()))
    assert drawn == {p["key"][:12] for item in items for p in item["points"]}
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
