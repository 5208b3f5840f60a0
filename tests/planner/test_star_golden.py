"""Answers from the published star sweep alone, held against the table's own rows."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

import measurements.catalogue
from measurements.studies import evidence_for
from planner.question import Budget, Question
from planner.recommend import Planner

STUDY = "asr-librispeech-test-other-lora32"
TABLE = Path(measurements.catalogue.__file__).parent / "published" / "asr_star_sweep.csv"


@pytest.fixture(scope="module")
def planner():
    evidence = evidence_for("asr", STUDY, None)
    return Planner(replace(evidence, observations=evidence.in_study))


def best_row(gflops):
    with TABLE.open(encoding="utf-8") as stream:
        rows = [r for r in csv.DictReader(stream) if float(r["gflops_seed_convention"]) <= gflops]
    return min(rows, key=lambda row: float(row["wer_percent"]))


@pytest.mark.parametrize("gflops", [400, 800, 1500, 3000])
def test_the_table_s_best_row_or_a_better_point(planner, gflops):
    """Catches an answer that ignores what was published, or promises more than it says."""
    answer = planner.recommend(
        Question(
            study=STUDY,
            budget=Budget(gflops_per_utterance=gflops),
            convention="seed-2606.22790",
        )
    )
    row = best_row(gflops)
    wer = answer.predictions["wer"]
    assert answer.costs.gflops_per_utterance <= gflops
    assert wer.mean <= float(row["wer_percent"]) / 100 * 1.01
    if answer.configuration not in {o.configuration for o in planner.evidence.observations}:
        # A better point than any row is a prediction: it says so and is to be run first.
        assert wer.basis in ("interpolated", "extrapolated")
        assert wer.lower < wer.mean < wer.upper
        assert answer.verification.needed
        assert any(reason.startswith("The best that was observed") for reason in answer.reasons)
