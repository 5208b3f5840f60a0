"""Configurations as columns: what a planner computes for all of them at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models_registry import MODELS
from models_registry.configuration import (
    TAIL_S,
    TAIL_SHARE,
    Configuration,
    Precision,
    Task,
    WindowPolicy,
)
from planner.arrays import Array, Index, Labels, Mask, distinct, scrambled

_LABELS = ("model", "window_policy", "reduction", "readout", "adapter", "recipe", "precision")
_NUMBERS = (
    "window_s",
    "tail_s",
    "token_stride",
    "reduction_layer",
    "exit_layer",
    "rank",
    "unfrozen_layers",
    "batch_size",
)
_WHOLE = frozenset(_NUMBERS) - {"window_s", "tail_s", "token_stride"}

NONE = ""
"""Label of a field that is not set; a number that is not set is NaN."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """Many configurations of one task; one of them is made when it is asked for.

    Attributes:
        task: Their task.
        labels: Fields with names for values.
        numbers: Fields with numbers, NaN where a field is not set.
    """

    task: Task
    labels: Mapping[str, Labels]
    numbers: Mapping[str, Array]
    _made: dict[int, Configuration] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, configurations: Sequence[Configuration], task: Task | None = None) -> Lattice:
        """Configurations that exist already.

        Args:
            configurations: Of one task.
            task: Which, in case there are none.
        """
        if task is None:
            task = configurations[0].task if configurations else "asr"
        return cls(
            task,
            {
                name: Labels.of([getattr(c, name) or NONE for c in configurations])
                for name in _LABELS
            },
            {
                name: np.array(
                    [np.nan if (v := getattr(c, name)) is None else v for c in configurations],
                    dtype=float,
                )
                for name in _NUMBERS
            },
        )

    @classmethod
    def product(
        cls,
        models: Sequence[str],
        windows: Sequence[tuple[WindowPolicy, float]],
        reductions: Sequence[tuple[float, float]],
        precisions: Sequence[Precision] = ("fp32",),
    ) -> Lattice:
        """Every combination for speech recognition, without an adapter.

        Args:
            models: Names in the registry.
            windows: Policies and lengths in seconds.
            reductions: Strides, and after what share of the encoder's layers: 0 is the
                stem, 1 the output. A stride of 1 has no such place.
            precisions: Number formats.
        """
        sizes = [len(models), len(windows), len(reductions), len(precisions)]
        model, window, reduction, precision = (
            index.ravel() for index in np.indices(sizes, dtype=np.int64)
        )
        layers = np.array([MODELS.get(name).encoder_layers for name in models], dtype=float)
        stride, depth = np.array(reductions, dtype=float).T
        rows = len(model)
        layer = np.floor(depth[reduction] * layers[model])
        policies = Labels.of([policy for policy, _ in windows])

        def same(name: str) -> Labels:
            return Labels(np.zeros(rows, dtype=np.int64), (name,))

        return cls(
            "asr",
            {
                "model": Labels(model, tuple(MODELS.canonical(name) for name in models)),
                "window_policy": policies.take(window),
                "reduction": same("mean"),
                "readout": same("linear"),
                "adapter": same("none"),
                "recipe": same(NONE),
                "precision": Labels(precision, tuple(precisions)),
            },
            {
                "window_s": np.array([length for _, length in windows])[window],
                "tail_s": np.full(rows, np.nan),
                "token_stride": stride[reduction],
                "reduction_layer": np.where(stride[reduction] > 1, layer, np.nan),
                "exit_layer": np.full(rows, np.nan),
                "rank": np.full(rows, np.nan),
                "unfrozen_layers": np.zeros(rows),
                "batch_size": np.ones(rows),
            },
        )

    def __len__(self) -> int:
        return len(self.numbers["window_s"])

    def __getitem__(self, row: int) -> Configuration:
        if row not in self._made:
            self._made[row] = self._make(row)
        return self._made[row]

    def _make(self, row: int) -> Configuration:
        fields: dict[str, Any] = {"task": self.task}
        for name, labels in self.labels.items():
            fields[name] = labels[row] or None
        for name, column in self.numbers.items():
            value = float(column[row])
            if np.isnan(value):
                fields[name] = None
            else:
                fields[name] = int(value) if name in _WHOLE else value
        return Configuration(**fields)

    def __iter__(self) -> Iterator[Configuration]:
        return (self[row] for row in range(len(self)))

    def take(self, rows: Index | Mask) -> Lattice:
        """Some of the rows."""
        return Lattice(
            self.task,
            {name: labels.take(rows) for name, labels in self.labels.items()},
            {name: column[rows] for name, column in self.numbers.items()},
        )

    def batched(self, sizes: Sequence[int]) -> Lattice:
        """Every row at every batch size."""
        times = len(sizes)
        batch = np.repeat(np.array(sizes, dtype=float), len(self))
        found = Lattice(
            self.task,
            {n: Labels(np.tile(c.codes, times), c.names) for n, c in self.labels.items()},
            {n: np.tile(column, times) for n, column in self.numbers.items()}
            | {"batch_size": batch},
        )
        alone, place = self.alone
        object.__setattr__(found, "alone", (alone, np.tile(place, times)))
        return found

    @cached_property
    def alone(self) -> tuple[Lattice, Index]:
        """What differs in more than its batch size, at 1, and which of it each row is."""
        single = {**self.numbers, "batch_size": np.ones(len(self))}
        rows = Lattice(self.task, self.labels, single)
        first, place = distinct([rows.hashes])
        return rows.take(first), place

    def joined(self, other: Lattice) -> Lattice:
        """These rows, and those of another lattice that are not among them."""
        new = other.take(~np.isin(other.hashes, self.hashes))
        return Lattice(
            self.task,
            {name: labels.joined(new.labels[name]) for name, labels in self.labels.items()},
            {
                name: np.concatenate([column, new.numbers[name]])
                for name, column in self.numbers.items()
            },
        )

    def rows_of(self, configurations: Sequence[Configuration]) -> Index:
        """Row of each configuration, of either task; -1 if it is not in the lattice."""
        # Few are looked for among many.
        tasks = np.array([c.task == self.task for c in configurations], dtype=bool)
        same = Lattice.of([c for c in configurations if c.task == self.task], self.task).hashes
        rows = np.full(len(configurations), -1, dtype=np.int64)
        rows[tasks] = self._rows_with(same)
        return rows

    def _rows_with(self, own: Index) -> Index:
        """Row of each hash, -1 if no row has it."""
        wanted, place = np.unique(own, return_inverse=True)
        found = np.full(len(wanted), -1, dtype=np.int64)
        if len(self) and len(wanted):
            nearest = np.minimum(np.searchsorted(wanted, self.hashes), len(wanted) - 1)
            here = np.flatnonzero(wanted[nearest] == self.hashes)
            found[nearest[here]] = here
        return found[place]

    @cached_property
    def hashes(self) -> Index:
        """A number for each row, the same for equal rows of any lattice of the same task."""
        total = np.full(len(self), _hash(self.task), dtype=np.uint64)
        for name in (*self.labels, *self.numbers):
            total += self._scrambled(name)
        return total.view(np.int64)

    def without(self, fields: Iterable[str]) -> Index:
        """A number for each row, the same where all fields but some are.

        Args:
            fields: Names of the others.
        """
        total = self.hashes.view(np.uint64).copy()
        for name in fields:
            total -= self._scrambled(name)
        return total.view(np.int64)

    @property
    def by_depth(self) -> Index:
        """A number for each row, the same where the share of the layers below a reduction is."""
        return scrambled(self.depth, _hash("depth")).view(np.int64)

    def _scrambled(self, name: str) -> NDArray[np.uint64]:
        if name in self.numbers:
            return scrambled(self.numbers[name], _hash(name))
        # Names instead of codes, which are the lattice's own.
        labels = self.labels[name]
        return scrambled(np.array([_hash(n) for n in labels.names], np.uint64), _hash(name))[
            labels.codes
        ]

    @cached_property
    def depth(self) -> Array:
        """Share of the layers that run below a reduction; NaN without one."""
        return np.round(self.numbers["reduction_layer"] / self.last_layer, 2)

    def by_model(self, value: Callable[[Any], float]) -> Array:
        """A number of each row's architecture."""
        labels = self.labels["model"]
        known = np.array([value(MODELS.get(name)) for name in labels.names], dtype=float)
        return known[labels.codes]

    @cached_property
    def parameters(self) -> Array:
        """Parameters of the models."""
        return self.by_model(lambda a: a.parameters)

    @cached_property
    def last_layer(self) -> Array:
        """Encoder layers that run."""
        exits = self.numbers["exit_layer"]
        return np.where(np.isnan(exits), self.by_model(lambda a: a.encoder_layers), exits)

    @cached_property
    def full_window_s(self) -> Array:
        """Longest window of the models."""
        return self.by_model(lambda a: a.max_window_s)

    @cached_property
    def silence_s(self) -> Array:
        """See :attr:`Configuration.silence_s`."""
        usual = np.minimum(TAIL_S, TAIL_SHARE * self.numbers["window_s"])
        none = ~self.labels["window_policy"].mask("ladder")
        none |= self.labels["recipe"].mask("self-distilled")
        tail_s = self.numbers["tail_s"]
        return np.where(np.isnan(tail_s), np.where(none, 0.0, usual), tail_s)

    @cached_property
    def speech_s(self) -> Array:
        """See :attr:`Configuration.speech_s`."""
        window_s = self.numbers["window_s"]
        whole = self.labels["window_policy"].mask("truncate") | (window_s >= self.full_window_s)
        if self.task == "ser":
            return window_s
        return np.where(whole, window_s, window_s - self.silence_s)


def _hash(name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")
