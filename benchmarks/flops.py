"""FLOPs and RTF of left-out configurations, predicted against counted.

``python -m benchmarks.flops``

Each configuration of the catalogue that recognises speech is left out in turn, on every study it
was measured in, and its FLOPs of a recording are predicted for the study's own recordings. What
was counted is a mean over those few recordings, so the interval that it is held against has the
noise of how many of so few windows are run again beside the stated spread. Configurations of
which no window can be run again and no recording has to be cut have no spread: for them the table
says how far the count is from the closed form, by the tokens that were really decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.tables import markdown
from measurements.catalogue import catalogue
from measurements.records import Measurement
from measurements.studies import evidence_for
from models_registry import Configuration
from models_registry.loading.audio import OVERLAP_S
from planner.cost import utterance_flops
from planner.cost.passes import number_of_passes
from planner.costing import Costs, all_costs
from planner.evidence import Evidence
from planner.lattice import Lattice
from planner.quantiles import normal_quantile
from planner.question import Setting

LEVEL = 0.90


@dataclass(frozen=True)
class LeftOut:
    """One configuration on one study, predicted without its measurements.

    Attributes:
        configuration: The configuration.
        kind: What is unsure of it.
        log_ratio: Log of what was counted over what is predicted.
        stated: Standard deviation of the log that an answer states.
        judged: The same with the noise of the recordings that were counted.
    """

    configuration: Configuration
    kind: str
    log_ratio: float
    stated: float
    judged: float

    @property
    def inside(self) -> bool:
        """Whether the count is inside of the interval at :data:`LEVEL`."""
        return abs(self.log_ratio) <= normal_quantile(0.5 + LEVEL / 2) * self.judged


def without(evidence: Evidence, measurement: Measurement) -> Evidence:
    """The evidence without the counts and timings of a configuration."""
    left = tuple(o for o in evidence.observations if o.configuration != measurement.configuration)
    devices = {
        name: replace(
            known,
            runs=tuple(r for r in known.runs if r.configuration != measurement.configuration),
        )
        for name, known in evidence.devices.items()
    }
    return replace(evidence, observations=left, devices=devices)


def sampling_sd(measurement: Measurement, evidence: Evidence, costs: Costs) -> float:
    """Noise of the log of FLOPs by how many of the counted windows happen to be run again."""
    rate, windows = float(costs.retries.mean[0]), float(measurement.windows or 0)
    if not rate or not windows:
        return 0.0
    c, workload = measurement.configuration, evidence.workload
    none, every = (utterance_flops(c, workload, retries=r).total for r in (0.0, 1.0))
    return float((every - none) / (none + rate * (every - none))) * float(
        np.sqrt(rate * (1 - rate) / windows)
    )


def left_out() -> Iterator[LeftOut]:
    """Every configuration of the catalogue whose FLOPs were counted."""
    known: dict[str, Evidence] = {}
    for measurement in catalogue():
        if measurement.flops_counted is None or measurement.configuration.task != "asr":
            continue
        study = measurement.study
        if study not in known:
            known[study] = evidence_for("asr", study, None)
        evidence = without(known[study], measurement)
        lattice = Lattice.of([measurement.configuration])
        costs = all_costs(lattice, Setting(study=study), evidence, None)
        stated = float(costs.log_sd["gflops_per_utterance"][0])
        predicted = float(costs.centre["gflops_per_utterance"][0]) * 1e9
        kind = "exact"
        if costs.retries.sd[0]:
            kind = "can be run again"
        elif stated:
            kind = "cut alone"
        yield LeftOut(
            measurement.configuration,
            kind,
            float(np.log(measurement.flops_counted / predicted)),
            stated,
            float(np.hypot(stated, sampling_sd(measurement, evidence, costs))),
        )


def more_windows() -> Iterator[float]:
    """Windows beyond the fewest, as a share of those that overlaps could add at most.

    One for each speech and longest piece where overlaps could add more than one.
    """
    seen: set[tuple[str, float]] = set()
    for measurement in catalogue():
        c, durations = measurement.configuration, measurement.dataset.durations_s
        key = measurement.study, c.speech_s
        if not measurement.windows or not durations or c.window_policy != "chunk" or key in seen:
            continue
        seen.add(key)
        step_s = c.speech_s - min(OVERLAP_S, c.speech_s / 4)
        longer = np.maximum(np.array(durations) - c.speech_s, 0)
        most = float((1 + number_of_passes(longer, step_s)).sum())
        fewest = float(number_of_passes(durations, c.speech_s).sum())
        if most > fewest + 1:
            yield (measurement.windows - fewest) / (most - fewest)


def row_of(name: str, found: list[LeftOut]) -> dict[str, str]:
    """One line of the table."""
    reach = normal_quantile(0.5 + LEVEL / 2)
    stated, judged = (
        np.median(sds) for sds in zip(*((o.stated, o.judged) for o in found), strict=True)
    )
    ratios = np.exp([one.log_ratio for one in found])
    spread = any(one.stated for one in found)
    return {
        "configurations": name,
        "predicted": str(len(found)),
        "counted over predicted, median": f"{np.median(ratios):.3f}",
        "range": f"{ratios.min():.2f} to {ratios.max():.2f}",
        "inside 90 % interval": (
            f"{np.mean([one.inside for one in found]):.0%}" if spread else "no interval"
        ),
        "stated half width, median": f"{np.expm1(reach * stated):.1%}",
        "judged half width, median": f"{np.expm1(reach * judged):.1%}",
    }


def main() -> None:
    """Prints the table."""
    found = list(left_out())
    kinds = dict.fromkeys(one.kind for one in found)
    print(markdown([row_of(k, [one for one in found if one.kind == k]) for k in sorted(kinds)]))
    print(f"\n{len({one.configuration for one in found})} configurations")
    more = list(more_windows())
    shares = ", ".join(f"{one:.2f}" for one in more)
    print(
        "windows beyond the fewest, as a share of those that overlaps could add:"
        f" {shares}; mean {np.mean(more):.2f}, standard deviation {np.std(more, ddof=1):.2f}"
    )


if __name__ == "__main__":
    main()
