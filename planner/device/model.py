"""How long a configuration takes on a device, and what it draws.

Each phase takes ``sum over its kinds of work of amount / (utilisation * rate)``: the
roofline of the device, and how much of it is reached. Utilisations are fitted to timed
runs of that device, by precision; priors around a typical device hold where it was timed
little or not at all, and widen the answer accordingly. Its memory is in
:mod:`planner.device.memory`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models_registry.configuration import Configuration, Precision
from planner.arrays import Array
from planner.cost.memory import BYTES_PER_WEIGHT
from planner.curves.solver import Prior
from planner.device.evidence import DeviceEvidence, DeviceRates, Doubt, TimedRun
from planner.device.fit import MIN_MISFIT_SD, Units, fit_units
from planner.device.held_out import shape_of, stretch
from planner.device.memory import fit_own
from planner.device.precisions import NONE, Offset, learn, moved
from planner.device.work import PHASES, Work, run_work, stacked
from planner.threads import on_one_thread

UNMEASURED_SD = 0.25
"""Spread in log time that a device never timed adds to its priors."""

_ALIKE = 0.1
"""Log seconds beyond those of the recordings timed up to which a time is still measured."""

_UNSEEN_STRETCH = 2.0
"""Of models of another shape, where too few shapes were timed to tell."""

_DRAWN, _DRAWN_SD = 0.7, 0.25
"""Share of its stated power that a busy device draws, and the spread of its log."""


@dataclass(frozen=True)
class PrecisionFit:
    """What a device takes at one precision.

    Attributes:
        units: By phase, in seconds.
        runs: Timed runs that they were fitted to.
        shapes: Width and depth of the models among them.
        stretch: Factor on the spread, from runs left out of the fit.
        stretch_of_others: The same for models of another shape.
        untimed_sd: Spread in log time of what was never timed.
        source: What stands for runs of its own, in words; empty where there are some.
    """

    units: Mapping[str, Units]
    runs: int
    shapes: frozenset[tuple[int, int]] = frozenset()
    stretch: float = 1.0
    stretch_of_others: float = 1.0
    untimed_sd: float = 0.0
    source: str = ""

    def log_seconds(self, amounts: Work) -> tuple[Array, Array]:
        """Mean and standard deviation of log seconds, each of shape ``(rows,)``, unstretched."""
        seconds = {phase: self.units[phase].total(amounts[phase]) for phase in PHASES}
        total = np.sum(list(seconds.values()), axis=0)
        variance = np.full(len(total), self.untimed_sd**2)
        for phase, own in seconds.items():
            variance += np.square(own / total) * self.units[phase].variance(amounts[phase])
        return np.log(total), np.sqrt(variance)


@dataclass(frozen=True)
class Timed:
    """What a configuration took when it was timed.

    Attributes:
        log_ratio: Mean log of measured over fitted seconds.
        sd: Its standard error.
        shortest: Log of the fitted seconds of the shortest recording that was timed.
        longest: Of the longest.
    """

    log_ratio: float
    sd: float
    shortest: float
    longest: float

    def like(self, log_s: float) -> bool:
        """Whether a recording of such fitted log seconds is about one that was timed."""
        return self.shortest - _ALIKE <= log_s <= self.longest + _ALIKE


@dataclass(frozen=True)
class DeviceModel:
    """Seconds, bytes and watts of a device for any work.

    Attributes:
        device: Its id.
        fits: By precision: kernels differ, so utilisations do.
        timed: Configurations that were timed.
        memory: What a byte of the closed form takes, and beside it the first run.
        peaks: Measured peaks that they were fitted to.
        power_w: Watts while it runs and the spread of their log, where known.
        runs: Timed runs that it was fitted to.
        source: What its times rest on, in words.
        power_source: What its power rests on.
        memory_bytes: Memory that it has, where that is known.
        kind: ``cpu`` or ``cuda``.
        doubt: Why its times may not hold on the machine that they are used for.
    """

    device: str
    fits: Mapping[Precision, PrecisionFit]
    timed: Mapping[Configuration, Timed]
    memory: Units
    peaks: int
    power_w: tuple[float, float] | None
    runs: int
    source: str
    power_source: str
    memory_bytes: float | None = None
    kind: str = "cpu"
    doubt: Doubt | None = None

    def log_seconds(self, amounts: Work, configuration: Configuration) -> tuple[Array, Array]:
        """Mean and standard deviation of log seconds, each of shape ``(rows,)``.

        Args:
            amounts: Of any configurations of one model and precision.
            configuration: One of them.
        """
        fitted = self.fits[configuration.precision]
        log_s, sd = fitted.log_seconds(amounts)
        known = shape_of(configuration) in fitted.shapes
        sd = sd * (fitted.stretch if known else fitted.stretch_of_others)
        return log_s, sd if self.doubt is None else np.hypot(sd, self.doubt.log_sd)

    def source_of(self, precision: Precision) -> str:
        """What its times at a precision rest on."""
        own = self.fits[precision].source
        source = f"{self.source}; {precision} {own}" if own else self.source
        return source if self.doubt is None else f"{source}; {self.doubt.reason}"

    def covers(self, configuration: Configuration) -> bool:
        """Whether models as wide and as deep were timed at its precision, on this machine."""
        if self.doubt is not None:
            return False
        timed = self.fits[configuration.precision].shapes
        sizes = zip(shape_of(configuration), zip(*timed, strict=True), strict=False)
        return bool(timed) and all(min(known) <= own <= max(known) for own, known in sizes)

    def phase_seconds(self, amounts: Work, precision: Precision) -> dict[str, Array]:
        """Median seconds by phase, each of shape ``(rows,)``."""
        units = self.fits[precision].units
        return {phase: units[phase].total(amounts[phase]) for phase in PHASES}


def model_of(device: str, devices: Mapping[str, DeviceEvidence], *, seed: int = 0) -> DeviceModel:
    """Fits a device, with what precisions change on the others where it was not timed in them.

    Args:
        device: Id of the device.
        devices: What is known of it and of others, by id.
        seed: Seed of the bagged refits.
    """
    return fit_device(device, devices[device], seed=seed, offsets=learn(device, devices))


@on_one_thread
def fit_device(
    device: str,
    known: DeviceEvidence,
    *,
    seed: int = 0,
    offsets: Mapping[Precision, Offset] | None = None,
) -> DeviceModel:
    """Fits a device's utilisations to its timed runs.

    Args:
        device: Id of the device.
        known: Its rates, its runs, its peaks.
        seed: Seed of the bagged refits.
        offsets: What precisions that it was not timed in change on other devices.
    """
    runs = known.runs
    by_precision = {
        precision: [run for run in runs if run.configuration.precision == precision]
        for precision in BYTES_PER_WEIGHT
    }
    fits: dict[Precision, PrecisionFit] = {}
    timed: dict[Configuration, Timed] = {}
    priors = _priors(known.rates)
    # What was timed most goes first: the others begin at its units.
    order = sorted(by_precision.items(), key=lambda item: -len(item[1]))
    begin: Precision = "fp32"
    for precision, chosen in order:
        if not chosen:
            fits[precision] = _untimed(precision, priors, begin, offsets or {})
            continue
        works = [run_work(run) for run in chosen]
        amounts = stacked(works)
        rng = np.random.default_rng(seed)
        units = {}
        for phase in PHASES:
            ran = [place for place, run in enumerate(chosen) if phase in run.phases_s]
            seconds = np.array([max(chosen[place].phases_s[phase], 1e-7) for place in ran])
            slowdown = np.array([chosen[place].slowdown_log_sd for place in ran])
            units[phase] = fit_units(amounts[phase][ran], seconds, priors[phase], rng, slowdown)
        fits[precision] = _stretched(PrecisionFit(units, len(chosen)), chosen, amounts, priors)
        timed |= _timed(fits[precision], chosen, amounts)
        priors = {phase: Prior(units[phase].log, priors[phase].sd) for phase in PHASES}
        begin = precision
    stated = known.rates.power_w
    power, power_source = None, "no power is known"
    if known.power_w:
        logs = np.log(known.power_w)
        power = float(np.exp(np.median(logs))), max(float(np.std(logs)), MIN_MISFIT_SD)
        power_source = f"{len(logs)} configurations' energy, counted by the device"
    elif stated is not None:
        power = _DRAWN * stated, _DRAWN_SD
        power_source = f"{_DRAWN:.0%} of the {stated:g} W of {known.rates.source}"
    return DeviceModel(
        device=device,
        fits=fits,
        timed=timed,
        memory=fit_own(known.memory, known.kind or "cpu", seed),
        peaks=len(known.memory),
        power_w=power,
        runs=len(runs),
        source=f"{len(runs)} timed runs on {device}"
        if runs
        else f"{known.rates.source}, never timed",
        power_source=power_source,
        memory_bytes=known.memory_bytes,
        kind=known.kind or "cpu",
        doubt=known.doubt,
    )


def _untimed(
    precision: Precision,
    priors: Mapping[str, Prior],
    begin: Precision,
    offsets: Mapping[Precision, Offset],
) -> PrecisionFit:
    """A precision without runs, from the priors of one that they begin at."""
    own, other = (NONE if p == "fp32" else offsets.get(p, Offset()) for p in (precision, begin))
    by = NONE if precision == begin else own.since(other)
    here = moved(priors, precision, by, begin)
    units = {p: Units(prior.mean, np.diag(np.square(prior.sd)), 0.0) for p, prior in here.items()}
    spread = float(np.hypot(UNMEASURED_SD, by.sd))
    return PrecisionFit(units, 0, untimed_sd=spread, source="" if by is NONE else by.source)


def _stretched(
    fit: PrecisionFit, runs: Sequence[TimedRun], amounts: Work, priors: Mapping[str, Prior]
) -> PrecisionFit:
    """The fit, its spreads as wide as what was left out of it asks for."""
    _, sd = fit.log_seconds(amounts)
    shapes = [shape_of(run.configuration) for run in runs]
    own, others = (
        stretch(amounts, runs, fit.units, priors, sd, groups)
        for groups in ([run.configuration for run in runs], shapes)
    )
    return replace(
        fit,
        shapes=frozenset(shapes),
        stretch=own or 1.0,
        stretch_of_others=max(others or _UNSEEN_STRETCH, own or 1.0),
    )


def _priors(rates: DeviceRates) -> dict[str, Prior]:
    """A typical device: 0.7 of its arithmetic and memory rates is reached.

    Spreads are a factor of 1.6 to 2.7 at one standard deviation. A step of the decoder
    waits for its weights, and its arithmetic counts only where many run together.
    """
    flop, byte = 1 / (0.7 * rates.flops_per_s), 1 / (0.7 * rates.bytes_per_s)
    layer, frame = rates.layer_s, 8e-6

    def prior(*units: tuple[float, float]) -> Prior:
        return Prior(np.log([unit for unit, _ in units]), np.array([sd for _, sd in units]))

    return {
        "features": prior((frame, 1.0)),
        "encoder": prior((layer, 0.8), (flop, 0.5)),
        "prefill": prior((layer, 0.8), (flop, 0.5)),
        "decode": prior((layer, 0.8), (byte, 0.7), (byte, 1.0), (flop, 0.7)),
    }


def _timed(
    fit: PrecisionFit, runs: Sequence[TimedRun], amounts: Work
) -> dict[Configuration, Timed]:
    """Of each configuration that was timed on a quiet device, how far the fit is off."""
    fitted = np.sum([fit.units[phase].total(amounts[phase]) for phase in PHASES], axis=0)
    measured = np.array([sum(run.phases_s.values()) for run in runs])
    places: dict[Configuration, list[int]] = {}
    for place, run in enumerate(runs):
        if not run.slowdown_log_sd:
            places.setdefault(run.configuration, []).append(place)
    found = {}
    for configuration, rows in places.items():
        ratios = np.log(measured[rows] / fitted[rows])
        alone = np.log(fitted[rows] / configuration.batch_size)
        found[configuration] = Timed(
            log_ratio=float(np.mean(ratios)),
            # One standard error of the mean, and never less than what repeats spread by.
            sd=max(float(np.std(ratios)) / len(ratios) ** 0.5, MIN_MISFIT_SD),
            shortest=float(alone.min()),
            longest=float(alone.max()),
        )
    return found
