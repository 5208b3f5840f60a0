"""Studies, and the evidence that the planner is given for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from measurements.catalogue import catalogue
from measurements.datasets import Dataset, DatasetError
from measurements.devices import LOCAL, former_id, local_device
from measurements.pairing import shared_removed
from measurements.profiles import all_device_timings, device_evidence, device_profiles
from measurements.records import Measurement
from models_registry import MODELS, UnknownNameError, WhisperArchitecture
from models_registry.configuration import Task
from models_registry.devices import DEVICES
from models_registry.weights import available
from planner.errors import InsufficientDataError
from planner.evidence import Evidence, Observation
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

_LEAST_ERRORS = 0.5
"""Words or clips in error, put in the place of none: a curve in log space needs a positive
number."""

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
    """The catalogue and the store's own, each key once."""
    stored = [m for _, m in store.measurements(task=task)] if store is not None else []
    built_in = [m for m in catalogue() if task is None or m.configuration.task == task]
    unique = {measurement.key: measurement for measurement in (*built_in, *stored)}
    return list(unique.values())


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
) -> Evidence:
    """What is known about a task, for one of its studies.

    Args:
        task: The task.
        study: The study; the task's default when left out.
        store: Where measurements are kept; none leaves the catalogue.
        device: Device whose rates are needed; ``local`` must be resolved already.
        without: Keys of measurements to leave out.

    Raises:
        UnknownNameError: No such study.
        InsufficientDataError: The study is of the other task, or has no measurement left.
    """
    name = study or DEFAULT_STUDY[task]
    left_out = set(without)
    known = [m for m in all_measurements(store, task) if m.key not in left_out]
    others = {m.study for m in known} | ({DEMO_STUDY} if task == "asr" else set())
    if name not in others:
        raise _not_answerable(task, study_of(store, name), sorted(others))
    paired = shared_removed(known)
    return Evidence(
        task=task,
        study=name,
        observations=tuple(_observation(m, paired.get(m.key)) for m in known),
        workload=_workload(task, name, [m for m in known if m.study == name]),
        devices=device_evidence([*known, *all_device_timings(store)], probed=device),
        runnable=frozenset(
            a.name
            for a in MODELS
            if (task == "ser" or isinstance(a, WhisperArchitecture)) and available(a.name)
        ),
        here=local_device().id,
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


def _observation(measurement: Measurement, paired_log_se: float | None) -> Observation:
    metric = measurement.metric
    error = metric.value if metric.name == "wer" else 1 - metric.value
    dataset = measurement.dataset
    trials = dataset.reference_words if metric.name == "wer" else dataset.utterances
    if error == 0:
        error = _LEAST_ERRORS / (trials or 1000)
    se = metric.se
    if se is None and trials:
        # A published rate over a known number of words or clips; errors come in
        # clumps, which widens the binomial by about a half.
        se = 1.5 * (error * max(1 - error, 0.01) / trials) ** 0.5
    paired_se = None if paired_log_se is None else paired_log_se * error
    if measurement.source == "published" and se is not None:
        paired_se = _USUALLY_OWN * se
    return Observation(
        key=measurement.key,
        study=measurement.study,
        configuration=measurement.configuration,
        error=error,
        error_se=se,
        paired_se=paired_se,
        source=measurement.source,
        provenance=measurement.provenance,
        windows=measurement.windows,
        retried=measurement.retried,
    )


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
