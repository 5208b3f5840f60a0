"""Measurements by what they are of, and by their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from measurements.catalogue import catalogue
from measurements.records import Measurement, Source
from measurements.studies import all_measurements, study_of
from models_registry import MODELS
from models_registry.configuration import Task

if TYPE_CHECKING:
    from measurements.store import Store


def find_measurements(
    store: Store | None,
    *,
    study: str | None = None,
    model: str | None = None,
    source: Source | None = None,
    task: Task | None = None,
) -> list[Measurement]:
    """The measurements that every filter lets through.

    The catalogue's come first, then the store's as they came in: new ones shift no page.

    Raises:
        UnknownNameError: There is no such study or model.
    """
    known = all_measurements(store, task) if study is None else study_of(store, study).measurements
    name = None if model is None else MODELS.canonical(model)
    return [
        m
        for m in known
        if name in (None, m.configuration.model)
        and source in (None, m.source)
        and task in (None, m.configuration.task)
    ]


def measurement_of(store: Store, key: str) -> Measurement | None:
    """The measurement with a key: the store's own, which evidence is made of too, or built in."""
    return store.measurement(key) or next((one for one in catalogue() if one.key == key), None)
