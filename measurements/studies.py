"""Studies, and the evidence that the planner is given for one."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from measurements.catalogue import built_in_keys, catalogue
from measurements.datasets import Dataset, DatasetError
from measurements.devices import LOCAL, former_id, local_device
from measurements.pairing import OWN_OF_COUNTS, PairedSpread, paired_spreads
from measurements.profiles import all_device_timings, device_evidence, device_profiles
from measurements.records import Measurement, Metric
from measurements.relative import through_ratios
from measurements.runtime_memory import runtime_memory
from measurements.scoring import normaliser_of
from measurements.statistics import CLUMPED, LEAST_ERRORS, counts_se
from models_registry import MODELS, UnknownNameError, WhisperArchitecture
from models_registry.configuration import Task
from models_registry.devices import DEVICES
from models_registry.languages import ENGLISH
from models_registry.weights import available
from planner.errors import InsufficientDataError
from planner.evidence import UNKNOWN_CLIPS, Evidence, Observation
from planner.pooling import pooled_by
from planner.quantiles import normal_quantile
from planner.ranges import LEAST_S, LEAST_TOKENS, MOST_TOKENS
from planner.workload import (
    DEFAULT_EMOTION_WORKLOAD,
    DEFAULT_WORKLOAD,
    TOKENS_PER_AUDIO_S,
    Workload,
)

if TYPE_CHECKING:
    from measurements.store import Store

DEFAULT_STUDY: dict[Task, str] = {
    "asr": "asr-librispeech-test-other",
    "ser": "ser-crema-d",
}

DEMO_STUDY = "asr-demo"

OTHER_SPEECH = ", other speech"
"""Ends the name of the study of what the catalogue has of a data set's other speech."""

_WORDS_OF_AN_UTTERANCE = 10
"""Of a WER that is known with its number of utterances alone."""

_UNKNOWN_TRIALS = {"wer": 2000.0, "ua": 100.0}
"""Words or clips that a figure measured somewhere is taken to be of, where nothing is said of its
size or spread: ten minutes of speech, or as many clips."""

_FOLDS = 8
"""Of speakers, at most, as measurements of emotions have (``measurements.evaluation.emotion``)."""

_LEAST_ERROR = 1e-9
"""An error rate below this stands for no errors: counting it would take 10^9 words."""

_NO_WIDTH = 1e-6
"""Relative distance of an end from its estimate, or standard error, that rounding alone makes."""

_STATED_LEVEL = 0.95
"""Of an interval whose level is not said."""

_USUALLY_OWN = 0.43
"""Share of a standard error that configurations on the same speech do not have in common, where
errors by utterance are not published: the median over the catalogue's own measurements."""


@dataclass(frozen=True)
class Study:
    """Measurements that belong together.

    Attributes:
        id: Its name.
        task: Its task.
        measurements: Those of the store and of the catalogue.
    """

    id: str
    task: Task
    measurements: tuple[Measurement, ...]


def all_measurements(store: Store | None, task: Task | None = None) -> list[Measurement]:
    """The catalogue and the store's own, each key once.

    What was stored again, since its data set said something else, is left out where both are of
    one study.
    """
    stored = [m for _, m in store.measurements(task=task)] if store is not None else []
    built_in = [m for m in catalogue() if task is None or m.configuration.task == task]
    unique = {measurement.key: measurement for measurement in (*built_in, *stored)}
    replaced = {(m.replaces, m.study) for m in stored if m.replaces is not None}
    return [m for m in unique.values() if (m.key, m.study) not in replaced]


def study_tasks(store: Store | None) -> dict[str, Task]:
    """The task of every study that has a measurement, and of the demo's."""
    stored = {} if store is None else store.study_tasks()
    built_in = {m.study: m.configuration.task for m in catalogue()}
    return {**stored, **built_in, DEMO_STUDY: "asr"}


def named_task(study: str) -> Task | None:
    """The task that a study's name begins with, as every data set's does; none of other names."""
    tasks: tuple[Task, ...] = get_args(Task)
    return next((task for task in tasks if study.startswith(f"{task}-")), None)


def studies(store: Store | None) -> list[Study]:
    """Every study that has a measurement, and the demo's."""
    grouped: dict[str, list[Measurement]] = {DEMO_STUDY: []}
    for measurement in all_measurements(store):
        grouped.setdefault(measurement.study, []).append(measurement)
    return [
        Study(name, group[0].configuration.task if group else "asr", tuple(group))
        for name, group in sorted(grouped.items())
    ]


def study_of(store: Store | None, name: str) -> Study:
    """One study.

    Raises:
        UnknownNameError: There is none of that name.
    """
    known = {study.id: study for study in studies(store)}
    if name not in known:
        raise UnknownNameError("study", name, list(known))
    return known[name]


def evidence_for(
    task: Task,
    study: str | None,
    store: Store | None,
    *,
    device: str | None = None,
    without: Iterable[str] = (),
    without_studies: Iterable[str] = (),
) -> Evidence:
    """What is known about a task, for one of its studies.

    Args:
        task: The task.
        study: The study; the task's default when left out.
        store: Where measurements are kept; none leaves the catalogue.
        device: Device whose rates are needed; ``local`` must be resolved already.
        without: Keys of measurements to leave out.
        without_studies: Other studies of the task to leave out, with errors and times.

    Raises:
        UnknownNameError: No such study.
        InsufficientDataError: The study is of the other task, is left out, or has no measurement
            left.
    """
    name = study or DEFAULT_STUDY[task]
    left_out = set(without)
    of_task = _left(all_measurements(store, task), name, set(without_studies))
    known = _scored_alike([m for m in of_task if m.key not in left_out])
    others = {m.study for m in known} | ({DEMO_STUDY} if task == "asr" else set())
    if name not in others:
        raise _not_answerable(task, study_of(store, name), sorted(others))
    return Evidence(
        task=task,
        study=name,
        observations=observations_of(known, {m.key for m in known} - built_in_keys()),
        workload=_workload(task, name, [m for m in known if m.study == name]),
        devices=device_evidence([*known, *all_device_timings(store)], probed=device),
        runtimes=runtime_memory(),
        runnable=frozenset(
            a.name
            for a in MODELS
            if (task == "ser" or isinstance(a, WhisperArchitecture)) and available(a.name)
        ),
        here=local_device().id,
        language=_language([m for m in known if m.study == name]),
    )


def observations_of(
    measurements: Sequence[Measurement], own: Container[str] = ()
) -> tuple[Observation, ...]:
    """What the planner is given of measurements, one observation a study and configuration.

    Speech that a store has measured is a sample of its data set. What the catalogue has of other
    speech of the same name is another sample, and a study of its own.

    Args:
        measurements: Of one task.
        own: Keys of those that are the store's own.
    """
    spreads = paired_spreads(measurements)
    studies = _samples(measurements, own)
    observations = {
        m.key: _observation(m, spreads.get(m.key), studies[m.key]) for m in measurements
    }
    return tuple(
        pooled_by(
            through_ratios(measurements, observations).values(),
            lambda observation: (observation.study, observation.configuration),
        )
    )


def resolve_device(name: str | None, store: Store | None = None) -> str | None:
    """A device's id; ``local`` becomes this machine's.

    An id from before 0.2, such as ``cpu-amd-epyc-2t``, stands for the only device with timings
    that was called so.

    Raises:
        UnknownNameError: It is neither local, nor in the registry, nor was it timed; or several
            devices were called so.
    """
    if name is None:
        return None
    if name == LOCAL or name == local_device().id:
        return local_device().id
    if name in DEVICES:
        return DEVICES.canonical(name)
    timed = {profile.device.id: profile.device for profile in device_profiles(store)}
    if name in timed:
        return name
    called_so = [d.id for d in timed.values() if d.kind == "cpu" and former_id(d) == name]
    if len(called_so) > 1:
        raise UnknownNameError("device", name, called_so)
    return called_so[0] if called_so else DEVICES.canonical(name)


def dataset_of_study(study: str) -> str:
    """Name of the data set that more of a study can be measured on.

    Raises:
        DatasetError: The study's speech is not on this machine.
    """
    if study == DEMO_STUDY:
        return "demo"
    raise DatasetError(f"name the data set of study {study}: its speech is not built in")


def study_of_dataset(speech: Dataset, name: str, task: Task, store: Store | None) -> str:
    """The study of a data set, for questions that name that.

    Args:
        speech: The data set.
        name: What it was opened by.
        task: The question's.
        store: Where measurements are kept.

    Raises:
        InsufficientDataError: Nothing was measured on it yet.
    """
    if not any(study.id == speech.study for study in studies(store)):
        raise InsufficientDataError(
            f"nothing was measured on {name} yet, so there is no study {speech.study} to ask"
            f" about: measure a configuration on it first",
            measure=[{"task": task, "dataset": name}],
        )
    return speech.study


def _not_answerable(task: Task, study: Study, others: Sequence[str]) -> InsufficientDataError:
    why = f"is about {study.task}, not {task}" if study.task != task else "has no measurement left"
    instead = f"; choose from {', '.join(others)}" if others else ""
    return InsufficientDataError(
        f"study {study.id} {why}{instead}", study=study.id, studies=list(others)
    )


def _left(measurements: Sequence[Measurement], asked: str, left_out: set[str]) -> list[Measurement]:
    """The measurements without those of studies to leave out, which has to be possible."""
    others = sorted({m.study for m in measurements} - {asked})
    if asked in left_out:
        raise InsufficientDataError(
            f"study {asked} is asked about and can't be left out: leave out another, or ask about"
            f" another",
            study=asked,
            studies=others,
        )
    for name in sorted(left_out - set(others)):
        raise UnknownNameError("study to leave out", name, others)
    return [m for m in measurements if m.study not in left_out]


def _scored_alike(measurements: Sequence[Measurement]) -> list[Measurement]:
    """Without runs that were scored by an older normaliser, where the same run was scored again."""

    def run(m: Measurement) -> tuple[str, str, str | None]:
        return m.study, m.configuration.key, m.dataset.fingerprint

    def current(m: Measurement) -> bool:
        return normaliser_of(m.dataset.language) in (m.metric.method or "")

    again = {run(m) for m in measurements if m.metric.name == "wer" and current(m)}
    return [m for m in measurements if run(m) not in again or current(m)]


def _samples(measurements: Sequence[Measurement], own: Container[str]) -> dict[str, str]:
    """The study of each measurement, by key.

    A study is of the store's own speech, or of the speech that the catalogue has most
    measurements of; other speech of the same name is a study of its own.
    """
    own_speech: dict[str, set[str | None]] = {}
    counts: dict[str, Counter[str | None]] = {}
    for m in measurements:
        speech = m.dataset.fingerprint
        counts.setdefault(m.study, Counter())[speech] += 1
        if m.key in own and speech is not None:
            own_speech.setdefault(m.study, set()).add(speech)
    names = {}
    for m in measurements:
        speech = m.dataset.fingerprint
        known = own_speech.get(m.study) or {counts[m.study].most_common(1)[0][0], None}
        here = m.key in own or speech in known
        names[m.key] = m.study if here else f"{m.study}{OTHER_SPEECH} {(speech or '')[:6]}".strip()
    return names


def _observation(measurement: Measurement, paired: PairedSpread | None, study: str) -> Observation:
    metric = measurement.metric
    error = metric.error
    trials = _trials(measurement)
    if error < _LEAST_ERROR:
        error = LEAST_ERRORS / (trials or 1000)
    stated = None if measurement.utterance_errors else _stated_log_sds(metric, error, trials)
    se = metric.se if metric.se and metric.se > _NO_WIDTH * error else None
    if stated is not None:
        se = error * sum(stated) / 2
    told = se is not None
    if se is not None and stated is None and trials and measurement.utterance_errors:
        # A standard error is relative to the mean of what the counts allow: of few errors it is
        # more than was counted.
        se *= error / (error + LEAST_ERRORS * CLUMPED / trials)
    if se is None and (trials or measurement.source == "measured"):
        # Of a published rate without a size, see UNKNOWN_SE.
        counted = trials or _UNKNOWN_TRIALS[metric.name]
        se = counts_se(error, counted, shares=metric.name == "ua")
    paired_se = None if paired is None else paired.log_se * error
    if paired is None and se is not None and measurement.utterance_errors and trials:
        paired_se = error * min(OWN_OF_COUNTS / math.sqrt(error * trials), se / error)
    elif paired is None and se is not None and (measurement.source == "measured" or not told):
        paired_se = _USUALLY_OWN * se
    return Observation(
        key=measurement.key,
        study=study,
        configuration=measurement.configuration,
        error=error,
        error_se=se,
        paired_se=paired_se,
        source=measurement.source,
        provenance=measurement.provenance,
        windows=measurement.windows,
        retried=measurement.retried,
        log_sds=stated,
        trials=trials,
        speech=measurement.dataset.fingerprint,
        deviations=None if paired is None else paired.deviations,
        corpus=measurement.study,
        language=measurement.dataset.language,
        synthetic=measurement.dataset.synthetic,
        training_clips=_training_clips(measurement),
    )


def _language(measurements: Sequence[Measurement]) -> str:
    """The language of a study: that of speech which was read, where any was."""
    read = [m for m in measurements if m.dataset.fingerprint is not None]
    spoken = Counter(m.dataset.language for m in read or measurements)
    return spoken.most_common(1)[0][0] if spoken else ENGLISH


def _trials(measurement: Measurement) -> float | None:
    """Words, or clips in SER, that an error was counted over, where that is known."""
    dataset = measurement.dataset
    if measurement.metric.name == "ua":
        return dataset.utterances or None
    if dataset.reference_words:
        return dataset.reference_words
    return dataset.utterances * _WORDS_OF_AN_UTTERANCE if dataset.utterances else None


def _training_clips(measurement: Measurement) -> float:
    """Clips that the head for emotions was trained on: those of all folds of speakers but one."""
    if measurement.metric.name != "ua":
        return 1.0
    clips, speakers = measurement.dataset.utterances, len(set(measurement.speakers))
    if not clips:
        return UNKNOWN_CLIPS
    folds = min(speakers, _FOLDS) if speakers > 1 else _FOLDS
    return max(clips * (1 - 1 / folds), 1.0)


def _stated_log_sds(
    metric: Metric, error: float, trials: float | None
) -> tuple[float, float] | None:
    """Standard errors of the log error below and above it, from the ends of an interval.

    An end that is not given, or that is the estimate itself, lies as far off as the other.
    """
    low, high = metric.lower, metric.upper
    if metric.name == "ua":
        low, high = (None if end is None else 1 - end for end in (high, low))
    reach = normal_quantile(0.5 + (metric.level or _STATED_LEVEL) / 2)
    least = min(LEAST_ERRORS / (trials or 1000), error / 2)
    below = None if low is None else math.log(error / max(low, least)) / reach
    above = None if high is None else math.log(max(high, error) / error) / reach
    sides = [side for side in (below, above) if side is not None and side > _NO_WIDTH]
    if not sides:
        return None
    below, above = (side if side in sides else sides[0] for side in (below, above))
    return below, above


def _workload(task: Task, study: str, measurements: Sequence[Measurement]) -> Workload:
    """The recordings of the study's largest measurement, where they are known."""
    known = [m for m in measurements if m.dataset.durations_s]
    if not known:
        return DEFAULT_EMOTION_WORKLOAD if task == "ser" else DEFAULT_WORKLOAD
    largest = max(known, key=lambda m: m.dataset.utterances or 0)
    tokens = largest.dataset.tokens_per_audio_s
    return Workload(
        # A clip without a frame, and speech without a word, cost the least that there is.
        durations_s=tuple(max(one, LEAST_S) for one in largest.dataset.durations_s),
        tokens_per_audio_s=min(max(tokens, LEAST_TOKENS), MOST_TOKENS)
        if tokens
        else TOKENS_PER_AUDIO_S,
        source=f"the {largest.dataset.utterances} recordings of {study}",
    )
