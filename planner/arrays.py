"""Arrays that the planner's signatures name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows of each code, from 0 on.

    Attributes:
        order: Rows, those of a code beside one another.
        ends: Where those of each code end.
    """

    order: Index
    ends: Index

    @classmethod
    def of(cls, codes: Index, count: int = 0) -> Groups:
        """The rows that have each code, in their order."""
        order = np.argsort(codes, kind="stable")
        return cls(order, np.cumsum(np.bincount(codes, minlength=count)))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, code: int) -> Index:
        return self.order[self.ends[code - 1] if code else 0 : self.ends[code]]

    def __iter__(self) -> Iterator[Index]:
        return (self[code] for code in range(len(self)))


def scrambled(column: Array | Index | NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """A number for each value of a column, the same for the same value, shape ``(rows,)``.

    Numbers of several columns, each with a salt of its own, are added up to tell rows apart:
    two rows that differ share a sum with a probability of about 5e-20.
    """
    plain: NDArray[Any] = column
    if column.dtype == np.float64:
        # No negative zero, and no NaN, which is unequal to itself.
        plain = column + 0.0
        plain[np.isnan(plain)] = -1.0
    bits: NDArray[np.uint64] = plain.view(np.uint64) ^ np.uint64(salt)
    for factor, shift in ((0xBF58476D1CE4E5B9, 32), (0x94D049BB133111EB, 29)):
        bits *= np.uint64(factor)
        bits ^= bits >> np.uint64(shift)
    return bits


def distinct(columns: Sequence[Array | Index]) -> tuple[Index, Index]:
    """A row of each distinct combination, and which of them each row has."""
    total = np.zeros(len(columns[0]), dtype=np.uint64)
    for salt, column in enumerate(columns, 1):
        total += scrambled(column, salt * 0x9E3779B97F4A7C15 % 2**64)
    _, first, place = np.unique(total, return_index=True, return_inverse=True)
    return first, place
