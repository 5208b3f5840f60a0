"""Which data sets may be named over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from measurements.datasets import DatasetError

if TYPE_CHECKING:
    from measurements.settings import Settings


def check_dataset(name: str | None, settings: Settings) -> None:
    """Lets only data sets be named over HTTP that lie in an allowed folder.

    Raises:
        DatasetError: It lies elsewhere.
    """
    if name is None or ":" not in name:
        return
    _, _, rest = name.partition(":")
    place = Path(rest).expanduser().resolve()
    if not any(place.is_relative_to(root.resolve()) for root in settings.data_roots):
        raise DatasetError(
            f"data set {name!r} is not in an allowed folder; the service's"
            " SPEECHPLAN_DATA_ROOTS names those"
        )
