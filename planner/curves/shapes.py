"""How an error moves along one axis, everything else held.

A shape is a function of ``z = log(x / c)``, c being the geometric mean of the
axis in the data, and is 1 at ``z = 0``. Its slope in log-log space is ``-before``
far below a break and ``after`` far above it:

``log S(z) = -before * z + (before + after) * s * (L((z - m) / s) - L(-m / s))``

with ``L(u) = log(1 + exp(u))``, the break ``m`` and ``s = 0.5``, which makes the bend
about as wide as a factor of e. A power law has no break; a saturating one is flat
below it; a broken one (Caballero et al., arXiv 2210.14891, with one break) falls on both
sides, at different rates; a U rises again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from planner.arrays import Array

ShapeName = Literal["power", "saturating", "broken", "u-shape", "signed"]

_WIDTH = 0.5

_LOG_POWER = (float(np.log(0.5)), 2.0)
"""Prior of an exponent's log: 0.5, within a factor of 7 at one standard deviation."""

_SIGNED_POWER = (0.0, 0.5)
"""Prior of an exponent that may be of either sign."""


@dataclass(frozen=True)
class Shape:
    """One of the shapes.

    Attributes:
        name: Which.
        falls: Whether there is a negative slope below the break; its log is a parameter.
        after: Sign of the slope above the break, whose log is a parameter; 0 without a
            break.
        signed: Whether the slope is a parameter itself, of either sign.
    """

    name: ShapeName
    falls: bool = True
    after: Literal[-1, 0, 1] = 0
    signed: bool = False

    @property
    def size(self) -> int:
        """Number of parameters: log slope below, log slope above, break."""
        return self.falls + 2 * bool(self.after)

    def prior(self, low: float, high: float) -> list[tuple[float, float]]:
        """Mean and standard deviation of each parameter.

        Args:
            low: Least z in the data; a break lies in the data's range, or near it.
            high: Largest z.
        """
        slopes = [_SIGNED_POWER if self.signed else _LOG_POWER] * (self.falls + bool(self.after))
        breaks = [((low + high) / 2, max((high - low) / 4, 0.1))] if self.after else []
        return slopes + breaks

    def log_value(self, parameters: Array, z: Array) -> Array:
        """``log S``, shape ``(vectors, points)``.

        Args:
            parameters: Shape ``(vectors, size)``.
            z: Shape ``(points,)``.
        """
        before = self._before(parameters)
        if not self.after:
            return -before * z
        after, bend = self._bend(parameters, z)
        return -before * z + (before + after) * bend

    def gradient(self, parameters: Array, z: Array) -> Array:
        """Derivatives of ``log S`` by the parameters, shape ``(size, vectors, points)``."""
        before = self._before(parameters)
        scale = np.ones_like(before) if self.signed else before
        if not self.after:
            return (-scale * z)[None]
        after, bend = self._bend(parameters, z)
        place = parameters[:, -1:]
        parts = [(bend - z) * scale] if self.falls else []
        parts.append(bend * after)
        parts.append(
            (before + after) * (_sigmoid(-place / _WIDTH) - _sigmoid((z - place) / _WIDTH))
        )
        return np.stack(parts)

    def slope(self, parameters: Array, z: Array) -> Array:
        """``d log S / d z``, shape ``(vectors, points)``."""
        before = self._before(parameters)
        if not self.after:
            return np.broadcast_to(-before, (len(parameters), len(z)))
        after = self._after(parameters)
        rise: Array = (before + after) * _sigmoid((z - parameters[:, -1:]) / _WIDTH)
        return rise - before

    def _before(self, parameters: Array) -> Array:
        """The negative of the slope below the break."""
        first = parameters[:, :1]
        if not self.falls:
            return np.zeros_like(first)
        return first if self.signed else np.exp(first)

    def _after(self, parameters: Array) -> Array:
        """The slope above the break."""
        slope: Array = self.after * np.exp(parameters[:, -2:-1])
        return slope

    def _bend(self, parameters: Array, z: Array) -> tuple[Array, Array]:
        """The slope above the break, and how far the bend has come."""
        place = parameters[:, -1:]
        bend: Array = _WIDTH * (
            np.logaddexp(0.0, (z - place) / _WIDTH) - np.logaddexp(0.0, -place / _WIDTH)
        )
        return self._after(parameters), bend


POWER = Shape("power")
SATURATING = Shape("saturating", falls=False, after=-1)
BROKEN = Shape("broken", after=-1)
U_SHAPE = Shape("u-shape", after=1)
SIGNED = Shape("signed", signed=True)


def _sigmoid(values: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * values))
