"""Names that a shell completes; looking them up imports neither torch nor the web framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from models_registry import MODELS
from models_registry.devices import DEVICES
from models_registry.languages import LANGUAGES


def _completed(names: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return complete


def _studies() -> list[str]:
    from api.cli.stores import existing_store
    from measurements.studies import studies

    return [study.id for study in studies(existing_store())]


def _devices() -> list[str]:
    from api.cli.stores import existing_store
    from measurements.profiles import device_profiles

    timed = [profile.device.id for profile in device_profiles(existing_store())]
    return ["local", *DEVICES.names(), *timed]


def _datasets() -> list[str]:
    from measurements.datasets import READERS

    return [name if name == "demo" else f"{name}:" for name in READERS.names()]


models = _completed(MODELS.names)
languages = _completed(LANGUAGES.names)
studies = _completed(_studies)
devices = _completed(_devices)
datasets = _completed(_datasets)
run_devices = _completed(lambda: ("auto", "cpu", "cuda"))
