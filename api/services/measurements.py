"""Measurements of a study, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.paging import page
from api.schemas import MeasurementsPage
from measurements.studies import study_of

if TYPE_CHECKING:
    from measurements.store import Store


def measurements_page(store: Store | None, study: str, cursor: str, limit: int) -> MeasurementsPage:
    """A page of a study's measurements: the catalogue's first, then the store's.

    Raises:
        UnknownNameError: There is no such study.
    """
    items, following = page(study_of(store, study).measurements, cursor, limit)
    return MeasurementsPage(items=items, next_cursor=following)
