"""What the planner is given: observations of quality and of time, and for whom to plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from models_registry import MODELS
from models_registry.configuration import Configuration, Task
from models_registry.languages import ENGLISH, language_refusal
from planner.arrays import Array
from planner.device.evidence import DeviceEvidence
from planner.device.memory import RuntimeMemory
from planner.workload import DEFAULT_WORKLOAD, Workload

METRIC_OF: Mapping[Task, Literal["wer", "ua"]] = {"asr": "wer", "ser": "ua"}

UNKNOWN_SE = 0.03
"""Standard error, as a share of the error, of a figure published without one and without the size
of its test set: that of some thousand words or clips, as papers have."""


class Speech(NamedTuple):
    """Which speech rows are of.

    Attributes:
        study: Name of the study.
        corpus: Name of the data set that the study's speech is a sample of.
        language: Language code.
        synthetic: Whether a synthesiser made it.
        training_clips: Clips that heads for emotions are trained on; 1 where none are.
    """

    study: str
    corpus: str
    language: str = ENGLISH
    synthetic: bool = False
    training_clips: float = 1.0

    @property
    def kind(self) -> str:
        """What it is if it is not read English; empty if it is."""
        if self.synthetic:
            return f"synthesised {self.language}"
        return "" if self.language == ENGLISH else self.language


UNKNOWN_CLIPS = 5000.0
"""Clips that a head was trained on where nobody says how many: published corpora have as many."""


@dataclass(frozen=True)
class Observation:
    """One configuration's quality, as measured or published.

    Attributes:
        key: Key of the measurement.
        study: Study it belongs to.
        configuration: What ran.
        error: Word error rate, or 1 - unweighted accuracy; positive.
        error_se: Its standard error, where known.
        paired_se: The same without what all configurations measured on the same
            speech share; curves are fitted with it, since a study's common
            error is its offset.
        source: ``measured`` or ``published``.
        provenance: Where it comes from, in one line.
        windows: Windows that were decoded (ASR), where known.
        retried: Those of them that ran away and were decoded again.
        log_sds: Standard errors of the log error below and above it, of an interval that was
            stated and reaches further to one side.
        trials: Words or clips that the error was counted over, where known.
        speech: Fingerprint of the speech, where known; the same speech is no second sample.
        deviations: By speaker, what the configuration's log error deviates by from what all that
            were measured on the same speech share; the sampling covariance of two of them is the
            inner product of theirs. None where errors by utterance are not known.
        corpus: Name of the data set that the study's speech is a sample of; the study's where
            left out.
        language: Language code of the speech.
        synthetic: Whether a synthesiser made the speech.
        training_clips: Clips that the head for emotions was trained on; 1 where none was.
        runs: Measurements that were pooled in it.
        disagree: Whether they differ by more than their noise.
    """

    key: str
    study: str
    configuration: Configuration
    error: float
    error_se: float | None
    source: Literal["measured", "published"]
    provenance: str
    paired_se: float | None = None
    windows: int | None = None
    retried: int | None = None
    log_sds: tuple[float, float] | None = None
    trials: float | None = None
    speech: str | None = None
    runs: int = 1
    disagree: bool = False
    deviations: Array | None = field(default=None, compare=False, repr=False)
    corpus: str | None = None
    language: str = ENGLISH
    synthetic: bool = False
    training_clips: float = 1.0

    @property
    def of(self) -> Speech:
        """Its speech."""
        return Speech(
            self.study,
            self.corpus or self.study,
            self.language,
            self.synthetic,
            self.training_clips,
        )

    @property
    def log_se(self) -> float:
        """Standard error of the log error."""
        return UNKNOWN_SE if self.error_se is None else self.error_se / self.error

    @property
    def own_log_se(self) -> float:
        """The same without what everything measured on the study's speech shares."""
        return self.log_se if self.paired_se is None else self.paired_se / self.error


@dataclass(frozen=True)
class Evidence:
    """Everything a question is answered from.

    Attributes:
        task: Task of all of it.
        study: Study that answers are for; the others inform its curves.
        observations: Of every study of the task.
        workload: Recordings of the study, for questions that name none.
        devices: What is known of devices, by id.
        runtimes: Memory of the runtimes, by engine, kind of device and precision.
        runnable: Models whose weights are on this machine.
        here: Device of this machine, where it is known.
        language: Language of the study's speech.
    """

    task: Task
    study: str
    observations: tuple[Observation, ...]
    workload: Workload = DEFAULT_WORKLOAD
    devices: Mapping[str, DeviceEvidence] = field(default_factory=dict)
    runtimes: tuple[RuntimeMemory, ...] = ()
    runnable: frozenset[str] = frozenset()
    here: str | None = None
    language: str = ENGLISH

    @property
    def in_study(self) -> tuple[Observation, ...]:
        """Observations of the study itself."""
        return tuple(o for o in self.observations if o.study == self.study)

    @property
    def speech(self) -> Speech:
        """The study's speech."""
        synthetic = any(o.synthetic for o in self.in_study)
        most = max(self.in_study, key=lambda o: o.trials or 0, default=None)
        clips = UNKNOWN_CLIPS if self.task == "ser" else 1.0
        if most is not None:
            clips = most.training_clips
        return Speech(self.study, self.study, self.language, synthetic, clips)

    def unspoken(self, model: str) -> str | None:
        """Why a model can't transcribe the study's language; None if it can, and in SER."""
        if self.task == "ser":
            return None
        return language_refusal(MODELS.get(model), self.language)

    def can_run(self, configuration: Configuration) -> bool:
        """Whether this machine can run a configuration as it stands."""
        return configuration.model in self.runnable and configuration.adapter == "none"
