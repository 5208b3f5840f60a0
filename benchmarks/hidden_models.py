"""Models hidden in turn from the published tables: is what is chosen as good as was promised?

``python -m benchmarks.hidden_models``

A planner that chooses the best of many predictions tends to choose one that was predicted too well
(the winner's curse), a model that nothing is known of most of all. Each model is hidden with
all of its rows, the project's own included. A planner that knows the rest is asked for the best
plain configuration within the GFLOPs of each model of the table; of what it chooses, and of the
hidden model itself, the published error is compared with the expected one. The signed error is
that of the logarithm, published less expected: above zero, promises were too good. Its standard
error is over the hidden models.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.tables import markdown
from measurements.fits import FITS
from measurements.studies import evidence_for
from models_registry import MODELS, Configuration, WhisperArchitecture
from planner.evidence import Observation
from planner.lattice import Lattice
from planner.question import Budget, Question
from planner.recommend import Planner

STUDIES = (
    "asr-librispeech-test-clean",
    "asr-librispeech-test-other",
    "asr-librispeech-test-other-lora32",
)


@dataclass(frozen=True)
class Hidden:
    """What a planner says that does not know a model.

    Attributes:
        model: The model.
        study: Whose table.
        choices: Signed log errors of the choices.
        model_chosen: Those of the choices that are the hidden model.
        itself: Signed log errors of the hidden model's rows.
        inside: Whether their 90 % intervals hold what was published.
    """

    model: str
    study: str
    choices: tuple[float, ...]
    model_chosen: tuple[float, ...]
    itself: tuple[float, ...]
    inside: tuple[bool, ...]


def multilingual(model: str) -> bool:
    """Whether a model transcribes more than English."""
    architecture = MODELS.get(model)
    return isinstance(architecture, WhisperArchitecture) and not (
        architecture.english_only or not architecture.multilingual
    )


def hidden(study: str) -> Iterator[Hidden]:
    """Each multilingual model of a published table, hidden in turn."""
    evidence = evidence_for("asr", study, None)
    table = {o.configuration: o for o in evidence.in_study}
    for model in sorted({c.model for c in table if multilingual(c.model)}):
        rest = tuple(o for o in evidence.observations if o.configuration.model != model)
        planner = Planner(
            replace(evidence, observations=rest), lattice=Lattice.of(list(table), "asr"), fits=FITS
        )
        answers = [planner.recommend(question) for question in questions(study, list(table))]
        chosen = [answer.configuration for answer in answers]
        off = [
            _log_error(table[answer.configuration], answer.predictions["wer"].mean)
            for answer in answers
        ]
        rows = [o for c, o in table.items() if c.model == model]
        own = [found["wer"] for found in planner.predict([o.configuration for o in rows])]
        yield Hidden(
            model,
            study,
            tuple(off),
            tuple(e for c, e in zip(chosen, off, strict=True) if c.model == model),
            tuple(_log_error(o, e.mean) for o, e in zip(rows, own, strict=True)),
            tuple(e.lower <= o.error <= e.upper for o, e in zip(rows, own, strict=True)),
        )


def questions(study: str, configurations: Sequence[Configuration]) -> Iterator[Question]:
    """The best within the GFLOPs of each configuration."""
    planner = Planner(evidence_for("asr", study, None), fits=FITS)
    asked = Question(budget=Budget(gflops_per_utterance=1e6), study=study)
    for prediction in planner.predictions(configurations, asked):
        gflops = prediction.costs.gflops_per_utterance
        yield Question(budget=Budget(gflops_per_utterance=1.001 * gflops), study=study)


def _log_error(observation: Observation, expected: float) -> float:
    return float(np.log(observation.error / expected))


def _signed(name: str, groups: Sequence[Sequence[float]]) -> dict[str, str]:
    """Mean signed error with its standard error over the groups."""
    means = np.array([np.mean(group) for group in groups if group])
    se = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else float("nan")
    return {
        "of": name,
        "hidden models": str(len(means)),
        "mean signed error (log)": f"{means.mean():+.3f}" if len(means) else "",
        "standard error": f"{se:.3f}",
    }


def main(arguments: list[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.parse_args(arguments)
    found = [one for study in STUDIES for one in hidden(study)]
    rows = [
        _signed("what is chosen", [one.choices for one in found]),
        _signed("the hidden model, where it is chosen", [one.model_chosen for one in found]),
        _signed("the hidden model", [one.itself for one in found]),
    ]
    sys.stdout.write(markdown(rows) + "\n")
    inside = [held for one in found for held in one.inside]
    sys.stdout.write(f"\n{sum(inside)} of {len(inside)} hidden rows inside their 90 % interval\n\n")
    models = [
        {
            "hidden": one.model,
            "study": one.study,
            "signed error (log)": f"{np.mean(one.itself):+.3f}",
            "chosen": f"{len(one.model_chosen)} of {len(one.choices)}",
            "signed error of the choices": f"{np.mean(one.choices):+.3f}",
        }
        for one in found
    ]
    sys.stdout.write(markdown(models) + "\n")


if __name__ == "__main__":
    main()
