"""Runs verifications: one configuration after another, each no longer than it takes.

:func:`drive` is the only loop over runs, stages and batches. A command line runs its steps in
this process; a worker makes each of them durable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, Protocol

from measurements import verification as verifications
from measurements import verification_records
from measurements.evaluation import evaluation_of
from measurements.progress import Progress
from measurements.records import Measurement
from measurements.relative import errors_on
from measurements.sequential import Stages
from measurements.store import Store
from measurements.verification_records import Stopped, Verification
from models_registry import WeightsSource
from planner.stopping import looks, verdict

Ended = Literal["cancelled", "out of time"]
"""Why a run ends within a stage."""


class Steps(Protocol):
    """What a verification does, one step after another; each may be done again.

    Runs are numbered from 0, their stages and the batches of a stage too.
    """

    def begin(self) -> int:
        """Marks it as running; returns the stages of the first run, 0 if it was cancelled."""

    def batches(self, number: int, stage: int) -> int:
        """How many batches a stage of a run has."""

    def run_batch(self, number: int, stage: int, index: int) -> Ended | None:
        """Evaluates and stores a batch; returns why nothing more is run, if so."""

    def settled(self, number: int, stage: int) -> Stopped | None:
        """Why the run ends with the utterances up to a stage; None if it goes on."""

    def conclude(self, number: int, stage: int, stopped: Stopped | None) -> int:
        """Stores the run's measurement and asks again; returns stages of the next run, or 0."""


def drive(steps: Steps) -> Literal["succeeded", "cancelled"]:
    """Runs a verification to its end; returns its final status."""
    number, stages = 0, steps.begin()
    if not stages:
        return "cancelled"
    while stages:
        stopped: Stopped | None = None
        for stage in range(stages):
            for index in range(steps.batches(number, stage)):
                ended = steps.run_batch(number, stage, index)
                if ended == "cancelled":
                    return "cancelled"
                if ended is not None:
                    stopped = ended
                    break
            stopped = stopped or steps.settled(number, stage)
            if stopped is not None:
                break
        stages = steps.conclude(number, stage, stopped)
        number += 1
    return "succeeded"


class Verifying:
    """The steps of a verification in this process.

    Args:
        identifier: Of the verification.
        store: Where it is kept.
        device: Where the models run.
        weights: Where those of the first configuration come from; the default source, as for
            all others, when left out.
        on_progress: Called as the runs go on.
    """

    def __init__(
        self,
        identifier: str,
        store: Store,
        *,
        device: str = "auto",
        weights: WeightsSource | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._identifier = identifier
        self._store = store
        self._device = device
        self._weights = weights
        self._on_progress = on_progress
        self._stages: tuple[int, Stages] | None = None

    def load(self) -> Verification:
        """The verification as it is stored.

        Raises:
            LookupError: It is not in the store.
        """
        found = verifications.find(self._identifier, self._store)
        if found is None:
            raise LookupError(f"verification {self._identifier} is not in the store")
        return found

    def stages(self, number: int) -> Stages:
        """The run under way; its model stays loaded."""
        if self._stages is None or self._stages[0] != number:
            weights = None if number else self._weights
            made = stages_of(self.load(), self._store, device=self._device, weights=weights)
            self._stages = number, made
        return self._stages[1]

    def begin(self) -> int:
        """Marks it as running; returns the stages of the first run, 0 if it was cancelled."""
        found = self.load()
        if found.status == "cancelled":
            return 0
        begun = {"status": "running", "began_at": found.began_at or verification_records.now()}
        verifications.save(found.model_copy(update=begun), self._store)
        return len(self.stages(0).sizes)

    def batches(self, number: int, stage: int) -> int:
        """How many batches a stage of a run has."""
        return len(self.stages(number).at(stage).batches)

    def run_batch(self, number: int, stage: int, index: int) -> Ended | None:
        """Evaluates and stores what is missing of a batch, unless the time is over."""
        found = self.load()
        if found.status == "cancelled":
            return "cancelled"
        if found.out_of_time:
            return "out of time"
        evaluation = self.stages(number).at(stage)
        ran = evaluation.run_batch(index)
        progress = evaluation.progress(evaluation.PHASE)
        if ran:
            self._report(progress, found)
        update = {"done": progress.done, "wer_so_far": progress.value}
        verifications.save(self.load().model_copy(update=update), self._store)
        return None

    def settled(self, number: int, stage: int) -> Stopped | None:
        """Why the run ends with the utterances up to a stage; None if it goes on."""
        return settled(self.load(), self.stages(number), stage, self._store)

    def conclude(self, number: int, stage: int, stopped: Stopped | None) -> int:
        """Times and stores the measurement, and asks again.

        Where the time went out within a stage it is that of the last complete one: a stage is a
        random sample of the utterances, the batches of one are not. Utterances beyond it stay
        in the store, where a later run finds them.
        """
        found = self.load()
        if len(found.runs) == number and found.outcome is None:
            measurement, stopped = self._measured(found, number, stage, stopped)
            if measurement is not None:
                found = verifications.note(found, measurement, stopped, self._store)
            found = verifications.proceed(found, self._store)
        return 0 if found.outcome is not None else len(self.stages(number + 1).sizes)

    def _measured(
        self, found: Verification, number: int, stage: int, stopped: Stopped | None
    ) -> tuple[Measurement | None, Stopped | None]:
        """The measurement of a run and why it ended early; None before its first stage is over."""
        stages = self.stages(number)
        while stage >= 0 and stages.at(stage).missing:
            stage -= 1
        if stage < 0:
            return None, stopped
        evaluation = stages.at(stage)
        early = stage < len(stages.sizes) - 1
        if early:
            evaluation.ended = None if stopped == "out of time" else stopped
            evaluation.paired = verifications.ratio_of(found, evaluation.key, self._store)
        if found.seconds_left is not None:
            # What was timed on an earlier try is kept by its measurement.
            evaluation.timing = found.seconds_left > 0
            evaluation.timing_limit_s = found.seconds_left
        self._report(evaluation.progress("timing" if evaluation.timing else "scoring"), found)
        measurement = evaluation.finish()
        self._report(evaluation.progress("done"), found)
        return measurement, stopped if early else None

    def _report(self, progress: Progress, found: Verification) -> None:
        label = found.configuration.label()
        self._on_progress(replace(progress, phase=f"{label}, {progress.phase}"))


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
        verification: What to run; it is in the store.
        store: Where it is kept.
        device: Where the models run.
        weights: Where those of the first configuration come from; the default source, as for
            all others, when left out.
        on_progress: Called as the runs go on.

    Raises:
        DatasetError: An audio file can't be read.
        WeightsError: The weights can't be had.
    """
    steps = Verifying(
        verification.id,
        store,
        device=device,
        weights=weights,
        on_progress=on_progress or (lambda _: None),
    )
    drive(steps)
    return steps.load()


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
    """Why the run ends with the utterances up to a stage; None on the last.

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
        theirs = [float(count) for count in errors_on(results, rival, stages.whole.dataset)]
    return verdict(
        [r.errors for r in results],
        theirs,
        words,
        speakers=stages.whole.dataset.speakers_of([r.utterance for r in results]),
        tolerance=question.tolerance if rival is not None else 0.0,
        risk=question.risk,
        of_looks=len(stages.sizes) - 1,
    )
