"""What a number format changes on a device that was not timed in it.

Data sheets promise that halved weights take half the time; kernels that unpack them may take
twice as long. So what a format changes is learned from devices of the same kind that were
timed in it and in fp32, one run beside its twin. Where there are none, it is taken to gain
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from models_registry.configuration import Configuration, Precision
from planner.cost.memory import BYTES_PER_WEIGHT
from planner.curves.solver import Prior
from planner.device.evidence import DeviceEvidence, TimedRun
from planner.device.work import KINDS, PHASES

UNKNOWN_SD = 0.75
"""Spread in log time of a format that no device of the kind was timed in: 90 % are between
3.4 times as fast as fp32 and 3.4 times as slow."""

ELSEWHERE_SD = 0.5
"""The same beside what one device's twins spread by: another device has other kernels."""

_ACCELERATES: Mapping[Precision, frozenset[str]] = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "fp16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
    "int8": frozenset({"avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"}),
}
"""Instruction sets that compute in a format; without any of them it is emulated, and slow."""

_LEAST_TWINS = 5

_Twin = tuple[Configuration, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class Offset:
    """Seconds of a format relative to those of fp32 on the same device.

    Attributes:
        log_ratio: Log of it by phase; 0 where a phase is left out.
        sd: Spread of the log of all phases together, on devices not timed in it.
        source: What it rests on, in words.
    """

    log_ratio: Mapping[str, float] = field(default_factory=dict)
    sd: float = UNKNOWN_SD
    source: str = "taken to gain nothing over fp32: no device of its kind was timed in both"

    def since(self, other: Offset) -> Offset:
        """The same relative to another format."""
        ratios = {p: self.log_ratio.get(p, 0.0) - other.log_ratio.get(p, 0.0) for p in PHASES}
        return Offset(ratios, float(np.hypot(self.sd, other.sd)), self.source)


NONE = Offset({}, 0.0, "fp32")


def learn(device: str, devices: Mapping[str, DeviceEvidence]) -> dict[Precision, Offset]:
    """What formats change on the other devices of a device's kind.

    Args:
        device: Its own runs are left out.
        devices: What is known of each, by id.
    """
    asked = devices[device]
    timed = {run.configuration.precision for run in asked.runs}
    if asked.native is not None and asked.native <= timed:
        return {}
    kind = asked.kind
    others = {
        name: known
        for name, known in devices.items()
        if name != device and kind is not None and known.kind == kind and known.runs
    }
    seconds = {name: _seconds(known.runs) for name, known in others.items()}
    found: dict[Precision, Offset] = {}
    for precision in BYTES_PER_WEIGHT:
        twins = {
            name: list(_twins(own, precision))
            for name, own in seconds.items()
            if _computes_alike(precision, asked, others[name])
        }
        enough = {name: own for name, own in twins.items() if len(own) >= _LEAST_TWINS}
        if precision != "fp32" and enough:
            found[precision] = _offset(precision, enough)
    return found


def moved(
    priors: Mapping[str, Prior], precision: Precision, by: Offset, of: Precision
) -> dict[str, Prior]:
    """Priors of a format from those of another.

    Args:
        priors: By phase.
        precision: The format.
        by: Its offset from the other.
        of: The other; weights are as many bytes as the formats make them.
    """
    fewer = np.log(BYTES_PER_WEIGHT[of] / BYTES_PER_WEIGHT[precision])
    return {
        phase: Prior(
            prior.mean
            + by.log_ratio.get(phase, 0.0)
            + fewer * np.array([kind == "weight byte" for kind in KINDS[phase]]),
            prior.sd,
        )
        for phase, prior in priors.items()
    }


def _computes_alike(precision: Precision, one: DeviceEvidence, other: DeviceEvidence) -> bool:
    """Whether both processors have instructions for a format, or neither; True if unknown."""
    if not one.instruction_sets or not other.instruction_sets:
        return True
    able = _ACCELERATES.get(precision, frozenset())
    return bool(able & one.instruction_sets) == bool(able & other.instruction_sets)


def _seconds(runs: Iterable[TimedRun]) -> dict[Precision, dict[_Twin, dict[str, float]]]:
    """Median seconds by phase, by format and by what else ran."""
    repeats: dict[tuple[Configuration, object], list[TimedRun]] = {}
    for run in runs:
        repeats.setdefault((run.configuration, run.passes), []).append(run)
    found: dict[Precision, dict[_Twin, dict[str, float]]] = {}
    for same in repeats.values():
        c = same[0].configuration
        twin = c.model_copy(update={"precision": "fp32"}), same[0].passes
        found.setdefault(c.precision, {})[twin] = {
            phase: float(np.median([run.phases_s[phase] for run in same]))
            for phase in same[0].phases_s
            if all(run.phases_s.get(phase, 0.0) > 0 for run in same)
        }
    return found


def _twins(
    seconds: Mapping[Precision, Mapping[_Twin, Mapping[str, float]]], precision: Precision
) -> Iterator[tuple[Mapping[str, float], Mapping[str, float]]]:
    """Seconds in a format beside those in fp32 of the same."""
    plain = seconds.get("fp32", {})
    for twin, own in seconds.get(precision, {}).items():
        if twin in plain and own.keys() == plain[twin].keys():
            yield own, plain[twin]


def _offset(
    precision: Precision,
    twins: Mapping[str, list[tuple[Mapping[str, float], Mapping[str, float]]]],
) -> Offset:
    ratios, spreads, totals = [], [], []
    for pairs in twins.values():
        by_phase = {
            phase: [np.log(own[phase] / plain[phase]) for own, plain in pairs if phase in own]
            for phase in PHASES
        }
        ratios.append({p: float(np.median(logs)) for p, logs in by_phase.items() if logs})
        total = [np.log(sum(own.values()) / sum(plain.values())) for own, plain in pairs]
        spreads.append(float(np.std(total)))
        totals.append(float(np.median(total)))
    means = {
        phase: float(np.mean([own[phase] for own in ratios if phase in own]))
        for phase in PHASES
        if any(phase in own for own in ratios)
    }
    within = float(np.mean(np.square(spreads)))
    between = max(float(np.std(totals)), ELSEWHERE_SD)
    count = sum(map(len, twins.values()))
    return Offset(
        means,
        float(np.sqrt(within + between**2)),
        f"by {count} configurations timed in {precision} and fp32 on {', '.join(twins)}",
    )
