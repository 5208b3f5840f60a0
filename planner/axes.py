"""What curves are drawn over: numbers that move the error, labels that shift it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from models_registry import MODELS
from models_registry.architectures import FRAMES_PER_SECOND, WhisperArchitecture
from models_registry.configuration import Task
from planner.arrays import Array, Index, Labels, distinct
from planner.lattice import Lattice

FULL_WINDOW_S = 30.0
CORPUS_SD = {"asr": 0.4, "ser": 0.5}
STUDY_SD = {"asr": 0.3, "ser": 0.5}
SPEECH_SD = 0.5
LANGUAGES_SD = 0.15
MODEL_SD = {"asr": 0.15, "ser": 0.25}
PRECISION_SD = 0.1
WINDOWING_SD = 0.1
ADAPTER_SD = 0.2
ADAPTED_SD = 0.15
DEPTH_SD = 0.3
READOUT_SD = 0.1
"""Spread of offsets in log error: a corpus can be twice as hard as another, and a sample of its
speakers half as hard again as all of them. What a model does on speech that is not read English
may be anything; models of English alone differ from multilingual ones by a seventh. A model
strays from its size's curve by a seventh, a precision or a ladder of windows costs
about a tenth, an adapter moves a fifth, and one model by a seventh more than another. Emotions: of
the catalogue's corpora one has three times the errors of another, encoders differ by a fifth to a
half on the same one, and some layer of an encoder is a third better than another."""

MISFIT_SHARES: Mapping[Task, Mapping[str, tuple[float, float, float]]] = {
    "asr": {
        "model": (0.0, 0.1, 0.35),
        "kind": (0.0, 0.08, 0.17),
        "configuration": (0.15, 0.0, 0.15),
    },
    "ser": {
        "model": (0.0, 0.0, 0.05),
        "kind": (0.0, 0.12, 0.13),
        "configuration": (0.0, 0.45, 0.25),
    },
}
"""Shares of the variance of what curves miss: of a model, a kind (:func:`kinds_of`) and a
configuration, each common to all speech, to a corpus, and of a study's speech alone. Rounded from
maximum likelihood on the built-in measurements, each study's speakers in two halves at random, with
four seeds: ``python -m benchmarks.components``."""

STUDY_EFFECT_SD = 0.2
"""Standard deviation of what all rows of a study differ by from curves that were fitted with its
offset: wide beside the noise of few rows, so that refits which miss them all by as much are
corrected."""

SLOPE_SDS: Mapping[Task, tuple[float, float]] = {"asr": (0.1, 0.2), "ser": (0.3, 0.1)}
"""Standard deviations of a corpus' and of a study's slope, by the same command: where speech is
harder, log errors of two configurations lie closer together, or further apart."""


def axes_of(lattice: Lattice) -> dict[str, Array]:
    """The axes of the curves, each so that more of it means less error.

    ASR: parameters (xN); ``heard_s``, the audio that is not cut off by the
    truncating policy of arXiv 2606.22790 (its xT); ``window_s`` really run
    otherwise; and the encoder tokens per second of audio (xV), an axis for each
    place where they are reduced: at the stem, inside, or at the output.
    SER: window, encoder tokens per second behind a reduction at the stem or inside,
    LoRA rank and layers unfrozen (one more than their number).
    """
    numbers, last = lattice.numbers, lattice.last_layer
    full = float(FRAMES_PER_SECOND)
    tokens, where = full / numbers["token_stride"], numbers["reduction_layer"]
    stem = np.where(where == 0, tokens, full)
    inside = np.where((where > 0) & (where < last), tokens, full)
    window_s = numbers["window_s"]
    if lattice.task == "ser":
        return {
            "window_s": window_s,
            "tokens_per_s_stem": stem,
            "tokens_per_s_inside": inside,
            "rank": np.nan_to_num(numbers["rank"], nan=1.0),
            "unfrozen_layers_plus_1": 1.0 + numbers["unfrozen_layers"],
        }
    truncates = lattice.labels["window_policy"].mask("truncate")
    return {
        "parameters": lattice.parameters,
        "heard_s": np.where(truncates, window_s, FULL_WINDOW_S),
        "window_s": np.where(truncates, FULL_WINDOW_S, window_s),
        "tokens_per_s_stem": stem,
        "tokens_per_s_inside": inside,
        "tokens_per_s_output": np.where(where == last, tokens, full),
    }


def speech_axes(task: Task, training_clips: Array) -> dict[str, Array]:
    """Axes along which speech differs, not configurations.

    Emotions: clips that a head was trained on. Of few the errors of all configurations grow by
    about the same, so that those of good ones are multiplied.
    """
    return {"training_clips": training_clips} if task == "ser" else {}


def group_sd(task: Task) -> dict[str, float]:
    """Spread of the offsets in log error: of studies, and by factor of :func:`groups_of`."""
    return {
        "corpus": CORPUS_SD[task],
        "study": STUDY_SD[task],
        "speech": SPEECH_SD,
        "languages": LANGUAGES_SD,
        "model": MODEL_SD[task],
        "precision": PRECISION_SD,
        "windowing": WINDOWING_SD,
        "adapter": ADAPTER_SD,
        "adapted": ADAPTED_SD,
        "depth": DEPTH_SD,
        "readout": READOUT_SD,
    }


def groups_of(lattice: Lattice) -> dict[str, Labels]:
    """Labels that share an offset, by factor.

    Emotions are read best off a middle layer, so layers are labels and not an axis.
    """
    labels = lattice.labels
    groups = {"model": labels["model"], "precision": labels["precision"]}
    if lattice.task == "asr":
        english = [_english_only(name) for name in labels["model"].names]
        groups["languages"] = _named(
            [np.array(english, dtype=np.int64)[labels["model"].codes]],
            lambda alone: "English only" if alone else "multilingual",
        )
        ladder = labels["window_policy"].mask("ladder")
        silence = np.where(ladder, lattice.silence_s, -1.0)
        groups["windowing"] = _named(
            [silence], lambda s: f"ladder, tail {s:g} s" if s >= 0 else "one window"
        )
        kinds, recipes = labels["adapter"], labels["recipe"]
        groups["adapter"] = _named(
            [kinds.codes, recipes.codes],
            lambda kind, recipe: f"{kinds.names[int(kind)]} {recipes.names[int(recipe)]}",
        )
        # What training does to one model is not what it does to the next.
        models, plain = labels["model"], kinds.mask("none")
        groups["adapted"] = _named(
            [np.where(plain, -1, models.codes)],
            lambda model: f"{models.names[int(model)]} adapted" if model >= 0 else "",
        )
    else:
        models = labels["model"]
        groups["depth"] = _named(
            [models.codes, lattice.last_layer],
            lambda model, layer: f"{models.names[int(model)]} layer {layer:g}",
        )
        groups["readout"] = labels["readout"]
    return groups


def kinds_of(lattice: Lattice) -> Labels:
    """Labels of configurations that differ in numbers along the axes alone.

    A reduction of tokens at the stem, inside the encoder and at its output are of different kinds.
    """
    numbers, last = lattice.numbers, lattice.last_layer
    layer = numbers["reduction_layer"]
    place = np.where(layer == 0, 1, np.where(layer < last, 2, 3))
    place = np.where(numbers["token_stride"] > 1, place, 0)
    policies = lattice.labels["window_policy"]
    groups = groups_of(lattice)
    names = [groups[name].names for name in groups]

    def name(*codes: float) -> str:
        own = [known[int(code)] for known, code in zip(names, codes, strict=False)]
        return " | ".join([*own, policies.names[int(codes[-2])], _PLACES[int(codes[-1])]])

    return _named([*(labels.codes for labels in groups.values()), policies.codes, place], name)


_PLACES = ("all tokens", "reduced at the stem", "reduced inside", "reduced at the output")


def _english_only(model: str) -> bool:
    architecture = MODELS.get(model)
    return isinstance(architecture, WhisperArchitecture) and (
        architecture.english_only or not architecture.multilingual
    )


def _named(columns: Sequence[Array | Index], name: Callable[..., str]) -> Labels:
    """A label for each distinct combination of numbers."""
    first, place = distinct(columns)
    rows = zip(*(column[first].tolist() for column in columns), strict=True)
    return Labels(place, tuple(name(*row) for row in rows))
