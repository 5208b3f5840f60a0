"""Files that the command line writes: plans, model cards, fits, reports, charts, completions."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import click
import jsonschema
import pytest
import typer
import yaml
from huggingface_hub import ModelCard

from api.cli.main import app
from measurements.datasets import DEMO_FOLDER
from models_registry import load, read_plan
from planner.curves import fit
from tests.api.test_cli import ask, run
from tests.conftest import needs_weights

STUDY = "asr-librispeech-mini-test-other"


def commands(group=None, path=()):
    """Every command of the tree with its path."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


@pytest.mark.parametrize(
    ("path", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in commands()]
)
def test_every_command_has_json_and_an_example(path, command):
    options = {name for one in command.params for name in one.opts}
    assert "--json" in options
    assert f"speechplan {' '.join(path)}" in command.help
    assert all(one.help for one in command.params if isinstance(one, click.Option))


# --- plans ---


def test_a_plan_holds_to_its_schema_and_comes_back(tmp_path):
    schema = ask("export", "--schema")
    jsonschema.Draft202012Validator.check_schema(schema)
    for name in ("plan.yaml", "plan.json"):
        file = tmp_path / name
        result = run("export", "--gflops", "200", "--output", str(file))
        assert result.exit_code == 0, result.stderr
        jsonschema.validate(yaml.safe_load(file.read_text()), schema)
    plan = read_plan(file)
    assert plan == read_plan(tmp_path / "plan.yaml")
    assert ask("export", "--gflops", "200")["configuration"] == plan.configuration.model_dump(
        mode="json", exclude_none=True
    )
    printed = tmp_path / "printed.yaml"
    printed.write_text(run("export", "--gflops", "200").stdout)
    assert read_plan(printed) == plan
    with pytest.raises(jsonschema.ValidationError, match="colour"):
        jsonschema.validate({**yaml.safe_load(file.read_text()), "colour": 1}, schema)


def test_a_plan_s_weights_that_are_not_here_are_said(tmp_path):
    """Catches a plan that is said to run, and then has to fetch gigabytes or fails."""
    file = tmp_path / "plan.yaml"
    asked = ("--gflops", "900", "--model", "whisper-medium", "--output", str(file))
    said = run("export", *asked).stdout
    assert "where the weights of whisper-medium are, not on this machine" in " ".join(said.split())


@needs_weights
@pytest.mark.real
def test_an_exported_plan_runs_as_it_stands(tmp_path):
    """By the command and by load(), from YAML and JSON alike."""
    import soundfile

    audio = sorted((DEMO_FOLDER / "audio").iterdir())[0]
    arguments = ("--model", "tiny.en", "--gflops", "40", "--study", "asr-demo")
    files = [str(tmp_path / name) for name in ("plan.yaml", "plan.json")]
    for file in files:
        assert run("export", *arguments, "--output", file).exit_code == 0
    (text,) = ask("transcribe", "--plan", files[0], str(audio))["transcripts"].values()
    assert text == load(files[1]).transcribe(*soundfile.read(audio, dtype="float32"))
    assert text


def test_a_stored_recommendation_is_exported_as_it_stands_now(tmp_path, monkeypatch):
    """The answer after its verification, not the one before; catches a stale deployment."""
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'own.db'}")
    from measurements import verification as verifications
    from measurements.store import Store
    from measurements.verification_records import Outcome
    from models_registry import Configuration
    from planner.question import Budget, Question

    pytest.importorskip("torch")
    store = Store.open(f"sqlite:///{tmp_path / 'own.db'}")
    question = Question(study="asr-demo", budget=Budget(gflops_per_utterance=50))
    found = verifications.create(question, store, configuration=Configuration(model="tiny.en"))
    first = ask("export", found.id)["configuration"]
    assert first == found.recommendation.configuration.model_dump(mode="json", exclude_none=True)
    other = found.recommendation.alternatives[0].configuration
    changed = found.recommendation.model_copy(update={"configuration": other})
    outcome = Outcome(recommendation=changed, changed=True, settled=True, why="it is settled")
    verifications.save(found.model_copy(update={"outcome": outcome}), store)
    store.close()
    assert ask("export", found.id)["configuration"] == other.model_dump(
        mode="json", exclude_none=True
    )
    result = run("export", found.id[:-1])
    assert result.exit_code == 2
    assert found.id in result.stderr


def test_a_model_card_tells_measured_from_predicted(tmp_path):
    """A prediction in a card's results would be a figure that nobody measured."""
    measured, predicted = tmp_path / "measured.md", tmp_path / "predicted.md"
    known = ("--study", STUDY, "--gflops", "120", "--model", "whisper-base")
    for asked, file in ((known, measured), (("--gflops", "200"), predicted)):
        assert run("export", *asked, "--model-card", str(file)).exit_code == 0
    card = ModelCard.load(measured)
    (result,) = card.data.eval_results
    said = re.search(r"wer (\S+) % .*measured", card.text)
    assert said, card.text
    assert 100 * result.metric_value == pytest.approx(float(said[1]), rel=1e-3)
    assert (result.metric_type, result.dataset_name) == ("wer", "librispeech-mini-test-other")
    assert "speechplan measure --task asr --model whisper-base" in card.text
    card = ModelCard.load(predicted)
    assert card.data.eval_results is None
    assert "was not measured" in card.text
    assert card.data.base_model.startswith("openai/whisper")


# --- fits ---


@pytest.fixture
def table(tmp_path):
    """Errors that follow 0.02 + 400 n^-0.5 t^0 + 0.5 t^-1, twice as high from source b."""
    rows = [
        (n, t, source, (0.02 + 400 * n**-0.5 + 0.5 / t) * (2 if source == "b" else 1))
        for n in (1e7, 3e7, 1e8, 3e8)
        for t in (5, 10, 20, 30)
        for source in "ab"
    ]
    file = tmp_path / "results.csv"
    lines = [f"{n},{t},{source},{error}" for n, t, source, error in rows]
    file.write_text("\n".join(["parameters,window_s,source,wer", *lines]))
    return file


def test_a_table_is_fitted_like_the_library_does(table, tmp_path):
    arguments = ("fit", str(table), "--error", "wer", "--group", "source")
    chart = tmp_path / "fit.json"
    found = ask(*arguments, "--plot", str(chart))
    assert [axis["axis"] for axis in found["axes"]] == ["parameters", "window_s"]
    assert found["observations"] == 32
    assert found["held_out_rmsle"] < 0.05
    offsets = found["offsets"]["source"]
    assert offsets["b"] / offsets["a"] == pytest.approx(2, rel=0.05)
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    n, t, source, wer = zip(*rows, strict=True)
    numbers = {"parameters": [float(v) for v in n], "window_s": [float(v) for v in t]}
    model = fit(numbers, [float(v) for v in wer], groups={"source": source})
    assert found == {**model.summary().model_dump(mode="json"), "warnings": []}
    assert model.report() in run(*arguments).stdout
    drawn = json.loads(chart.read_text())
    assert len(drawn["concat"]) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "either a CSV file or --study"),
        (("{table}", "--study", STUDY), "either a CSV file or --study"),
        (("{table}", "--error", "ua"), "no column 'ua'; there are parameters"),
        (
            ("{table}", "--error", "wer", "--axis", "source"),
            "results.csv:2: source: 'a' is no number",
        ),
        (("none.csv", "--error", "wer"), "none.csv: No such file"),
        (("--study", "nope"), "unknown study"),
        (("{table}", "--error", "wer", "--plot", "fit.gif"), ".png, .svg"),
    ],
)
def test_what_can_t_be_fitted_is_said_in_a_line(table, arguments, said):
    result = run("fit", *(one.format(table=table) for one in arguments))
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_copied_rows_change_no_fit(tmp_path):
    """A row predicted from its own copy made intervals narrow and chose other forms."""
    lines = ["1e7,.21", "3e7,.13", "1e8,.10", "3e8,.062", "8e8,.055"]
    copied = [*lines, "10000000.0,0.21", *lines * 4]
    found = []
    for name, rows in (("one.csv", lines), ("copied.csv", copied)):
        file = tmp_path / name
        file.write_text("\n".join(["parameters,error", *rows]))
        found.append(ask("fit", str(file)))
    assert found[0].pop("warnings") == []
    (warning,) = found[1].pop("warnings")
    assert "21 of 26 rows" in warning
    assert found[0] == found[1]
    assert "warning: 21 of 26 rows" in run("fit", str(file)).stdout
    seeds = [f"{row},{seed}" for seed in (1, 2) for row in lines]
    file.write_text("\n".join(["parameters,error,seed", *seeds]))
    repeated = ask("fit", str(file), "--axis", "parameters")
    assert repeated["observations"] == 10
    assert "5 of 10 rows repeat another in parameters, error" in repeated["warnings"][0]


def test_a_column_that_is_left_out_is_named_with_its_line(tmp_path):
    """One empty cell, and the error was said to depend on less."""
    file = tmp_path / "blank.csv"
    lines = ["1e7;10;.21;a", "3e7;20;.13;a", "1e8;10;.10;b", "3e8;;.062;b", "8e8;20;.055;b"]
    file.write_text("\n".join(["parameters;window_s;error;who", *lines]))
    found = ask("fit", str(file))
    assert [axis["axis"] for axis in found["axes"]] == ["parameters"]
    separated, window, who = found["warnings"]
    assert "semicolons" in separated
    assert "window_s" in window and "line 5: is empty" in window
    assert "who" in who and "group" in who
    refused = run("fit", str(file), "--axis", "window_s")
    assert (refused.exit_code, f"{file}:5: window_s: is empty" in refused.stderr) == (2, True)
    file.write_text("parameters;error\n1e7;0,21\n3e7;0,13\n")
    refused = run("fit", str(file))
    assert (refused.exit_code, "is 0.21 meant" in refused.stderr) == (2, True)


def test_a_study_s_curves_are_those_that_answers_come_from():
    found = ask("fit", "--study", "asr-librispeech-test-other")
    answer = ask("recommend", "--gflops", "200")["recommendation"]
    assert f"{found['observations']} observations" in json.dumps(answer)
    assert found["axes"][0]["elasticity"]["upper"] < 0


# --- reports and charts ---


class Page(HTMLParser):
    """What a page loads, what it holds, and which tags it leaves open."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.loads, self.tags, self.open, self.ids, self.links = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        if "id" in found:
            self.ids.append(found["id"])
        for name in ("src", "href", "data", "action"):
            if name in found:
                (self.links if found[name].startswith("#") else self.loads).append(found[name])
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_is_one_file_with_every_figure(tmp_path):
    """Nothing loaded, no script, every number of the curves in a table."""
    file = tmp_path / "report.html"
    arguments = ("curves", "--study", STUDY, "--model", "tiny.en", "--axis", "window_s")
    curves = ask(*arguments, "--output", str(file))["items"]
    text = file.read_text()
    page = Page(text)
    assert page.open == []
    assert page.loads == []
    assert "script" not in page.tags
    assert "url(" not in text
    assert "@import" not in text
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert page.tags.count("svg") == page.tags.count("table") == len(curves) > 0
    assert "prefers-color-scheme: dark" in text
    for point in curves[0]["points"]:
        assert f"{100 * point['metric']['value']:.2f}" in text
        assert point["key"][:12] in text
    result = run(*arguments, "--output", str(tmp_path / "report.pdf"))
    assert result.exit_code == 2
    assert ".html" in result.stderr


def test_a_name_in_a_report_is_text(tmp_path, monkeypatch):
    """A study called like a tag stays a name."""
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'own.db'}")
    rows = tmp_path / "rows.csv"
    lines = [f"<script>x</script>,d,p,base,{w},0.{w},fraction" for w in (10, 20, 30)]
    rows.write_text("\n".join(["study,dataset,provenance,model,window_s,wer,unit", *lines]))
    assert run("import", str(rows)).exit_code == 0
    file = tmp_path / "report.html"
    assert run("curves", "--study", "<script>x</script>", "--output", str(file)).exit_code == 0
    assert "script" not in Page(file.read_text()).tags


def test_a_recommendation_is_drawn_with_its_choice_and_its_budget(tmp_path):
    chart = tmp_path / "front.json"
    answer = ask("recommend", "--gflops", "200", "--plot", str(chart))["recommendation"]
    drawn = json.loads(chart.read_text())["datasets"]
    assert drawn["chosen"][0]["x"] == answer["costs"]["gflops_per_utterance"]
    assert drawn["chosen"][0]["y"] == answer["predictions"]["wer"]["mean"]
    assert drawn["limit_x"][0]["x"] == 200
    assert len(drawn["front"]) == len(answer["pareto_front"]["points"])


def test_nothing_to_draw_is_said():
    result = run("coverage", "--plot", "none.png")
    assert result.exit_code == 2
    assert "nothing to draw" in result.stderr


# --- completion ---


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("speechplan rec", ["recommend"]),
        ("speechplan cost --model whisper-large-v3-", ["whisper-large-v3-turbo"]),
        ("speechplan recommend --study asr-librispeech-test-o", ["asr-librispeech-test-other"]),
        ("speechplan recommend --device nvidia-h", ["nvidia-h100-sxm", "nvidia-h200"]),
        ("speechplan measure --dataset libri", ["librispeech:"]),
    ],
)
def test_shells_complete_commands_and_names(words, expected):
    environment = {
        **os.environ,
        "_SPEECHPLAN_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    program = "import sys; sys.argv = ['speechplan']; from api.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    found = done.stdout.split()
    assert found[: len(expected)] == expected, done.stderr
    assert all(one.startswith(words.split()[-1]) for one in found)
