"""Measured rows as they are, and drawn towards the curve: how far off, and the winner's curse.

``python -m benchmarks.shrinkage [--worlds 60]``

Simulated studies of 15 configurations, three models in five windows, whose true errors stray from a
power law by the effects that the planner believes in: of the model, and of each configuration.
Each is measured with noise of its own. "Before" answers with what was measured; "after" is the
planner. Of the configuration that each chooses as the best, the signed error is the true log error
less the expected one: above zero, what was chosen is worse than was promised.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.tables import markdown
from models_registry import Configuration
from planner.arrays import Array, Mask
from planner.curves import ScalingModel
from planner.curves.stored import Fits
from planner.evidence import Evidence, Observation
from planner.recommend import Planner

MODELS = ("tiny.en", "base.en", "small.en")
WINDOWS_S = (8.0, 12.0, 16.0, 20.0, 30.0)
MODEL_SD, OWN_SD = 0.03, 0.03
NOISES = (0.02, 0.08, 0.2)
LEVEL = 0.90


class _SameForm(Fits):
    """Keeps the form of the first fit: worlds differ in their numbers alone."""

    first: ScalingModel | None = None

    def alike(self, axes: Sequence[str], factors: Sequence[str]) -> ScalingModel | None:
        return self.first

    def save(self, key: str, model: ScalingModel) -> None:
        self.first = self.first or model


def worlds(noise: float, count: int) -> Iterator[tuple[Array, Mask, Array]]:
    """Signed log errors of all rows before and after, and what the choices are off by."""
    configurations = [Configuration(model=m, window_s=w) for m in MODELS for w in WINDOWS_S]
    size = np.log([c.architecture.parameters for c in configurations])
    window = np.log([c.window_s for c in configurations])
    fits = _SameForm()
    for world in range(count):
        rng = np.random.default_rng((8, world))
        truth = -2.3 - 0.4 * (size - size.mean()) - 0.1 * (window - window.mean())
        truth += np.repeat(rng.normal(0, MODEL_SD, len(MODELS)), len(WINDOWS_S))
        truth += rng.normal(0, OWN_SD, len(truth))
        measured = truth + rng.normal(0, noise, len(truth))
        observations = tuple(
            Observation(
                key=f"{world}-{row}",
                study="asr-simulated",
                configuration=c,
                error=float(np.exp(measured[row])),
                error_se=float(noise * np.exp(measured[row])),
                paired_se=float(noise * np.exp(measured[row])),
                source="measured",
                provenance="simulated",
            )
            for row, c in enumerate(configurations)
        )
        planner = Planner(Evidence("asr", "asr-simulated", observations), fits=fits)
        found = [one["wer"] for one in planner.predict(configurations, LEVEL)]
        expected = np.log([one.mean for one in found])
        inside = np.array(
            [one.lower <= np.exp(t) <= one.upper for one, t in zip(found, truth, strict=True)]
        )
        chosen = int(measured.argmin()), int(expected.argmin())
        off = np.array(
            [truth[chosen[0]] - measured[chosen[0]], truth[chosen[1]] - expected[chosen[1]]]
        )
        yield np.stack([truth - measured, truth - expected]), inside, off


def row(noise: float, count: int) -> dict[str, str]:
    """A row of the table."""
    errors, inside, off = (np.array(part) for part in zip(*worlds(noise, count), strict=True))
    rms = np.sqrt(np.square(errors).mean(axis=(0, 2)))
    curse, se = off.mean(axis=0), off.std(axis=0, ddof=1) / np.sqrt(count)
    return {
        "noise of a measured row (log)": f"{noise:g}",
        "error (RMS, log), before": f"{rms[0]:.3f}",
        "error (RMS, log), after": f"{rms[1]:.3f}",
        "90 % interval holds, after": f"{inside.mean():.0%}",
        "chosen: signed error, before": f"{curse[0]:+.3f} (se {se[0]:.3f})",
        "chosen: signed error, after": f"{curse[1]:+.3f} (se {se[1]:.3f})",
    }


def main(arguments: list[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--worlds", type=int, default=60)
    options = parser.parse_args(arguments)
    sys.stdout.write(markdown([row(noise, options.worlds) for noise in NOISES]) + "\n")


if __name__ == "__main__":
    main()
