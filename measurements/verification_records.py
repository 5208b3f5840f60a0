"""What is kept of a verification: its question, its runs, what came of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from measurements.datasets import Dataset, open_dataset
from measurements.records import Metric, PairedRatio
from measurements.scores import PredictedRatio, Score
from measurements.speed import ShownRtf, Speed
from models_registry import Configuration
from planner.answer import Estimate, Recommendation
from planner.question import Question
from planner.stopping import Verdict

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


def now() -> datetime:
    """The time by which verifications end."""
    return datetime.now(UTC)


Stopped = Verdict | Literal["out of time"]
"""Why a run ended before its last utterance."""


class Run(BaseModel):
    """A real run of a verification and the verdict on what was predicted of it.

    Attributes:
        configuration: What ran.
        predicted: What was predicted of it beforehand.
        measurement: Key of the measurement.
        measured: The metric as measured.
        ratio: Its errors over those of a configuration measured on the same utterances before,
            on the utterances of the run; None if there is none.
        score: How the prediction fared: of the ratio where there is one, however the run ended;
            otherwise of the level, on speech that the prediction knew nothing of.
        inside: Whether what was scored lies in the interval that was predicted, with the noise of
            the run; None if nothing was.
        utterances: On how many utterances.
        rival: The best configuration measured on the same utterances before, with which it
            was compared as it went on; none where there is none.
        stopped: ``better`` or ``worse`` than the rival, or than the target of the question,
            where that was settled before the last utterance; ``out of time`` where the seconds
            were used up.
        speed: How long it took, against what was predicted; None if it was known or not timed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    configuration: Configuration
    predicted: Estimate
    measurement: str
    measured: Metric
    ratio: PairedRatio | None = None
    score: Score | None = None
    inside: bool | None
    utterances: int
    rival: Configuration | None = None
    stopped: Stopped | None = None
    speed: Speed | None = None

    @property
    def not_judged(self) -> str | None:
        """Why its errors were not judged; None if they were."""
        if self.inside is not None:
            return None
        if self.stopped in ("better", "worse"):
            return "it ended because of its errors, with nothing to compare them with"
        return "the prediction knew some of this speech, but nothing ran on all of it before"

    @property
    def ended_early(self) -> str | None:
        """Why it ended before its last utterance, in words; none if it did not."""
        if self.stopped is None or self.stopped == "out of time":
            return self.stopped
        # Of errors only: what makes fewer may be too dear.
        errors = "fewer errors" if self.stopped == "better" else "more errors"
        return f"{errors} than {'the target' if self.rival is None else self.rival.label()}"


class Outcome(BaseModel):
    """What a verification came to.

    Attributes:
        recommendation: The answer to the same question afterwards; none if there
            no longer is one.
        no_answer: Why there is none.
        changed: Whether another configuration is recommended now.
        settled: Whether the decision is safe now, at the tolerated risk.
        why: Why it ended there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recommendation: Recommendation | None
    no_answer: str | None = None
    changed: bool
    settled: bool
    why: str


class Verification(BaseModel):
    """A verification, from the question to the verdict.

    Attributes:
        id: Its id, also that of the job.
        status: How far it is.
        study: Study it belongs to.
        question: The question whose answer is verified.
        configuration: What is run now, or was last.
        dataset: On which data set.
        subset: Which part of it.
        language: Language of its speech as it was named; none where the data says it, or English
            is assumed.
        dataset_name: Short name of the data set, instead of its own.
        language_assumed: Whether nothing says that the speech is English.
        limit: On how many utterances.
        max_runs: Real runs at most.
        max_seconds: Seconds after which no further run starts and the current one stops after its
            batch. Its result covers the last completed stage: 25, 50, 100, .. utterances.
        predicted: What was predicted of the configuration beforehand.
        shown_rtf: The RTF that was shown of it beforehand; None if the question names no device.
        predicted_ratio: What was predicted of it relative to the anchor.
        fresh: Whether nothing of its study was measured on this speech or these speakers before.
        rival: Key of the measurement of the best configuration that is allowed and was measured on
            the same utterances before; the run ends early where it is settled against that.
        anchor: Key of the measurement on the same utterances that the run's errors are set in
            relation to: the rival's, or the best of its model, or of any.
        recommendation: The answer before all of it.
        runs: What was run.
        done: Utterances of the run that are finished.
        total: Utterances that it has.
        wer_so_far: Word error rate of those finished.
        outcome: What came out; none before the end.
        error: Why it failed, if it did.
        created_at: When it was asked for.
        began_at: When the first run began.
        finished_at: When it ended.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    status: Status = "queued"
    study: str
    question: Question
    configuration: Configuration
    dataset: str
    subset: str | None = None
    language: str | None = None
    dataset_name: str | None = None
    language_assumed: bool = False
    limit: int | None = None
    max_runs: int = 1
    max_seconds: float | None = None
    predicted: Estimate
    shown_rtf: ShownRtf | None = None
    rival: str | None = None
    anchor: str | None = None
    predicted_ratio: PredictedRatio | None = None
    fresh: bool = False
    recommendation: Recommendation
    runs: tuple[Run, ...] = ()
    done: int = 0
    total: int
    wer_so_far: float | None = None
    outcome: Outcome | None = None
    error: str | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    began_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds since its first run began."""
        at = now()
        return (at - (self.began_at or at)).total_seconds()

    @property
    def seconds_left(self) -> float | None:
        """Seconds that are left, none below 0; None without a limit."""
        return None if self.max_seconds is None else max(self.max_seconds - self.elapsed_s, 0.0)

    @property
    def out_of_time(self) -> bool:
        """Whether its seconds are used up."""
        return self.seconds_left == 0.0

    def open_dataset(self) -> Dataset:
        """The utterances that it runs on."""
        found = open_dataset(
            self.dataset,
            self.subset,
            task=self.question.task,
            language=self.language,
            called=self.dataset_name,
        )
        return found.limited(self.limit)
