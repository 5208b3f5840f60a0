"""Measurements by what a person would call them: a key's beginning, a label, a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from measurements.comparison import ComparisonError
from measurements.records import Measurement
from models_registry import UnknownNameError, read_plan

SHORT = 12
"""Characters of a key that are shown."""

_LEAST = 4


class AmbiguousNameError(ValueError):
    """A name that several measurements answer to."""


def named(text: str, measurements: Sequence[Measurement]) -> list[Measurement]:
    """The measurements that a text names, the largest first.

    Args:
        text: The beginning of a key (4 characters or more), a configuration's label,
            or a JSON or YAML file with a configuration, a plan or what ``recommend --json``
            prints.
        measurements: What there is.

    Raises:
        UnknownNameError: None answers to it, but some are close.
        AmbiguousNameError: It begins several keys.
        ValueError: The file holds no configuration, or nothing is close to the text.
    """
    if len(text) >= _LEAST:
        found = [m for m in measurements if m.key.startswith(text.lower())]
        if len(found) > 1:
            keys = ", ".join(m.key[:SHORT] for m in found[:6])
            raise AmbiguousNameError(f"{text!r} begins {len(found)} keys: {keys}")
        if found:
            return found
    if Path(text).suffix in (".json", ".yaml", ".yml"):
        configuration = read_plan(Path(text)).configuration
        found = [m for m in measurements if m.configuration == configuration]
        text = configuration.label()
    else:
        found = [m for m in measurements if m.configuration.label() == text]
    if not found:
        names = [m.key[:SHORT] for m in measurements] + [
            m.configuration.label() for m in measurements
        ]
        error = UnknownNameError("measurement", text, list(dict.fromkeys(names)))
        if error.suggestions:
            raise error
        raise ValueError(f"unknown measurement {text!r}: 'speechplan measurements' lists them")
    return sorted(found, key=lambda m: -(m.dataset.utterances or 0))


def pair(a: str, b: str, measurements: Sequence[Measurement]) -> tuple[Measurement, Measurement]:
    """Two named measurements; of several, those of the same speech.

    Raises:
        ComparisonError: There is nothing to compare.
        UnknownNameError: One is not known.
    """
    if not measurements:
        raise ComparisonError("there is no measurement yet: see 'speechplan measure'")
    left, right = named(a, measurements), named(b, measurements)
    for one in left:
        for other in right:
            if one.dataset.fingerprint and one.dataset.fingerprint == other.dataset.fingerprint:
                return one, other
    return left[0], right[0]
