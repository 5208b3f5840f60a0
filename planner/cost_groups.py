"""Candidates that can be counted together, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models_registry import MODELS
from models_registry.architectures import FRAMES_PER_SECOND, WhisperArchitecture
from models_registry.configuration import Configuration, Precision
from planner.arrays import Array, Index, Mask
from planner.cost import (
    END_OF_TEXT,
    Convention,
    Passes,
    memory_bytes,
    passes_of,
    retried_together,
    utterance_flops,
    whisper_memory,
    whisper_utterance_flops,
)
from planner.cost.conventions import Number
from planner.device.work import Work, read_out_work, stacked, work
from planner.lattice import Lattice
from planner.retries import Rates
from planner.workload import Workload


def memory_of(
    configuration: Configuration, workload: Workload, kind: str = "cpu", retries: float = 0.0
) -> dict[str, int]:
    """Bytes by part of the closed form, for the most that a window of the workload can hold.

    Args:
        configuration: What runs.
        workload: On what.
        kind: Of the device, ``cpu`` or ``cuda``.
        retries: Share of windows that are run again.
    """
    longest_s = min(configuration.speech_s, float(workload.durations.max()))
    tokens = END_OF_TEXT + workload.tokens_per_audio_s * longest_s
    retried = float(retried_together(retries, configuration.batch_size))
    return memory_bytes(configuration, tokens, kind, retried=retried)


@dataclass(frozen=True)
class Group:
    """Rows of one model, precision and window policy, counted together.

    Attributes:
        lattice: The rows alone.
        rows: Where they are among all.
        retries: Shares of their windows that are run again.
    """

    lattice: Lattice
    rows: Index
    retries: Rates

    @property
    def precision(self) -> Precision:
        """Theirs."""
        return self.lattice.labels["precision"][0]  # type: ignore[return-value]

    def flops(self, workload: Workload, convention: Convention) -> Array:
        """FLOPs of a recording, the mean over a workload, and the spread of their log.

        Returns:
            Shape ``(n, 2)``; no spread where nothing can be run again and nothing has to be cut.
        """
        whisper = self._whisper()
        if whisper is None or convention != "counted-1":
            totals = (utterance_flops(c, workload, convention).total for c in self.lattice)
            expected = np.array([float(total) for total in totals])
            return np.column_stack([expected, np.zeros_like(expected)])
        counted, log_sd = whisper_utterance_flops(
            whisper,
            workload,
            self._passes(workload),
            token_stride=self._column("token_stride"),
            reduction_layer=self._reduction_layers(),
        )
        return np.column_stack([counted.total, log_sd])

    def memory_bytes(self, workload: Workload, kind: str, batch_size: int) -> Array:
        """Bytes for the most that a window can hold, shape ``(n,)``."""
        whisper = self._whisper()
        if whisper is None:
            rows = (c.model_copy(update={"batch_size": batch_size}) for c in self.lattice)
            return np.array([sum(memory_of(c, workload, kind).values()) for c in rows])
        speech_s = self.lattice.speech_s[:, None]
        longest_s = np.minimum(speech_s, workload.durations.max())
        truncates = self.lattice.labels["window_policy"][0] == "truncate"
        window_s = self.lattice.full_window_s if truncates else self.lattice.numbers["window_s"]
        parts = whisper_memory(
            whisper,
            np.rint(window_s * FRAMES_PER_SECOND)[:, None],
            precision=self.precision,
            token_stride=self._column("token_stride"),
            reduction_layer=self._reduction_layers(),
            output_tokens=END_OF_TEXT + workload.tokens_per_audio_s * longest_s,
            batch_size=batch_size,
            retried=retried_together(self.retries.mean[:, None], batch_size),
            adapted=self._adapted(),
            kind=kind,
        )
        total = np.asarray(sum(parts.values()), dtype=np.float64)
        return total.ravel()

    def work(self, workload: Workload) -> tuple[Work, Work]:
        """What a recording asks of a device, the mean over the workload.

        Returns:
            What is run once, and what is run again, which never shares a batch.
        """
        whisper = self._whisper()
        if whisper is None:
            rows = (round(c.window_s * FRAMES_PER_SECOND) for c in self.lattice)
            once = stacked([read_out_work(c, n) for c, n in zip(self.lattice, rows, strict=True)])
            return once, {phase: np.zeros_like(amounts) for phase, amounts in once.items()}
        passes = self._passes(workload)
        bins = len(workload.shares)

        def mean_work(frames: Number, windows: Array) -> Work:
            said = workload.tokens_per_audio_s * passes.heard_s / passes.windows
            amounts = work(
                whisper,
                frames=frames,
                token_stride=self._column("token_stride"),
                reduction_layer=self._reduction_layers(),
                precision=self.precision,
                windows=windows,
                output_tokens=windows * (END_OF_TEXT + said),
            )
            return {
                phase: np.einsum(
                    "b,rbk->rk", workload.shares, amount.reshape(-1, bins, amount.shape[1])
                )
                for phase, amount in amounts.items()
            }

        once = mean_work(passes.frames, passes.windows)
        # A rate of exactly none would divide by it.
        retried = np.maximum(passes.windows * passes.retries, 1e-12)
        return once, mean_work(passes.full_frames, retried)

    def _passes(self, workload: Workload) -> Passes:
        return passes_of(
            workload,
            policy=self.lattice.labels["window_policy"][0],  # type: ignore[arg-type]
            window_s=self.lattice.numbers["window_s"],
            speech_s=self.lattice.speech_s,
            silence_s=self.lattice.silence_s,
            full_window_s=float(self.lattice.full_window_s[0]),
            retries=self.retries.mean,
            retries_sd=self.retries.sd,
        )

    def _whisper(self) -> WhisperArchitecture | None:
        architecture = MODELS.get(self.lattice.labels["model"][0])
        if isinstance(architecture, WhisperArchitecture) and self.lattice.task == "asr":
            return architecture
        return None

    def _adapted(self) -> Mask:
        """Rows with an adapter, shape ``(n, 1)``."""
        return ~self.lattice.labels["adapter"].mask("none")[:, None]

    def _column(self, name: str) -> Array:
        return self.lattice.numbers[name][:, None]

    def _reduction_layers(self) -> Array:
        """Layers of reduction, shape ``(n, 1)``; the last where there is none."""
        layers = self.lattice.numbers["reduction_layer"]
        return np.where(np.isnan(layers), self.lattice.last_layer, layers)[:, None]


def groups_of(lattice: Lattice, retries: Rates) -> Iterator[Group]:
    """Groups of the rows.

    Args:
        lattice: The rows.
        retries: Shares of the windows of each that are run again.
    """
    code = np.zeros(len(lattice), dtype=np.int64)
    for name in ("model", "precision", "window_policy"):
        labels = lattice.labels[name]
        code = code * len(labels.names) + labels.codes
    order = np.argsort(code, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(code[order])) + 1):
        if rows.size:
            yield Group(lattice.take(rows), rows, Rates(retries.mean[rows], retries.sd[rows]))
