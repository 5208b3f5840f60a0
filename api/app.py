"""The Litestar application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin

from api import problems, security
from api.controllers.catalogue import MeasurementController, ModelController, StudyController
from api.controllers.health import health
from api.controllers.recommendations import (
    FrontController,
    PredictionController,
    RecommendationController,
)
from api.controllers.sweeps import SweepController
from api.controllers.verifications import CalibrationController, VerificationController
from api.services import PlanningService
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store


def create_app(settings: Settings | None = None) -> Litestar:
    """Makes the application; nothing in it needs torch.

    Args:
        settings: Where things are; from the environment when left out.

    Raises:
        StoreError: The store can't be opened.
    """
    chosen = settings or Settings()
    store = Store.open(chosen.database_url)
    queue = JobQueue.prepare(chosen)
    planning = PlanningService(store)

    @asynccontextmanager
    async def close(_: Litestar) -> AsyncIterator[None]:
        yield
        queue.close()
        store.close()

    def always(value: object) -> Provide:
        return Provide(lambda: value, sync_to_thread=False, use_cache=True)

    return Litestar(
        route_handlers=[
            RecommendationController,
            FrontController,
            PredictionController,
            VerificationController,
            CalibrationController,
            SweepController,
            ModelController,
            StudyController,
            MeasurementController,
            health,
        ],
        dependencies={
            "store": always(store),
            "queue": always(queue),
            "planning": always(planning),
            "settings": always(chosen),
        },
        guards=[security.key_guard(store, chosen)],
        plugins=[problems.plugin()],
        lifespan=[close],
        request_max_body_size=chosen.max_body_bytes,
        openapi_config=OpenAPIConfig(
            title="speechplan",
            version=version("speechplan"),
            description=(
                "Compute planning for speech models: which model, window, token resolution and"
                " precision for a budget, with honest intervals and real verification."
            ),
            path="/schema",
            components=security.COMPONENTS,
            security=[{"apiKey": []}] if security.has_keys(store, chosen) else None,
            render_plugins=[SwaggerRenderPlugin(path="/docs")],
        ),
    )
