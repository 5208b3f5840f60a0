"""How far a run is; apart from the evaluation itself, which needs torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        phase: What is going on, for example ``transcribing``, ``timing`` or ``done``.
        done: Utterances finished, those of an earlier try included.
        total: Utterances altogether.
        metric: ``wer``, ``ua`` or, of a training, ``loss``.
        value: The metric so far; none before there is one.
        elapsed_s: Seconds since this try began.
        left_s: Seconds to go, at the pace so far.
    """

    phase: str
    done: int
    total: int
    metric: str = "wer"
    value: float | None = None
    elapsed_s: float = 0.0
    left_s: float | None = None
