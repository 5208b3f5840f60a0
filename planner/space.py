"""The configurations that are considered."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import get_args

import numpy as np

from models_registry import MODELS
from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration, Precision, WindowPolicy
from models_registry.devices import CPU_PRECISIONS
from planner.arrays import Mask
from planner.errors import InsufficientDataError, NoFeasibleConfigurationError
from planner.evidence import Evidence
from planner.lattice import Lattice
from planner.question import Setting
from planner.workload import Workload

WINDOWS_S = (6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0)
STRIDES = (1.5, 2.0, 3.0)

_WINDOWS: tuple[tuple[WindowPolicy, float], ...] = (
    *(("chunk", window_s) for window_s in WINDOWS_S),
    ("ladder", max(WINDOWS_S)),
)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
SER_WINDOWS_S = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)


def candidates(
    evidence: Evidence,
    models: Sequence[str] | None = None,
    max_batch_size: int = 1,
    lattice: Lattice | None = None,
    *,
    served: Workload | None = None,
    native: frozenset[Precision] | None = None,
) -> Lattice:
    """The lattice of a task, and what its study has observed besides.

    What was observed is always offered, adapters included. Beyond it the ASR
    lattice holds plain models, since an adapter that nobody trained can't be
    promised, at precisions that were observed and that the device computes in (without a
    device, that any computes in), and at fp16 where a device has it, which rounds finer than
    bf16; the SER lattice fills in between observed windows, exit layers,
    strides, ranks and layers unfrozen.

    Models that can't transcribe the study's language are not offered.

    Nothing that truncates recordings is offered for others than the study's own: how much
    of those it drops is no part of its error.

    Args:
        evidence: Whose task and study to plan for.
        models: Only these models; all when left out.
        max_batch_size: Recordings that may run together.
        lattice: What to offer beside what was observed, instead of the task's own.
        served: Recordings to transcribe; the study's own when left out.
        native: Precisions that the device computes in, where that is known.

    Raises:
        UnknownNameError: A model is not in the registry.
        NoFeasibleConfigurationError: None of the models can do the task, or transcribe the study's
            language.
        InsufficientDataError: One can, and the study knows nothing of it, or of nothing that
            the device and the recordings allow.
    """
    wanted = None if models is None else {MODELS.canonical(name) for name in models}
    observed = list(dict.fromkeys(observation.configuration for observation in evidence.in_study))
    lattice = _offered(evidence, observed, native) if lattice is None else lattice
    lattice = lattice.joined(Lattice.of(observed, evidence.task))
    labels = lattice.labels["model"]
    spoken = [name for name in labels.names if evidence.unspoken(name) is None]
    kept = labels.mask(*spoken)
    if wanted is not None:
        kept &= labels.mask(*wanted)
    if native is not None:
        kept &= lattice.labels["precision"].mask(*native)
    if served is not None:
        kept &= ~misheard(lattice, evidence, served)
    if not kept.any():
        raise _none_left(evidence, sorted(wanted or ()), lattice)
    lattice = lattice if kept.all() else lattice.take(kept)
    if max_batch_size > 1:
        lattice = lattice.batched([size for size in BATCH_SIZES if size <= max_batch_size])
    return lattice


def _none_left(
    evidence: Evidence, wanted: Sequence[str], lattice: Lattice
) -> NoFeasibleConfigurationError | InsufficientDataError:
    task, asked = evidence.task, ", ".join(wanted) or "any model"
    labels = lattice.labels["model"]
    # The smallest first: it is the likeliest to hold the budgets.
    known = sorted(
        (
            name
            for name in (labels.names[code] for code in set(labels.codes.tolist()))
            if evidence.unspoken(name) is None
        ),
        key=lambda name: MODELS.get(name).parameters,
    )
    instead = f"; choose from {', '.join(known)}" if known else ""
    able = [name for name in wanted if task in MODELS.get(name).tasks]
    if wanted and not able:
        return NoFeasibleConfigurationError(
            f"{asked} can't do {task}{instead}", binding="models", models=known
        )
    if able and all(map(evidence.unspoken, able)):
        return NoFeasibleConfigurationError(
            f"study {evidence.study}: {evidence.unspoken(able[0])}",
            binding="language",
            models=known,
        )
    return InsufficientDataError(
        f"study {evidence.study} has no measurement of {asked}{instead}",
        study=evidence.study,
        models=known,
        measure=[{"task": task, "model": name} for name in able],
    )


def refuse_unspoken(evidence: Evidence, configurations: Iterable[Configuration]) -> None:
    """Refuses configurations whose model can't transcribe the study's language.

    Raises:
        NoFeasibleConfigurationError: One can't.
    """
    for configuration in configurations:
        if reason := evidence.unspoken(configuration.model):
            raise NoFeasibleConfigurationError(
                f"study {evidence.study}: {reason}", binding="language", model=configuration.model
            )


def refused(
    configurations: Sequence[Configuration], evidence: Evidence, setting: Setting
) -> dict[str, str]:
    """What no recommendation would be made of, by the field's path: why.

    Args:
        configurations: Those that are named.
        evidence: Whose task and study it is.
        setting: The device and the workload.
    """
    known = None if setting.device is None else evidence.devices.get(setting.device)
    native = None if known is None else known.native
    served = setting.workload or evidence.workload
    lattice = Lattice.of(configurations, evidence.task)
    found = {}
    for place, truncates in enumerate(misheard(lattice, evidence, served)):
        own, at = configurations[place], f"configurations.{place}"
        if reason := evidence.unspoken(own.model):
            found[f"{at}.model"] = f"study {evidence.study}: {reason}"
        if native is not None and own.precision not in native:
            able = ", ".join(p for p in get_args(Precision) if p in native)
            found[f"{at}.precision"] = (
                f"{setting.device} computes in {able}, not in {own.precision}"
            )
        if truncates:
            found[f"{at}.window_policy"] = (
                "what truncate drops of other recordings than the study's is not known: leave the"
                " workload out, or choose chunk"
            )
    return found


def misheard(lattice: Lattice, evidence: Evidence, served: Workload) -> Mask:
    """Rows whose error says nothing of some recordings: they truncate them, not the study's."""
    if evidence.task == "ser" or served.same_recordings(evidence.workload):
        return np.zeros(len(lattice), dtype=bool)
    return lattice.labels["window_policy"].mask("truncate")


def _offered(
    evidence: Evidence, observed: Sequence[Configuration], native: frozenset[Precision] | None
) -> Lattice:
    if evidence.task == "ser":
        return Lattice.of(list(dict.fromkeys(_ser_lattice(observed))), "ser")
    seen = (o.configuration.precision for o in evidence.observations)
    found: dict[Precision, None] = dict.fromkeys(["fp32", *seen])
    able = native or CPU_PRECISIONS
    return asr_lattice(tuple(dict.fromkeys(p for p in (*found, "fp16") if p in able)))


def asr_lattice(precisions: tuple[Precision, ...]) -> Lattice:
    """Every Whisper model, window or ladder, and stride at the stem, the middle and the output."""
    whisper = [n for n in MODELS.names() if isinstance(MODELS.get(n), WhisperArchitecture)]
    reductions = [(1.0, 1.0), *itertools.product(STRIDES, (0.0, 0.5, 1.0))]
    return Lattice.product(whisper, _WINDOWS, reductions, precisions)


def _ser_lattice(observed: Sequence[Configuration]) -> list[Configuration]:
    rows = []
    for model in dict.fromkeys(c.model for c in observed):
        own = [c for c in observed if c.model == model]
        rows += _plain_ser([c for c in own if c.adapter == "none"])
        seen = [c for c in own if c.adapter == "lora"]
        rows += [
            Configuration(
                task="ser",
                model=model,
                window_s=window_s,
                adapter="lora",
                rank=rank,
                unfrozen_layers=top,
            )
            for window_s, rank, top in itertools.product(
                sorted({c.window_s for c in seen}),
                sorted({c.rank for c in seen if c.rank}),
                sorted({c.unfrozen_layers for c in seen}),
            )
        ]
    return rows


def _plain_ser(seen: Sequence[Configuration]) -> list[Configuration]:
    """Windows x exit layers x strides of one model, as far as each was observed."""
    if not seen:
        return []
    windows = {c.window_s for c in seen}
    windows |= {w for w in SER_WINDOWS_S if min(windows) < w < max(windows)}
    exits = [_last_layer(c) for c in seen]
    inside = [
        c for c in seen if c.reduction_layer is not None and c.reduction_layer < _last_layer(c)
    ]
    # At the exit a reduction saves nothing, so it is offered only where it was observed.
    reductions = {(1.0, None), *((c.token_stride, c.reduction_layer) for c in inside)}
    kinds = {(c.readout, c.precision) for c in seen}
    return [
        Configuration(
            task="ser",
            model=seen[0].model,
            window_s=window_s,
            exit_layer=exit_layer,
            token_stride=stride,
            reduction_layer=layer,
            readout=readout,
            precision=precision,
        )
        for window_s, exit_layer, (stride, layer), (readout, precision) in itertools.product(
            sorted(windows),
            range(min(exits), max(exits) + 1),
            sorted(reductions, key=str),
            sorted(kinds),
        )
        if layer is None or layer < exit_layer
    ]


def _last_layer(configuration: Configuration) -> int:
    return configuration.exit_layer or configuration.architecture.encoder_layers
