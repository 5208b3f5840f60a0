"""``/health`` and ``/metrics``: whether the service lives, whether it can work, and how it does."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

from litestar import MediaType, Response, get
from litestar.di import NamedDependency
from litestar.params import HeaderParameter

from api.examples import Documented
from api.metrics import StoreCollector, exposition
from api.problems import problem, responses
from api.schemas import Health
from api.security import NO_KEY
from api.stopping import Stopping
from measurements.jobs.queue import JobQueue
from measurements.store import Store, StoreError


@get(
    "/health",
    operation_id="getHealth",
    security=NO_KEY,
    operation_class=Documented,
    summary="Whether the service can work",
    tags=["operations"],
    responses=responses(503, guarded=False),
    raises=[],
    sync_to_thread=True,
)
def health(store: NamedDependency[Store]) -> Health:
    """Up, and the store answers."""
    store.ping()
    return Health(version=version("speechplan"))


@get(
    "/health/live",
    operation_class=Documented,
    operation_id="getLiveness",
    security=NO_KEY,
    summary="Whether the process answers at all",
    tags=["operations"],
    responses=responses(guarded=False),
    raises=[],
)
async def live() -> Health:
    """Up; restart it when this does not answer, whatever else is wrong."""
    return Health(version=version("speechplan"))


@get(
    "/health/ready",
    operation_class=Documented,
    operation_id="getReadiness",
    security=NO_KEY,
    summary="Whether requests should be sent here",
    tags=["operations"],
    responses=responses(503, guarded=False),
    raises=[],
    sync_to_thread=True,
)
def ready(
    store: NamedDependency[Store],
    queue: NamedDependency[JobQueue],
    stopping: NamedDependency[Stopping],
) -> Health:
    """The store answers with this version's tables, the job engine does, and nothing stops it.

    Otherwise the problem's ``not_ready`` names what is not, and why.
    """

    def why_not(check: Callable[[], None]) -> str | None:
        try:
            check()
        except StoreError as error:
            return str(error)
        return None

    checks = {"store": why_not(store.check_schema), "queue": why_not(queue.check)}
    if stopping.asked:
        checks["service"] = "it is being stopped"
    wrong = {name: reason for name, reason in checks.items() if reason is not None}
    if wrong:
        detail = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
        raise problem(503, "not-ready", "Not ready", detail, {"not_ready": wrong})
    return Health(version=version("speechplan"))


@get(
    "/metrics",
    operation_class=Documented,
    operation_id="getMetrics",
    summary="Figures for Prometheus",
    tags=["operations"],
    media_type=MediaType.TEXT,
    responses=responses(503),
    raises=[],
    sync_to_thread=True,
)
def metrics(
    collector: NamedDependency[StoreCollector],
    accept: Annotated[str, HeaderParameter(name="Accept", include_in_schema=False)] = "",
) -> Response[bytes]:
    """Requests of this process; queues, runs and coverage as the store has them.

    Where there are keys it needs one, of any scope. A store that does not answer is
    ``speechplan_store_up 0``, unless the key itself is to be looked up in it: then 503.
    """
    body, media_type = exposition(collector, accept)
    # The framework names the character set of text itself.
    plain = media_type.startswith("text/")
    return Response(body, media_type=media_type.partition("; charset")[0] if plain else media_type)
