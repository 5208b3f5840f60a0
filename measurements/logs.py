"""Logs: JSON lines, or readable ones on a terminal; libraries' own come the same way."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from measurements.settings import Settings

_OURS = "speechplan"
_SECRETS = (
    re.compile(r"(sp_[0-9a-f]{16}_)[\w-]+"),
    re.compile(r"(://[^:/@\s]+:)[^@\s]+(?=@)"),
    re.compile(r"(bearer\s+)\S+", re.IGNORECASE),
)


def get_logger(name: str) -> Any:
    """A logger below ``speechplan``; its events carry keywords, not formatted text."""
    return structlog.stdlib.get_logger(f"{_OURS}.{name}")


def set_up(settings: Settings) -> None:
    """Sends all logs of this process to standard error, one line an event.

    Args:
        settings: ``log_level`` and ``log_format``.
    """
    plain = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *(_READABLE if plain else _JSON),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    for name in (_OURS, "uvicorn"):
        logging.getLogger(name).setLevel(level)
    # With a handler of its own the job engine adds none; its events go on to the root.
    engine = logging.getLogger("dbos")
    if not engine.handlers:
        engine.addHandler(logging.NullHandler())
    engine.propagate = True
    logging.captureWarnings(True)


def _hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Nothing logs a secret on purpose; this catches one inside of an error's text."""
    for name, value in event.items():
        if isinstance(value, str):
            for pattern in _SECRETS:
                value = pattern.sub(rf"\1{'*' * 6}", value)
            event[name] = value
    return event


def _hide_in_traceback(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    for one in event.get("exception") or []:
        if isinstance(one, dict):
            _hide_secrets(logger, name, one)
    return event


def _add_trace(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Ids of the span under way, where OpenTelemetry is in use."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            event["trace_id"] = f"{context.trace_id:032x}"
            event["span_id"] = f"{context.span_id:016x}"
    return event


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.UnicodeDecoder(),
    _add_trace,
]

# Local variables stay out of tracebacks: they may hold keys.
_JSON: list[Processor] = [
    structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    ),
    _hide_secrets,
    _hide_in_traceback,
    structlog.processors.JSONRenderer(),
]

_READABLE: list[Processor] = [
    _hide_secrets,
    structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
]

# Without set_up events go to the standard library's loggers, which say nothing below WARNING.
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)
