"""The repository itself: floors, the Dockerfile, what goes into a wheel."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES_WITHOUT_TORCH = [
    "api.app",
    "api.cli.main",
    "api.services.planning",
    "planner.recommend",
    "planner.curves",
    "models_registry",
    "measurements.verification",
    "measurements.jobs.queue",
]

PACKAGED = ("*.flac", "*.csv", "*.gz", "*.mako", "*.html", "*.css", "*.js", "*.svg", "*.jinja")


@pytest.mark.parametrize("module", MODULES_WITHOUT_TORCH)
def test_importing_brings_no_torch(module):
    """A torch import in the service would cost seconds and hundreds of megabytes."""
    code = (
        f"import sys, {module}; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_importing_the_planner_brings_no_web_and_no_database():
    code = (
        "import sys, planner.recommend; sys.exit(bool({'litestar', 'sqlalchemy', 'dbos', 'typer',"
        " 'optuna'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_data_file_is_packaged():
    """Hatch packs whole folders: what is not in one of the packages is lost to users."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    tracked = subprocess.run(
        ["git", "ls-files", *PACKAGED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert tracked
    assert all(file.split("/")[0] in packages for file in tracked)


def test_demo_speech_is_small():
    folder = ROOT / "measurements" / "demo_speech"
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < 4_000_000
