"""Arrays that the planner's signatures name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Draws = NDArray[np.float32]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Labels:
    """A column of few different strings.

    Attributes:
        codes: Place of each row's string among the names.
        names: The strings.
    """

    codes: Index
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[str]) -> Labels:
        """Strings as they come."""
        places = {name: place for place, name in enumerate(dict.fromkeys(values))}
        return cls(np.array([places[value] for value in values], dtype=np.int64), tuple(places))

    @classmethod
    def read(cls, values: Sequence[Any] | Labels) -> Labels:
        """Labels as they are, or whatever can be written as strings."""
        return values if isinstance(values, Labels) else cls.of([str(value) for value in values])

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> str:
        return self.names[int(self.codes[row])]

    def mask(self, *names: str) -> Mask:
        """Rows that have one of some names."""
        chosen = np.array([name in names for name in self.names], dtype=bool)
        found: Mask = chosen[self.codes] if len(chosen) else np.zeros(len(self), dtype=bool)
        return found

    def take(self, rows: Index | Mask) -> Labels:
        """Some of the rows."""
        return Labels(self.codes[rows], self.names)

    def joined(self, other: Labels) -> Labels:
        """These rows and, behind them, others."""
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        places = np.array([names.index(name) for name in other.names], dtype=np.int64)
        codes = places[other.codes] if len(places) else other.codes
        return Labels(np.concatenate([self.codes, codes]), names)


def mixed(columns: Iterable[Array | Index | NDArray[np.uint64]], rows: int) -> Index:
    """A number for each row, the same where all columns are; shape ``(rows,)``.

    Two rows that differ share one with a probability of about 5e-20.
    """
    total = np.zeros(rows, dtype=np.uint64)
    for column in columns:
        # No NaN, which is unequal to itself, and no negative zero.
        plain = np.nan_to_num(column, nan=-1.0) + 0.0 if column.dtype == np.float64 else column
        # Multiply and mix, so that no column's bits stay in one place.
        total ^= plain.view(np.uint64)
        total *= np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total.view(np.int64)


def distinct(columns: Sequence[Array | Index]) -> tuple[Index, Index]:
    """A row of each distinct combination, and which of them each row has."""
    code = mixed(columns, len(columns[0]))
    _, first, place = np.unique(code, return_index=True, return_inverse=True)
    return first, place
