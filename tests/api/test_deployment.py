"""Settings, compose.yaml, the Dockerfile and the README say what the code does."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from api.app import create_app
from api.cli.main import app
from measurements import settings
from measurements.settings import Settings
from measurements.store import Store

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
VARIABLES = {one.variable for one in settings.described(Settings())}
LIBRARIES_OWN = {"PGPASSWORD", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}
"""What PostgreSQL's client library and its image read."""

runner = CliRunner()


def test_every_variable_that_is_read_is_in_the_table():
    read = {
        name
        for folder in ("api", "measurements", "models_registry", "planner")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"SPEECHPLAN_[A-Z_]*[A-Z]", file.read_text())
    }
    assert read <= VARIABLES


def test_the_documentation_has_the_table_as_it_is():
    """When it fails: put in what 'speechplan settings --markdown' prints."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    assert any(settings.table() in page.read_text() for page in pages)


def test_settings_are_listed_without_their_secrets(monkeypatch):
    monkeypatch.setenv("SPEECHPLAN_API_KEY", "correct horse battery")
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", "postgresql+psycopg://me:geheim@host/plans")
    monkeypatch.setenv("SPEECHPLAN_PORT", "9000")
    for flags in (["--json"], [], ["--markdown"]):
        shown = runner.invoke(app, ["settings", *flags])
        assert shown.exit_code == 0
        assert "correct horse" not in shown.stdout and "geheim" not in shown.stdout
    assert "correct horse" not in repr(Settings()) and "geheim" not in repr(Settings())
    listed = json.loads(runner.invoke(app, ["settings", "--json"]).stdout)["items"]
    found = {one["variable"]: one for one in listed}
    assert found.keys() == VARIABLES
    assert (found["SPEECHPLAN_PORT"]["value"], found["SPEECHPLAN_PORT"]["default"]) == (
        "9000",
        "8000",
    )
    assert found["SPEECHPLAN_PORT"]["set"] and not found["SPEECHPLAN_LOG_LEVEL"]["set"]
    assert found["SPEECHPLAN_DATABASE_URL"]["value"] == "postgresql+psycopg://me:***@host/plans"


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "many"), ("LOG_LEVEL", "loud"), ("API_KEY", "short")]
)
def test_a_setting_that_is_wrong_is_one_line_and_shows_no_secret(monkeypatch, name, value):
    monkeypatch.setenv(f"SPEECHPLAN_{name}", value)
    with pytest.raises(ValidationError):
        Settings()
    told = runner.invoke(app, ["serve"])
    assert told.exit_code == 2
    assert name.lower() in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert name != "API_KEY" or value not in told.stderr


def test_a_database_that_is_away_is_told_without_its_password(monkeypatch):
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://me:geheim@127.0.0.1:9/plans"
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", url)
    told = runner.invoke(app, ["db", "upgrade"])
    assert told.exit_code == 1
    assert "127.0.0.1:9" in told.stderr and "geheim" not in told.output


def test_backup_and_restore_from_the_command_line(tmp_path, monkeypatch):
    """What was unfinished is queued again, also where the job engine's file is lost."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", url)
    copy = tmp_path / "copy.db"
    assert runner.invoke(app, ["db", "backup", str(copy)]).exit_code == 1
    assert runner.invoke(app, ["db", "upgrade"]).exit_code == 0
    store = Store(url)
    for name, status in (("a", "running"), ("b", "queued"), ("c", "succeeded")):
        store.put_verification(name, study="asr-demo", status=status, document={})
    store.close()
    assert runner.invoke(app, ["db", "backup", str(copy)]).exit_code == 0
    for file in tmp_path.glob("store*"):
        file.unlink()
    restored = runner.invoke(app, ["db", "restore", str(copy)])
    assert restored.exit_code == 0, restored.output
    assert "2 unfinished jobs" in restored.stdout
    refused = runner.invoke(app, ["db", "restore", str(copy)])
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert runner.invoke(app, ["db", "restore", str(copy), "--force"]).exit_code == 0
    queue = create_app(Settings()).dependencies["queue"].dependency()
    assert queue.depth() == {"enqueued": 2}
    queue.close()


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_a_service_of_the_compose_file_can_start(name):
    """As far as it goes without an engine: its variables, its image, its command exist."""
    service = COMPOSE["services"][name]
    image, _, tag = service["image"].partition(":")
    assert image and tag and tag != "latest"
    assert set(service["environment"]) <= VARIABLES | LIBRARIES_OWN
    if "command" not in service:
        return
    program, *words = service["command"]
    assert program == "speechplan"
    arguments = [word for word in words if word.startswith("--")]
    shown = runner.invoke(app, [words[0], "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert all(argument in shown.stdout for argument in arguments)
    grace_s = int(service["stop_grace_period"].removesuffix("s"))
    assert grace_s > Settings.model_fields["shutdown_grace_s"].default


def test_the_compose_file_has_no_secret_and_no_default_for_one():
    for service in COMPOSE["services"].values():
        for variable, value in service["environment"].items():
            if re.search("PASSWORD|KEY", variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), variable
    published = [port for s in COMPOSE["services"].values() for port in s.get("ports", [])]
    assert published == ["127.0.0.1:8000:8000"]


def test_what_the_compose_file_sets_are_settings(monkeypatch):
    for variable, value in COMPOSE["services"]["api"]["environment"].items():
        monkeypatch.setenv(variable, re.sub(r"\$\{.*\}", "a secret of enough length", value))
    found = Settings()
    assert found.data_roots == (Path("/speech"),)
    assert found.resolved_jobs_url == "postgresql://speechplan@database/speechplan"


def test_the_image_asks_a_route_that_exists():
    text = (ROOT / "Dockerfile").read_text()
    (route,) = re.findall(r"\['SPEECHPLAN_PORT'\]\}(/[a-z/]+)", text)
    assert route in {one.path for one in create_app(Settings()).routes}
    assert set(re.findall(r"SPEECHPLAN_[A-Z_]*[A-Z]", text)) <= VARIABLES


def test_the_image_has_what_the_documentation_uses():
    """All extras but the developers' and those that a GPU or a Ray cluster alone has a use for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = set(project["optional-dependencies"])
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "api").rglob("*.py")]
    named = {
        extra
        for page in pages
        for extras in re.findall(r"speechplan\[([a-z,-]+)\]", page.read_text())
        for extra in extras.split(",")
    }
    (installed,) = re.findall(r'pip install "\.\[([a-z,-]+)\]"', (ROOT / "Dockerfile").read_text())
    assert named <= known
    assert set(installed.split(",")) == named - {"energy", "quantisation", "ray"}
