"""The store that a command reads or writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from measurements.store import Store


def existing_store() -> Store | None:
    """The store where there is one; reading needs none."""
    from measurements.settings import Settings
    from measurements.store import Store

    url = Settings().database_url
    return Store.open(url) if Store.exists(url) else None


def writable_store() -> Store:
    """The store, made where there is none."""
    from measurements.settings import Settings
    from measurements.store import Store

    return Store.open(Settings().database_url)
