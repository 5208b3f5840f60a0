"""Runs verifications: one configuration after another, each no longer than it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from measurements import verification as verifications
from measurements.evaluation import evaluation_of
from measurements.progress import Progress
from measurements.sequential import Stages
from measurements.store import Store
from measurements.verification_records import Stopped, Verification
from models_registry import WeightsSource
from planner.stopping import looks, verdict


def run(
    verification: Verification,
    store: Store,
    *,
    device: str = "auto",
    weights: WeightsSource | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Verification:
    """Runs a verification to its end in this process.

    Args:
        verification: What to run.
        store: Where it is kept.
        device: Where the models run.
        weights: Where those of the first configuration come from; the default source, as for
            all others, when left out.
        on_progress: Called as the runs go on.

    Raises:
        DatasetError: An audio file can't be read.
        WeightsError: The weights can't be had.
    """
    verification = begin(verification, store)
    while verification.outcome is None:
        label = verification.configuration.label()

        def report(progress: Progress, label: str = label) -> None:
            if on_progress is not None:
                on_progress(replace(progress, phase=f"{label}, {progress.phase}"))

        own = None if verification.runs else weights
        stages, stopped = stages_of(verification, store, device=device, weights=own), None
        for stage in range(len(stages.sizes)):
            evaluation = stages.at(stage)
            for index in range(len(evaluation.batches)):
                if evaluation.run_batch(index):
                    report(evaluation.progress(evaluation.PHASE))
            stopped = settled(verification, stages, stage, store)
            if stopped is not None:
                break
        measurement = evaluation.run(report)
        verification = verifications.proceed(
            verifications.note(verification, measurement, stopped, store), store
        )
    return verification


def begin(verification: Verification, store: Store) -> Verification:
    """Notes that the first run begins."""
    begun = verification.model_copy(
        update={"status": "running", "began_at": verification.began_at or datetime.now(UTC)}
    )
    verifications.save(begun, store)
    return begun


def stages_of(
    verification: Verification,
    store: Store,
    *,
    device: str = "auto",
    weights: WeightsSource | None = None,
) -> Stages:
    """The run under way; in stages where it may end before its last utterance."""
    speech = verification.open_dataset()
    total = len(speech.utterances)
    against = verification.question.target_error is not None or verification.rival is not None
    may_end = against or verification.max_seconds is not None
    sequential = may_end and verification.question.task == "asr"
    return Stages(
        evaluation_of(
            verification.configuration,
            speech,
            store,
            device=device,
            weights=weights,
            command=verifications.command_of(verification),
        ),
        list(looks(total)) if sequential else [total],
        lambda size: verifications.command_of(
            verification, size if size < total else verification.limit
        ),
    )


def settled(verification: Verification, stages: Stages, stage: int, store: Store) -> Stopped | None:
    """Why the run ends with the utterances up to a stage; none on the last.

    With a target they are held against it: cheaper configurations matter if they reach it.
    Otherwise against the rival's.
    """
    question, rival = verification.question, None
    if stage >= len(stages.sizes) - 1:
        return None
    if verification.out_of_time:
        return "out of time"
    if question.target_error is None:
        rival = verifications.rival_of(verification, store)
        if rival is None:
            return None
    results = store.utterances(stages.at(stage).key)
    words = [r.reference_words for r in results]
    if rival is None:
        theirs = [(question.target_error or 0.0) * count for count in words]
    else:
        # Errors are in the order of the utterances' ids, of both.
        ids = sorted(utterance.id for utterance in stages.whole.dataset.utterances)
        against = dict(zip(ids, rival.utterance_errors, strict=True))
        theirs = [float(against[r.utterance][0]) for r in results]
    return verdict(
        [r.substitutions + r.deletions + r.insertions for r in results],
        theirs,
        words,
        speakers=stages.whole.dataset.speakers_of([r.utterance for r in results]),
        tolerance=question.tolerance if rival is not None else 0.0,
        risk=question.risk,
        of_looks=len(stages.sizes) - 1,
    )
