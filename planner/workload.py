"""What is served: how long the recordings are and how much is said in them."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from planner.ranges import ArrivalRate, DurationS, TokenRate, Weight

BINS = 20
"""Recordings of a workload are costed in so many groups of like duration, at most."""

UNLIKE = 0.1
"""Share of the audio from which recordings of other durations make an error a guess."""


TOKENS_PER_AUDIO_S = 3.0
"""Of read English, where nobody says how much is said."""


class Workload(BaseModel):
    """A histogram of recordings and the density of speech in them.

    Attributes:
        durations_s: Durations of recordings, in seconds.
        weights: How often each occurs; equally when left out.
        tokens_per_audio_s: Tokens a transcript has per second of audio, the end
            of text left out.
        max_batch_size: Recordings that may run together, where so many are at hand.
        arrivals_per_s: Recordings that come in a second, where it is known.
        source: Where the figures come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    durations_s: Annotated[tuple[DurationS, ...], Field(min_length=1, max_length=10_000)]
    weights: tuple[Weight, ...] | None = None
    tokens_per_audio_s: TokenRate = TOKENS_PER_AUDIO_S
    max_batch_size: Annotated[int, Field(ge=1, le=1024)] = 1
    arrivals_per_s: ArrivalRate | None = None
    source: str = "stated by the user"

    @model_validator(mode="after")
    def _same_length(self) -> Workload:
        if self.weights is not None and len(self.weights) != len(self.durations_s):
            raise ValueError(f"{len(self.durations_s)} durations have {len(self.weights)} weights")
        return self

    @classmethod
    def fixed(cls, duration_s: float) -> Workload:
        """Recordings that all last ``duration_s``."""
        return cls(durations_s=(duration_s,), source=f"every recording {duration_s:g} s")

    @property
    def durations(self) -> NDArray[np.float64]:
        """Durations in seconds, shape ``(bins,)``."""
        return np.array(self.durations_s)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of recordings in each bin, shape ``(bins,)``, adding up to 1."""
        weights: NDArray[np.float64] = np.array(self.weights or [1.0] * len(self.durations_s))
        weights /= weights.sum()
        return weights

    def duration_at(self, share: float) -> float:
        """Duration that a share of the recordings does not exceed, in seconds."""
        order = np.argsort(self.durations)
        reached = np.cumsum(self.shares[order])
        place = int(np.searchsorted(reached, share - 1e-9))
        return float(self.durations[order[min(place, len(order) - 1)]])

    def binned(self) -> Workload:
        """The same with few durations: of each of :data:`BINS` equal shares its mean."""
        if len(self.durations_s) <= BINS:
            return self
        order = np.argsort(self.durations, kind="stable")
        durations, shares = self.durations[order], self.shares[order]
        place = np.minimum((np.cumsum(shares) - shares / 2) * BINS, BINS - 1).astype(np.int64)
        weight = np.bincount(place, weights=shares, minlength=BINS)
        total = np.bincount(place, weights=shares * durations, minlength=BINS)
        kept = weight > 0
        means = (total[kept] / weight[kept]).tolist()
        return self.model_copy(
            update={"durations_s": tuple(means), "weights": tuple(weight[kept].tolist())}
        )

    def only(self, duration_s: float) -> Workload:
        """The same speech in recordings that all last so long."""
        return self.model_copy(update={"durations_s": (duration_s,), "weights": None})

    def same_recordings(self, other: Workload) -> bool:
        """Whether its recordings are those of another, however they are served."""
        return (self.durations_s, self.weights) == (other.durations_s, other.weights)

    def outside(self, other: Workload) -> dict[Literal["shorter", "longer"], float]:
        """Shares of the audio in recordings shorter, and longer, than any of another workload."""
        audio = self.durations * self.shares
        audio /= audio.sum()
        return {
            "shorter": float(audio[self.durations < other.durations.min()].sum()),
            "longer": float(audio[self.durations > other.durations.max()].sum()),
        }

    @property
    def mean_audio_s(self) -> float:
        """Mean duration of a recording, in seconds."""
        return float(self.durations @ self.shares)


DEFAULT_WORKLOAD = Workload(
    durations_s=(2.5, 3.2, 4.1, 4.5, 5.8, 6.9, 8.4, 9.7, 13.3, 17.1),
    source=(
        "read English: midpoints of the tenths of 70 LibriSpeech test-other utterances,"
        " their transcripts in Whisper tokens"
    ),
)
"""What a question that names no workload is about: 7.6 s of audio on average."""

DEFAULT_EMOTION_WORKLOAD = Workload(
    durations_s=(1.5, 1.8, 2.1, 2.3, 2.5, 2.8, 3.1, 3.4, 3.8, 5.0),
    source=(
        "acted emotions: midpoints of the tenths of 372 EmoDB clips, for a study whose own"
        " durations are not known"
    ),
)
"""The same where emotions are read: 2.8 s of audio on average."""
