"""Options that several commands have, handed to each of them as one mapping."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from pydantic_core import PydanticUndefined

Given = dict[str, Any]
"""What was given, by the option's name."""


def with_options(
    parameter: str, options: Mapping[str, tuple[Any, Any]]
) -> Callable[[Callable[..., None]], Any]:
    """Gives a command options, before its own.

    Args:
        parameter: The command's parameter that receives what was given.
        options: Annotation and default of each; one without a default has to be given.
    """

    def decorate(command: Callable[..., None]) -> Any:
        shared = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if default is PydanticUndefined else default,
                annotation=annotation,
            )
            for name, (annotation, default) in options.items()
        ]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            command(**{parameter: {name: given.pop(name) for name in options}}, **given)

        hints = get_type_hints(command, include_extras=True)
        own = [
            one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
            for name, one in inspect.signature(command).parameters.items()
            if name != parameter
        ]
        both = [*shared, *own]
        run.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in both}
        return run

    return decorate
