"""What is kept of a measurement."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

from models_registry import Configuration
from models_registry.languages import ENGLISH
from planner.ranges import MOST_S, Chance

Source = Literal["measured", "published"]
Fraction = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=MOST_S, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Level = Chance

_ROUNDING = 1e-9
"""By so much an end may lie on the wrong side: ``1 - (1 - x)`` is not ``x``."""

_DOMINANT_ERRORS = 5
"""Fewer errors in one utterance are no sign of anything, whatever their share."""


class Record(BaseModel):
    """Base of everything that is stored: frozen, nothing unexpected in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Metric(Record):
    """A quality metric with its interval; ``wer`` and ``ua`` are fractions.

    Attributes:
        name: ``wer`` (lower is better) or ``ua`` (higher is better).
        value: The estimate.
        lower: Lower end of the interval; none for a published figure without one.
        upper: Upper end.
        level: Probability of the interval.
        se: Standard error.
        method: How the interval was made.
    """

    name: Literal["wer", "ua"]
    value: Fraction
    lower: Fraction | None = None
    upper: Fraction | None = None
    level: Level | None = None
    se: Fraction | None = None
    method: str | None = None

    @model_validator(mode="after")
    def _within(self) -> Self:
        _in_order(lower=self.lower, value=self.value, upper=self.upper)
        return self

    @property
    def error(self) -> float:
        """WER, or 1 - UA, a fraction."""
        return self.value if self.name == "wer" else 1 - self.value


class DatasetInfo(Record):
    """Which speech was measured.

    Attributes:
        name: Name of the data set.
        fingerprint: SHA-256 over ids, references and audio; none if published.
        utterances: How many.
        audio_s: Their duration together.
        reference_words: Words of the references (ASR).
        durations_s: Durations, for the workload; the tenths of them if many.
        tokens_per_audio_s: Decoded tokens per second of audio.
        language: Language code.
        synthetic: Whether a synthesiser made the speech.
    """

    name: str
    fingerprint: str | None = None
    utterances: Count | None = None
    audio_s: Amount | None = None
    reference_words: Count | None = None
    durations_s: tuple[Seconds, ...] = ()
    tokens_per_audio_s: Amount | None = None
    language: str = ENGLISH
    synthetic: bool = False


class ErrorCounts(Record):
    """Word errors over all utterances.

    Attributes:
        substitutions: Words replaced.
        deletions: Words left out.
        insertions: Words added.
        reference_words: Words of the references.
        empty_references: Utterances whose reference holds no word after normalisation.
        empty_insertions: Words heard in those, which are among the insertions.
    """

    substitutions: Count
    deletions: Count
    insertions: Count
    reference_words: Count
    empty_references: Count = 0
    empty_insertions: Count = 0


class TimingSample(Record):
    """One timed run of one recording, in seconds by phase.

    Attributes:
        utterance: Its id.
        audio_s: Its duration.
        passes: Encoder frames and decoded tokens of every forward pass.
        phases_s: Wall seconds by phase.
        cpu_s: Processor seconds of the process, all threads together (CPU only). Beside other
            work they say more than wall seconds, in which the waiting is.
    """

    utterance: str
    audio_s: Seconds
    passes: tuple[tuple[Count, Count], ...]
    phases_s: dict[str, Seconds]
    cpu_s: Seconds | None = None

    @property
    def total_s(self) -> float:
        """Wall seconds of all phases."""
        return sum(self.phases_s.values())


class DeviceInfo(Record):
    """Where it ran, by everything that decides how fast it is.

    Records from before 0.2 hold the name and the threads only. Their id has no digest at its
    end, and none of the fields below is set.

    Attributes:
        id: Names the processor, its widest instruction set and the threads used, followed by
            a digest of all other fields (CPU); the data sheet's name, or the driver's (CUDA).
        kind: ``cpu`` or ``cuda``.
        name: The processor's own name.
        threads: Threads that torch used (CPU).
        vendor: Who makes it, for example ``GenuineIntel``.
        model: Family, model and stepping (CPU), or compute capability (CUDA).
        instruction_sets: Instruction sets that decide how fast each number format is (CPU).
        memory_channels: Memory channels in use, if the system tells.
        library: Version of torch, its build included.
    """

    id: str
    kind: Literal["cpu", "cuda"]
    name: str
    threads: int | None = None
    vendor: str | None = None
    model: str | None = None
    instruction_sets: tuple[str, ...] = ()
    memory_channels: int | None = None
    library: str | None = None

    @property
    def hardware(self) -> tuple[object, ...] | None:
        """What identifies the processor, the library left out; None if it is not known."""
        if self.kind == "cuda":
            return (self.kind, self.id)
        if self.vendor is None or not self.instruction_sets:
            return None
        parts = (self.name, self.vendor, self.model, self.instruction_sets)
        return (*parts, self.threads, self.memory_channels)


class Fingerprint(Record):
    """How fast a device is in a fixed test of two seconds.

    It tells whether timings that were taken on a processor of the same identity, perhaps on
    another host or beside other work, still say how fast this one is.

    Attributes:
        gflops: Rate of a matrix product by number format, in GFLOP/s, the best of several.
        copy_gb_s: Rate of a memory copy, bytes read and written, in GB/s, the best of several.
        others_cpu_share: Share of the processors that other processes took meanwhile.
        created_at: When it was taken.
    """

    gflops: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    copy_gb_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    others_cpu_share: float | None = None
    created_at: datetime | None = None


class LatencySummary(Record):
    """Latency of single recordings, over recordings and their repeats.

    Attributes:
        p50_s: Median, in seconds.
        p95_s: 95th percentile.
        p50_interval_s: Its interval, over repeats of these recordings; none of too
            few runs.
        p95_interval_s: Likewise.
        level: Probability of the intervals.
        n: Timed runs.
        recordings: Recordings that they are of.
    """

    p50_s: Amount
    p95_s: Amount
    p50_interval_s: tuple[Amount, Amount] | None = None
    p95_interval_s: tuple[Amount, Amount] | None = None
    level: Level
    n: Count
    recordings: Count


class AdapterInfo(Record):
    """The trained adapter that a measurement ran with.

    Attributes:
        key: Its key; see ``measurements.adaptation``.
        trainable_parameters: Parameters it trained.
        training_flops: FLOPs of its training under ``training-counted-1``.
        training_s: Wall seconds of its training.
        command: The ``speechplan adapt ...`` that trains it; none in SER, where the
            measurement trains its own.
    """

    key: str
    trainable_parameters: int
    training_flops: int
    training_s: float
    command: str | None = None


class PairedRatio(Record):
    """Errors of a run over those of another on the same utterances.

    Attributes:
        to: Key of the other's measurement, which is of more utterances or as many.
        log_ratio: Log of this run's error over the other's.
        log_se: Its standard error.
        utterances: How many both have.
    """

    to: str
    log_ratio: Annotated[float, Field(allow_inf_nan=False)]
    log_se: Amount
    utterances: Count


class DominantUtterance(Record):
    """The utterance that holds most of a run's errors.

    Attributes:
        position: Its place among the utterances, from 0.
        errors: Its errors.
        share: Share of all errors of the run.
    """

    position: Count
    errors: Count
    share: Annotated[float, Field(ge=0, le=1)]


class Measurement(Record):
    """One configuration, evaluated once.

    Attributes:
        key: SHA-256 of what was run on what; the same run twice has one key.
        study: Id of the study it belongs to.
        configuration: What was run.
        source: ``measured`` here, or ``published`` elsewhere.
        provenance: Where it comes from: a command, or a citation.
        dataset: On which speech.
        metric: How well.
        errors: Word errors (ASR).
        utterance_errors: Errors and reference words of each utterance, in order of
            their ids; configurations on the same speech are compared with them.
            Of one word each in SER: 1 where another emotion was recognised.
        dominant_utterance: The utterance that holds at least half of the errors, and at least 5 of
            them, as one that runs away does: without it the error would be another. None of other
            runs, and of a single utterance. Follows from ``utterance_errors``, whatever a record
            says.
        windows: Windows that the speech was cut into (ASR).
        retried: Those that ran away and were run again in the model's full window.
        speakers: Speaker of each utterance, in the same order, where known.
        labels: Emotion of each utterance, in the same order (SER).
        flops_counted: FLOPs of an utterance, the mean, under ``counted-1``.
        flops_per_audio_s: The same for a second of audio.
        published_gflops: As published, with its convention.
        timings: Timed runs, raw.
        rtf: Seconds of computing per second of audio, by phase and ``total``.
        rtf_interval: Its 95 % intervals, over repeats of the timed recordings; none
            with few repeats.
        latency: Latency of single recordings.
        rtfx: Audio seconds per wall second with ``rtfx_batch_size`` recordings
            together; their median.
        rtfx_batch_size: How many.
        others_cpu_share: Share of the machine's processors that other processes took
            while it was timed.
        processor_speed: Of the processors meanwhile, as a share of the fastest seen: below
            a half a neighbour on the same host slowed them down.
        weights_bytes: What the loaded weights take, quantised ones as they are packed.
        peak_memory_bytes: Peak resident memory of the process from loading to the last timed
            run, without what it holds for measuring alone (CPU), or peak reserved while timed
            (CUDA).
        peak_allocated_bytes: What tensors took of it (CUDA).
        joules_per_audio_second: Energy of the whole board while timed, by NVML; none
            where it is not counted.
        device: Where.
        fingerprint: How fast the device was when the configuration was timed.
        adapter: The adapter it ran with, if any.
        software: Versions that matter.
        created_at: When it was finished.
        ended: The verdict of a verification that ended the run before its last utterance, which
            its error is biased by; None of every other measurement.
        paired: Of a verification that ended early, its errors relative to a run of all of the
            utterances; its level follows from that run's. None of every other measurement.
        replaces: Key of the measurement of the same run before its data set said something else,
            such as who speaks; none of most.
    """

    key: str
    study: str
    configuration: Configuration
    source: Source
    provenance: str
    dataset: DatasetInfo
    metric: Metric
    errors: ErrorCounts | None = None
    utterance_errors: tuple[tuple[Count, Count], ...] = ()
    windows: Count | None = None
    retried: Count | None = None
    speakers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    flops_counted: Amount | None = None
    flops_per_audio_s: Amount | None = None
    published_gflops: tuple[Amount, str] | None = None
    timings: tuple[TimingSample, ...] = ()
    rtf: dict[str, Amount] = Field(default_factory=dict)
    rtf_interval: dict[str, tuple[Amount, Amount]] = Field(default_factory=dict)
    latency: LatencySummary | None = None
    rtfx: Amount | None = None
    rtfx_batch_size: Count | None = None
    others_cpu_share: Amount | None = None
    processor_speed: Amount | None = None
    weights_bytes: Count | None = None
    peak_memory_bytes: Count | None = None
    peak_allocated_bytes: Count | None = None
    joules_per_audio_second: Amount | None = None
    device: DeviceInfo | None = None
    fingerprint: Fingerprint | None = None
    adapter: AdapterInfo | None = None
    software: dict[str, str] = Field(default_factory=dict)
    created_at: datetime | None = None
    ended: Literal["better", "worse"] | None = None
    paired: PairedRatio | None = None
    replaces: str | None = None

    @model_validator(mode="after")
    def _ends_in_order(self) -> Self:
        for lower, upper in self.rtf_interval.values():
            _in_order(lower=lower, upper=upper)
        return self

    @model_validator(mode="before")
    @classmethod
    def _derived_anew(cls, given: Any) -> Any:
        if isinstance(given, dict) and "dominant_utterance" in given:
            return {name: value for name, value in given.items() if name != "dominant_utterance"}
        return given

    @computed_field  # type: ignore[prop-decorator]
    @property
    def dominant_utterance(self) -> DominantUtterance | None:
        """The utterance that holds most errors, where one does."""
        counts = [wrong for wrong, _ in self.utterance_errors]
        most = max(counts, default=0)
        if len(counts) < 2 or most < _DOMINANT_ERRORS or 2 * most < sum(counts):
            return None
        return DominantUtterance(position=counts.index(most), errors=most, share=most / sum(counts))


class DeviceTiming(Record):
    """One configuration, timed on one device with random weights.

    Attributes:
        key: SHA-256 of the configuration, the device and the protocol; a failure has
            one of its own.
        device: Where.
        configuration: What ran: recognition, or for ``ser`` the encoder alone;
            ``batch_size`` windows of noise together, each as full as speech may be.
        protocol: How it was timed.
        output_tokens: Tokens decoded in every window, whatever they were; none of an
            encoder alone.
        samples: Timed runs, raw; each of the whole batch.
        warmed_up: Whether a pass came before them; the slowest are not run for nothing.
        load_s: Seconds that making the model took.
        rtf: Seconds of computing per second of audio, by phase and ``total``.
        rtf_interval: 95 % intervals of it; none with few repeats.
        baseline_memory_bytes: Memory in use before the model was made.
        peak_memory_bytes: Peak while it ran: resident (CPU) or reserved (CUDA).
        peak_allocated_bytes: What tensors took of it (CUDA).
        predicted_memory_bytes: Closed form, by part.
        memory_protocol: How memory was taken; none of timings whose process kept what loading
            had freed, so that their peaks on a CPU say nothing of a configuration.
        joules_per_audio_second: Energy of the whole board, by NVML; none where it is
            not counted.
        others_cpu_share: Share of the machine's processors that other processes took
            meanwhile.
        processor_speed: Of the processors meanwhile, as a share of the fastest seen.
        fingerprint: How fast the device was.
        failure: Why there are no samples.
        software: Versions that matter.
        created_at: When it was finished.
    """

    key: str
    device: DeviceInfo
    configuration: Configuration
    protocol: str
    output_tokens: int | None = None
    samples: tuple[TimingSample, ...] = ()
    warmed_up: bool = True
    load_s: float | None = None
    rtf: dict[str, float] = Field(default_factory=dict)
    rtf_interval: dict[str, tuple[float, float]] = Field(default_factory=dict)
    baseline_memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    peak_allocated_bytes: int | None = None
    predicted_memory_bytes: dict[str, int] = Field(default_factory=dict)
    memory_protocol: str | None = None
    joules_per_audio_second: float | None = None
    others_cpu_share: Amount | None = None
    processor_speed: Amount | None = None
    fingerprint: Fingerprint | None = None
    failure: str | None = None
    software: dict[str, str] = Field(default_factory=dict)
    created_at: datetime | None = None


class UtteranceResult(Record):
    """One utterance of a measurement; also the checkpoint of a run.

    Attributes:
        utterance: Its id.
        audio_s: Its duration.
        substitutions: Words replaced.
        deletions: Words left out.
        insertions: Words added.
        reference_words: Words of the normalised reference.
        hypothesis: The transcript as decoded.
        passes: Encoder frames and decoded tokens, end of text included, of every
            forward pass; a window that was run again counts twice.
        text_tokens: Tokens of the transcript.
        windows: Windows that the audio was cut into.
        retried: Windows that ran away and were run again in the model's full window.
        cut_short: Windows whose decoding was stopped in the end.
        audio_sha256: SHA-256 of the audio file; none of what was measured before it was noted.
    """

    utterance: str
    audio_s: float
    substitutions: int
    deletions: int
    insertions: int
    reference_words: int
    hypothesis: str
    passes: tuple[tuple[int, int], ...] = ()
    text_tokens: int = 0
    windows: int = 1
    retried: int = 0
    cut_short: int = 0
    audio_sha256: str | None = None

    @property
    def errors(self) -> int:
        """Word errors; of a clip 1 where another emotion was recognised."""
        return self.substitutions + self.deletions + self.insertions


def measurement_key(
    configuration: Configuration,
    fingerprint: str,
    device_id: str,
    protocol: str,
    adapter: str | None = None,
    *,
    weights: str | None = None,
    seed: int = 0,
    language: str | None = None,
) -> str:
    """Key of a measurement by its content.

    It can't be made again from a stored record, which has neither the protocol, the
    identity of other weights, nor the seed.

    Args:
        configuration: What is run.
        fingerprint: Of the speech.
        device_id: Where.
        protocol: How.
        adapter: Key of the adapter it runs with, if any.
        weights: SHA-256 of the weights, unless they are the model's own.
        seed: Seed of what is trained on the way; 0 where nothing is.
        language: What the model is told to hear, unless that is English; none in SER.
    """
    parts: list[object] = [configuration.key, fingerprint, device_id, protocol]
    if adapter is not None:
        parts.append(adapter)
    if weights is not None:
        parts.append({"weights": weights})
    if seed:
        parts.append({"seed": seed})
    if language is not None and language != ENGLISH:
        parts.append({"language": language})
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _in_order(**ends: float | None) -> None:
    """Refuses an interval whose ends are not on their sides."""
    given = [(name, value) for name, value in ends.items() if value is not None]
    for (low, a), (high, b) in pairwise(given):
        if a > b + _ROUNDING:
            raise ValueError(f"{low} {a:g} is above {high} {b:g}")
