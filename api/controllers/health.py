"""``/health``: whether the service can work."""

from __future__ import annotations

from importlib.metadata import version

from litestar import get
from litestar.di import NamedDependency

from api.problems import responses
from api.schemas import Health
from measurements.store import Store


@get(
    "/health",
    operation_id="getHealth",
    summary="Whether the service can work",
    tags=["operations"],
    responses=responses(503),
    raises=[],
    sync_to_thread=True,
)
def health(store: NamedDependency[Store]) -> Health:
    """Up, and the store answers."""
    store.ping()
    return Health(version=version("speechplan"))
