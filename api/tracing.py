"""OpenTelemetry: spans of requests, where the extra is installed and an endpoint is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from measurements import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_NOT_TRACED = "health,metrics"


def traced(app: ASGIApp, provider: TracerProvider | None = None) -> ASGIApp:
    """An application whose requests are spans; itself where nobody asked for them.

    Args:
        app: What answers.
        provider: Where spans go; to the endpoint of the environment when left out.
    """
    provider = provider or tracing.make_provider()
    if provider is None:
        return app
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    answering = OpenTelemetryMiddleware(
        _named(app),
        excluded_urls=_NOT_TRACED,
        default_span_details=lambda scope: (scope["method"], {}),
        tracer_provider=provider,
        # A span for each message of an answer says nothing that the request's does not.
        exclude_spans=["receive", "send"],
    )
    # It names its scopes and messages more loosely than the framework does.
    return cast("ASGIApp", answering)


def _named(app: ASGIApp) -> ASGIApp:
    """Calls a request's span by its route, which is known when its answer begins."""
    from opentelemetry.trace import get_current_span

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        span = get_current_span()

        async def send_named(message: Message) -> None:
            route = scope.get("path_template")
            if (
                scope["type"] == ScopeType.HTTP
                and message["type"] == "http.response.start"
                and route
            ):
                span.update_name(f"{scope['method']} {route}")
                span.set_attribute("http.route", str(route))
            await send(message)

        await app(scope, receive, send_named)

    return answer
