"""What tests of measurements share."""

import pytest

from measurements.settings import Settings
from measurements.store import Store


@pytest.fixture
def settings(tmp_path):
    return Settings(database_url=f"sqlite:///{tmp_path / 'store.db'}")


@pytest.fixture
def store(settings):
    opened = Store.open(settings.database_url)
    yield opened
    opened.close()


@pytest.fixture
def quiet_machine(monkeypatch):
    """Timings are judged, whatever else this machine is doing."""
    monkeypatch.setattr("measurements.load.LoadMeter.others_share", lambda _: 0.0)
    monkeypatch.setattr("measurements.slow_spells.SlowSpells.speed", 1.0)
