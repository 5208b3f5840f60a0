"""Errors as one line and an exit code; never a traceback for what a user can mend."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

OK, OTHER, USAGE, INFEASIBLE, TOO_LITTLE_DATA = 0, 1, 2, 3, 4


@contextmanager
def handled(as_json: bool = False) -> Iterator[None]:
    """Turns known errors into one line on stderr and the exit code for them.

    Args:
        as_json: Whether the error also goes to stdout as JSON.
    """
    try:
        yield
    except (typer.Exit, typer.Abort, SystemExit):
        raise
    except KeyboardInterrupt:
        typer.echo("stopped; what was finished is kept, the same command goes on", err=True)
        raise typer.Exit(130) from None
    except Exception as error:
        described = _describe(error)
        if described is None:
            if os.environ.get("SPEECHPLAN_DEBUG"):
                raise
            described = (OTHER, "internal", f"{type(error).__name__}: {_line(error)}", {})
        _leave(*described, as_json=as_json)


def usage(message: str) -> NoReturn:
    """Ends with exit code 2 and a line that says what is wrong."""
    typer.echo(f"speechplan: {message}", err=True)
    raise typer.Exit(USAGE)


def _leave(
    exit_code: int, code: str, message: str, details: dict[str, Any], *, as_json: bool
) -> NoReturn:
    if as_json:
        document = {"error": {"code": code, "message": message, "details": details}}
        typer.echo(json.dumps(document, indent=2))
    typer.echo(f"speechplan: {message}", err=True)
    sys.stdout.flush()
    raise typer.Exit(exit_code) from None


def _describe(error: Exception) -> tuple[int, str, str, dict[str, Any]] | None:
    for kind, describe in _KINDS.items():
        if any(cls.__name__ == kind for cls in type(error).__mro__):
            return describe(error)
    return None


def _planner(error: Any) -> tuple[int, str, str, dict[str, Any]]:
    exit_code = {
        "no-feasible-configuration": INFEASIBLE,
        "insufficient-data": TOO_LITTLE_DATA,
        "nothing-to-verify": TOO_LITTLE_DATA,
        "invalid-data": USAGE,
        "invalid-request": USAGE,
    }.get(error.code, OTHER)
    return exit_code, error.code, str(error), error.details


def _unknown_name(error: Any) -> tuple[int, str, str, dict[str, Any]]:
    details = {"kind": error.kind, "name": error.name, "suggestions": error.suggestions}
    return USAGE, "unknown-name", str(error), details


def _validation(error: Any) -> tuple[int, str, str, dict[str, Any]]:
    problems = [
        {"field": ".".join(map(str, item["loc"])), "message": item["msg"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    said = "; ".join(
        f"{item['field']}: {item['message']}" if item["field"] else item["message"]
        for item in problems
    )
    return USAGE, "invalid-request", said.replace("Value error, ", ""), {"errors": problems}


def _plain(
    exit_code: int, code: str
) -> Callable[[Exception], tuple[int, str, str, dict[str, Any]]]:
    return lambda error: (exit_code, code, _line(error), {})


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


# By name, so that telling an error apart imports nothing that did not run.
_KINDS: dict[str, Callable[[Any], tuple[int, str, str, dict[str, Any]]]] = {
    "PlannerError": _planner,
    "UnknownNameError": _unknown_name,
    "ValidationError": _validation,
    "DatasetError": _plain(USAGE, "dataset"),
    "AdapterError": _plain(USAGE, "adapter"),
    "UnsupportedConfigurationError": _plain(USAGE, "unsupported-configuration"),
    "WeightsError": _plain(OTHER, "weights"),
    "MalformedModelError": _plain(OTHER, "weights"),
    "TrainingError": _plain(OTHER, "training"),
    "StoreError": _plain(OTHER, "store"),
    "ListenError": _plain(OTHER, "address"),
    "StartError": _plain(OTHER, "start"),
    "ModuleNotFoundError": lambda error: (
        OTHER,
        "missing-extra",
        f"{error.name} is not installed: pip install 'speechplan[measure]'",
        {},
    ),
    "ValueError": _plain(USAGE, "invalid-request"),
}
