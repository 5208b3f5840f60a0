"""Names: aliases, near misses, plug-ins."""

from types import SimpleNamespace

import pytest

from models_registry import MODELS, Registry, UnknownNameError
from models_registry import registry as registry_module


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("whisper-base", "whisper-base"),
        ("Whisper-Base", "whisper-base"),
        ("base", "whisper-base"),
        ("openai/whisper-large-v3", "whisper-large-v3"),
        ("large-v3-turbo", "whisper-large-v3-turbo"),
        ("distil-whisper/distil-large-v3", "distil-large-v3"),
        ("facebook/hubert-base-ls960", "hubert-base"),
    ],
)
def test_aliases_lead_to_the_entry(alias, name):
    assert MODELS.get(alias).name == name
    assert alias in MODELS


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        MODELS.get("whisper-lrge-v3")
    assert caught.value.suggestions[0] == "whisper-large-v3"
    assert "did you mean whisper-large-v3" in str(caught.value)


def test_a_hopeless_name_is_answered_with_the_choices():
    with pytest.raises(UnknownNameError, match="choose one of whisper-tiny, "):
        MODELS.get("zzzzzzz")


def test_a_name_is_taken_once():
    registry = Registry("thing")
    registry.add("one", 1, aliases=("uno",))
    with pytest.raises(ValueError, match="registered already"):
        registry.add("UNO", 2)
    assert list(registry) == [1]


def test_entry_points_add_entries_when_a_name_is_missing(monkeypatch):
    """A plug-in distribution's entry is found, and it is loaded once."""
    loads = []

    class EntryPoint:
        def load(self):
            loads.append(1)
            return lambda registry: registry.add("from-plugin", 7)

    found = SimpleNamespace(select=lambda group: [EntryPoint()])
    monkeypatch.setattr(registry_module, "_entry_points", lambda: found)
    registry = Registry("thing", entry_point_group="speechplan.things")
    registry.add("own", 1)
    assert registry.get("own") == 1
    assert not loads
    assert registry.get("from-plugin") == 7
    assert registry.names() == ["own", "from-plugin"]
    assert loads == [1]
