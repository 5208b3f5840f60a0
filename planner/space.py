"""The configurations that are considered."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache

from models_registry import MODELS
from models_registry.architectures import WhisperArchitecture
from models_registry.configuration import Configuration, Precision
from planner.evidence import Evidence

WINDOWS_S = (6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0)
STRIDES = (1.5, 2.0, 3.0)


def candidates(
    evidence: Evidence, models: Sequence[str] | None = None
) -> tuple[Configuration, ...]:
    """The lattice of a task, and what its study has observed besides.

    What was observed is always offered, adapters included. Beyond it the ASR
    lattice holds plain models, since an adapter that nobody trained can't be
    promised, at precisions that were observed; the SER lattice fills in between
    observed windows, ranks and layers.

    Args:
        evidence: Whose task and study to plan for.
        models: Only these models; all when left out.

    Raises:
        UnknownNameError: A model is not in the registry.
    """
    precisions = dict.fromkeys(
        ["fp32", *(o.configuration.precision for o in evidence.observations)]
    )
    wanted = None if models is None else {MODELS.canonical(name) for name in models}
    observed = [observation.configuration for observation in evidence.in_study]
    lattice: Iterable[Configuration]
    if evidence.task == "asr":
        lattice = _asr_lattice(tuple(MODELS.names()), tuple(precisions))
    else:
        lattice = _ser_lattice(observed)
    unique = dict.fromkeys(itertools.chain(lattice, observed))
    return tuple(c for c in unique if wanted is None or c.model in wanted)


@lru_cache(maxsize=2)
def _asr_lattice(
    models: tuple[str, ...], precisions: tuple[Precision, ...]
) -> tuple[Configuration, ...]:
    """Every Whisper model, window, and stride at the stem, the middle and the output."""
    rows = []
    for name in models:
        architecture = MODELS.get(name)
        if not isinstance(architecture, WhisperArchitecture):
            continue
        layers = architecture.encoder_layers
        reductions = [(1.0, None), *itertools.product(STRIDES, (0, layers // 2, layers))]
        rows += [
            Configuration(
                model=name,
                window_s=window_s,
                token_stride=stride,
                reduction_layer=layer,
                precision=precision,
            )
            for precision, window_s, (stride, layer) in itertools.product(
                precisions, WINDOWS_S, reductions
            )
        ]
    return tuple(rows)


def _ser_lattice(observed: Sequence[Configuration]) -> list[Configuration]:
    rows = []
    for model in dict.fromkeys(c.model for c in observed):
        seen = [c for c in observed if c.model == model and c.adapter == "lora"]
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
