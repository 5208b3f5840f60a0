"""Answers that are not a recommendation, each with what the asker can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class PlannerError(Exception):
    """A question that can't be answered as it stands.

    Attributes:
        code: Stable identifier, the last part of the problem type over HTTP.
        details: Plain data for scripts.
    """

    code = "planner-error"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class InvalidDataError(PlannerError):
    """Numbers that no curve can be fitted to: not finite, not positive, of unequal length."""

    code = "invalid-data"


class InsufficientDataError(PlannerError):
    """Too few measurements; ``details["measure"]`` says which to make."""

    code = "insufficient-data"


class NoFeasibleConfigurationError(PlannerError):
    """Nothing meets the budget; ``details`` holds the nearest, what binds and the price."""

    code = "no-feasible-configuration"


class InvalidConfigurationsError(PlannerError):
    """Configurations that the setting does not allow; ``details["errors"]`` names the fields.

    Args:
        errors: What is wrong, by the path of the field.
    """

    code = "invalid-request"

    def __init__(self, errors: Mapping[str, str]) -> None:
        said = "; ".join(f"{field}: {message}" for field, message in errors.items())
        named = [{"field": field, "message": message} for field, message in errors.items()]
        super().__init__(said, errors=named)
