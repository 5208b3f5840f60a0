"""Verifications: real runs of predicted configurations until the decision is safe.

Nothing here needs torch: questions are asked and answered where they come in, while
:mod:`measurements.verifying` runs in a worker. Everything in between is in the store.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from measurements.anchors import is_fresh, predicted_ratios
from measurements.commands import measure_command
from measurements.datasets import Dataset, DatasetError, open_dataset
from measurements.fits import FITS
from measurements.identity import check_study
from measurements.languages import check_language
from measurements.records import Measurement, Metric, PairedRatio
from measurements.relative import ratio_to
from measurements.scores import Score, ratio_score, score
from measurements.speed import ShownRtf, speed_of
from measurements.studies import (
    all_measurements,
    dataset_of_study,
    evidence_for,
    resolve_device,
    study_of_dataset,
)
from measurements.verification_records import Outcome, Run, Stopped, Verification
from models_registry import Configuration
from models_registry.adapters import find_adapter
from models_registry.languages import language_code
from models_registry.weights import available
from planner.answer import Estimate, Recommendation
from planner.errors import PlannerError
from planner.question import Question
from planner.recommend import Planner

if TYPE_CHECKING:
    from measurements.store import Store

MAX_RUNS = 3
"""Real runs of a verification, unless told otherwise."""


class NothingToVerifyError(PlannerError):
    """No configuration of the plan can be run here."""

    code = "nothing-to-verify"


def create(
    question: Question,
    store: Store,
    *,
    configuration: Configuration | None = None,
    dataset: str | None = None,
    subset: str | None = None,
    language: str | None = None,
    dataset_name: str | None = None,
    limit: int | None = None,
    max_runs: int | None = None,
    max_seconds: float | None = None,
    identifier: str | None = None,
    here: bool = True,
) -> Verification:
    """Asks the question, notes the answer, and stores what is to be run first.

    Args:
        question: The question whose answer is to be verified.
        store: Where it is kept.
        configuration: What to run; the first of the answer's plan that can be
            run here when left out, or else the recommended one.
        dataset: On what; the study's own speech when left out. A question that names no study
            is about that of the data set.
        subset: Which part of it.
        language: Language of its speech, by code or name; not needed where the data says it.
        dataset_name: Short name of the data set, and so its study's, instead of its own.
        limit: On how many utterances at most.
        max_runs: Real runs at most; one of a configuration that was named or whose weights
            are not looked for, otherwise :data:`MAX_RUNS`.
        max_seconds: Seconds after which no further run starts and the current one stops after its
            batch. Its result covers the last completed stage: 25, 50, 100, .. utterances.
        identifier: Its id; a new one when left out.
        here: Whether what is run first has its weights on this machine.

    Raises:
        PlannerError: The question has no answer, nothing can be run, or nothing is known yet of
            the data set that it is about.
        DatasetError: The data set can't be used, belongs to another study, or the configuration
            can't transcribe its language.
        UnknownNameError: Whisper has no such language.
        AdapterError: The configuration needs an adapter that nobody has trained.
    """
    if configuration is not None and configuration.task != question.task:
        raise NothingToVerifyError(
            f"{configuration.label()} is for {configuration.task}, the question for {question.task}"
        )

    def opened(name: str) -> Dataset:
        return open_dataset(
            name, subset, task=question.task, language=language, called=dataset_name
        )

    if dataset is not None and question.study is None:
        own = study_of_dataset(opened(dataset), dataset, question.task, store)
        question = question.model_copy(update={"study": own})
    planner, resolved = _planner(question, store)
    name = dataset or dataset_of_study(planner.evidence.study)
    speech = opened(name)
    if speech.study != planner.evidence.study:
        raise DatasetError(
            f"data set {name} belongs to study {speech.study}, the question is about"
            f" {planner.evidence.study}: ask about the one or name the other's speech"
        )
    check_study(speech, store)
    if configuration is not None:
        check_language(configuration, speech)
    recommendation = planner.recommend(resolved)
    chosen = configuration or (_first_runnable if here else _first)(recommendation)
    if here and not available(chosen.model):
        raise NothingToVerifyError(
            f"weights of {chosen.model} are not on this machine", model=chosen.model
        )
    # For emotions they are trained by the measurement, one for each fold of speakers.
    if chosen.adapter != "none" and chosen.task == "asr":
        find_adapter(chosen)
    speech = speech.limited(limit)
    verification = Verification(
        id=identifier or str(uuid.uuid4()),
        study=planner.evidence.study,
        question=question,
        configuration=chosen,
        dataset=name,
        subset=subset,
        language=language and language_code(language),
        dataset_name=dataset_name,
        language_assumed=speech.language_assumed,
        limit=limit,
        max_runs=max_runs or (MAX_RUNS if here and configuration is None else 1),
        max_seconds=max_seconds,
        predicted=_predicted(planner, chosen, question),
        shown_rtf=_shown_rtf(planner, chosen, resolved),
        **_compared_with(planner, resolved, chosen, speech, store),
        recommendation=recommendation,
        total=len(speech.utterances),
    )
    save(verification, store)
    return verification


def note(
    verification: Verification, measurement: Measurement, stopped: Stopped | None, store: Store
) -> Verification:
    """The verification with a run's measurement and the verdict on what was predicted of it.

    It is stored with what follows from it, by :func:`proceed`.
    """
    metric, predicted = measurement.metric, verification.predicted
    rival = rival_of(verification, store)
    ratio = ratio_of(verification, measurement.key, store)
    found: Score | None = None
    if ratio is not None and verification.predicted_ratio is not None:
        found = ratio_score(verification.predicted_ratio, ratio)
    elif verification.fresh and stopped in (None, "out of time"):
        found = level_score(predicted, metric)
    done = Run(
        configuration=verification.configuration,
        predicted=predicted,
        measurement=measurement.key,
        measured=metric,
        ratio=ratio,
        score=found,
        inside=None if found is None else found.inside,
        utterances=measurement.dataset.utterances or 0,
        rival=None if rival is None else rival.configuration,
        stopped=stopped,
        speed=speed_of(measurement, store, predicted.level, verification.shown_rtf),
    )
    return verification.model_copy(
        update={
            "runs": (*verification.runs, done),
            "done": done.utterances,
            "wer_so_far": metric.value,
        }
    )


def level_score(predicted: Estimate, measured: Metric) -> Score:
    """How the prediction of a level fared against a run on speech that it knew nothing of.

    The interval is of the error on all speech like that; a run sees some utterances of it, so
    its own noise belongs to the comparison.
    """
    noise = (measured.se or 0.0) / measured.error if measured.error else 1.0
    return score(predicted, measured.value, noise, accuracy=measured.name == "ua")


def proceed(verification: Verification, store: Store) -> Verification:
    """Asks again with what is known now: the next run, or the end.

    It ends where the decision is safe, where the runs or the seconds are used up, or where
    nothing that would help can be run here.
    """
    planner, resolved = _planner(verification.question, store)
    after, no_answer, settled = None, None, False
    try:
        after = planner.recommend(resolved)
        settled = not after.verification.needed
    except PlannerError as error:
        no_answer = str(error)
    following = None if after is None else _following(after, verification.runs)
    elapsed_s = verification.elapsed_s
    if after is None:
        why = "no configuration is within the budget any more"
    elif settled:
        why = "the decision is safe"
    elif len(verification.runs) >= verification.max_runs:
        why = f"{len(verification.runs)} of {verification.max_runs} runs were made"
    elif verification.out_of_time:
        why = f"{elapsed_s:.0f} s of {verification.max_seconds:g} s were used"
        if verification.configuration not in {run.configuration for run in verification.runs}:
            why += (
                f"; {verification.done} of {verification.total} utterances of"
                f" {verification.configuration.label()} are kept, too few for a result"
            )
    elif following is None:
        why = "nothing else that would help can be run on this machine"
    else:
        speech = verification.open_dataset()
        going_on = verification.model_copy(
            update={
                "configuration": following,
                "predicted": _predicted(planner, following, resolved),
                "shown_rtf": _shown_rtf(planner, following, resolved),
                **_compared_with(planner, resolved, following, speech, store),
                "done": 0,
                "total": len(speech.utterances),
                "wer_so_far": None,
            }
        )
        save(going_on, store)
        return going_on
    before = verification.recommendation.configuration
    concluded = verification.model_copy(
        update={
            "status": "succeeded",
            "outcome": Outcome(
                recommendation=after,
                no_answer=no_answer,
                changed=after is None or after.configuration != before,
                settled=settled,
                why=why,
            ),
            "finished_at": datetime.now(UTC),
        }
    )
    save(concluded, store)
    return concluded


def fail(verification: Verification, reason: str, store: Store) -> Verification:
    """Notes that a verification ended without a result, and why."""
    failed = verification.model_copy(
        update={"status": "failed", "error": reason, "finished_at": datetime.now(UTC)}
    )
    save(failed, store)
    return failed


def cancel(verification: Verification, store: Store) -> Verification:
    """Ends a verification that is not over; what was measured stays.

    A worker that is at it stops behind the batch under way.
    """
    if verification.finished_at is not None:
        return verification
    cancelled = verification.model_copy(
        update={"status": "cancelled", "finished_at": datetime.now(UTC)}
    )
    save(cancelled, store)
    return cancelled


def save(verification: Verification, store: Store) -> None:
    """Stores a verification as it is now."""
    store.put_verification(
        verification.id,
        study=verification.study,
        status=verification.status,
        document=verification.model_dump(mode="json"),
        error=verification.error,
    )


def rival_of(verification: Verification, store: Store) -> Measurement | None:
    """The measurement that the run is compared with as it goes on."""
    return _with_key(verification.rival, verification, store)


def ratio_of(verification: Verification, key: str, store: Store) -> PairedRatio | None:
    """Errors of the run under way over those of its anchor, on the utterances finished.

    Args:
        verification: Whose run.
        key: Of the run as far as it is.
        store: Where its utterances are.

    Returns:
        None without an anchor.
    """
    anchor = _with_key(verification.anchor, verification, store)
    if anchor is None:
        return None
    return ratio_to(store.utterances(key), anchor, verification.open_dataset())


def _with_key(key: str | None, verification: Verification, store: Store) -> Measurement | None:
    if key is None:
        return None
    known = all_measurements(store, verification.question.task)
    return next((m for m in known if m.key == key), None)


def find(identifier: str, store: Store) -> Verification | None:
    """The verification with an id, if there is one."""
    row = store.verification(identifier)
    return None if row is None else Verification.model_validate(row.document)


def find_all(
    store: Store, *, study: str | None = None, before: str | None = None, limit: int = 20
) -> list[Verification]:
    """Verifications, newest first.

    Args:
        store: Where they are kept.
        study: Only of this study.
        before: Only those older than the one with this id.
        limit: At most so many.
    """
    rows = store.recent_verifications(study=study, before=before, limit=limit)
    return [Verification.model_validate(row.document) for row in rows]


def command_of(verification: Verification, limit: int | None = None) -> str:
    """The command that repeats the run by itself, on so many utterances."""
    return measure_command(
        verification.configuration,
        verification.dataset,
        subset=verification.subset,
        language=verification.language,
        called=verification.dataset_name,
        limit=limit or verification.limit,
    )


def _planner(question: Question, store: Store) -> tuple[Planner, Question]:
    device = resolve_device(question.device, store)
    evidence = evidence_for(
        question.task,
        question.study,
        store,
        device=device,
        without_studies=question.without_studies,
    )
    planner = Planner(evidence, question.seed, fits=FITS)
    return planner, question.model_copy(update={"device": device})


def _predicted(planner: Planner, configuration: Configuration, question: Question) -> Estimate:
    (predictions,) = planner.predict([configuration], question.level)
    return next(iter(predictions.values()))


def _shown_rtf(
    planner: Planner, configuration: Configuration, question: Question
) -> ShownRtf | None:
    """The RTF that an answer to the question shows of a configuration; None without a device."""
    if question.device is None:
        return None
    try:
        (found,) = planner.predictions([configuration], question)
    except PlannerError:  # the device does not allow it: nothing is shown of it
        return None
    return ShownRtf(
        device=question.device,
        workload=question.workload or planner.evidence.workload,
        retries=found.costs.retries,
        predicted=found.predictions["rtf"],
    )


def _measured_alike(
    question: Question, configuration: Configuration, speech: Dataset, store: Store
) -> list[Measurement]:
    """Measurements of other configurations on all of the same utterances."""
    known = [
        m
        for m in all_measurements(store, question.task)
        if len(m.utterance_errors) == len(speech.utterances)
        and m.configuration != configuration
        and m.study == speech.study
    ]
    if not known:
        return []
    # All of the audio is read for it.
    fingerprint = speech.fingerprint()
    return [m for m in known if m.dataset.fingerprint == fingerprint]


def _compared_with(
    planner: Planner,
    question: Question,
    configuration: Configuration,
    speech: Dataset,
    store: Store,
) -> dict[str, Any]:
    """What a run is compared with, by the names of a verification's fields.

    There is no rival with a target, since runs are held against that.
    """
    known = _measured_alike(question, configuration, speech, store)
    if not known:
        mine = [m for m in all_measurements(store, question.task) if m.study == speech.study]
        fresh = is_fresh(set(speech.contents.values()), speech.speakers, mine, store)
        return {"rival": None, "anchor": None, "predicted_ratio": None, "fresh": fresh}

    allowed = planner.allowed(question, [m.configuration for m in known])
    rivals = [m for m, holds in zip(known, allowed, strict=True) if holds]
    if question.target_error is not None or not rivals:
        rival = None
        own = [m for m in known if m.configuration.model == configuration.model]
        anchor = min(own or known, key=lambda m: m.metric.error)
    else:
        rival = anchor = min(rivals, key=lambda m: m.metric.error)
    ratios = predicted_ratios(planner, [configuration], anchor, question.level)
    return {
        "rival": None if rival is None else rival.key,
        "anchor": anchor.key,
        "predicted_ratio": ratios[0] if ratios else None,
        "fresh": False,
    }


def _following(after: Recommendation, runs: Sequence[Run] = ()) -> Configuration | None:
    """The first candidate that can be run here and was not yet."""
    run = {one.configuration for one in runs}
    left = (c.configuration for c in after.verification.candidates if c.runnable)
    return next((configuration for configuration in left if configuration not in run), None)


def _first(recommendation: Recommendation) -> Configuration:
    """What to run first, wherever its weights are."""
    candidates = recommendation.verification.candidates
    return candidates[0].configuration if candidates else recommendation.configuration


def _first_runnable(recommendation: Recommendation) -> Configuration:
    if (candidate := _following(recommendation)) is not None:
        return candidate
    if recommendation.runnable:
        return recommendation.configuration
    raise NothingToVerifyError(
        "no configuration of the verification plan has its weights on this machine",
        candidates=[
            c.configuration.model_dump(mode="json") for c in recommendation.verification.candidates
        ],
    )
