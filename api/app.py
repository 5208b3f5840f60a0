"""The Litestar application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin

from api import headers, problems, security
from api.controllers.catalogue import DeviceController, ModelController
from api.controllers.costs import CostController
from api.controllers.health import health, live, metrics, ready
from api.controllers.measurements import MeasurementController
from api.controllers.recommendations import (
    FrontController,
    PlanController,
    PredictionController,
    RecommendationController,
)
from api.controllers.studies import CurveController, StudyController
from api.controllers.sweeps import SweepController
from api.controllers.verifications import CalibrationController, VerificationController
from api.heads import with_heads
from api.limits import Limiter
from api.metrics import StoreCollector, note_recommendation
from api.observing import Observed
from api.reference import ReferencePlugin
from api.services.planning import PlanningService
from api.stopping import Stopping
from api.strict import RequestSchemas, known_media_type, known_parameters
from api.tracing import traced
from api.verified import Answers
from api.web import router as web
from api.web.site import templates
from measurements import logs
from measurements.jobs.queue import JobQueue
from measurements.settings import Settings
from measurements.store import Store
from measurements.store.engine import BUSY_S


def create_app(settings: Settings | None = None) -> Litestar:
    """Makes the application; nothing in it needs torch.

    Args:
        settings: Where things are; from the environment when left out.

    Raises:
        StoreError: The store can't be opened.
    """
    chosen = settings or Settings()
    store = Store.open(chosen.database_url, busy_s=BUSY_S)
    queue = JobQueue(chosen)
    planning = PlanningService(store, note_recommendation)
    stopping = Stopping()

    @asynccontextmanager
    async def close(_: Litestar) -> AsyncIterator[None]:
        with stopping.on_signals():
            yield
        queue.close()
        store.close()

    def always(value: object) -> Provide:
        return Provide(lambda: value, sync_to_thread=False, use_cache=True)

    app = Litestar(
        route_handlers=[
            RecommendationController,
            PlanController,
            FrontController,
            PredictionController,
            VerificationController,
            CalibrationController,
            SweepController,
            ModelController,
            DeviceController,
            CostController,
            StudyController,
            CurveController,
            MeasurementController,
            health,
            web.router(),
            live,
            ready,
            metrics,
        ],
        template_config=templates(),
        dependencies={
            "store": always(store),
            "queue": always(queue),
            "planning": always(planning),
            # One for all: what a route has several of, the framework gives each a task of its own.
            "answers": always(Answers(planning, store, queue, chosen, stopping)),
            "settings": always(chosen),
            "stopping": always(stopping),
            "collector": always(StoreCollector(store, queue)),
        },
        guards=[
            Limiter(chosen).around(security.key_guard(store, chosen)),
            known_parameters,
            known_media_type,
        ],
        before_send=[headers.add],
        logging_config=None,
        plugins=[problems.plugin(), RequestSchemas()],
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
            use_handler_docstrings=True,
            components=security.COMPONENTS,
            security=[{"apiKey": []}] if security.has_keys(store, chosen) else None,
            render_plugins=[ReferencePlugin(), JsonRenderPlugin(), YamlRenderPlugin()],
        ),
    )
    # Outermost, where errors and unknown paths pass too; middleware sees matched routes only.
    app.asgi_handler = traced(Observed(with_heads(app.asgi_handler)))
    return app


def served() -> Litestar:
    """The application as a server process runs it, its logs set up from the environment."""
    settings = Settings()
    logs.set_up(settings)
    return create_app(settings)
