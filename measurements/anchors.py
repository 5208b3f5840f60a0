"""What predictions may be judged by: runs on the same utterances, and speech that was not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import TYPE_CHECKING

from measurements.records import Measurement
from measurements.scores import PredictedRatio
from measurements.studies import all_measurements
from models_registry import Configuration
from planner.recommend import Planner

if TYPE_CHECKING:
    from measurements.store import Store


def is_fresh(
    audio: Set[str], speakers: Set[str], known: Iterable[Measurement], store: Store
) -> bool:
    """Whether nothing that was measured shares a recording or a speaker with some speech.

    Measurements of a study hold its speech's own difficulty, and so does what is predicted from
    them: only other speech shows how far off a level is.

    Args:
        audio: SHA-256 of the speech's audio files, as far as they are known.
        speakers: Who speaks, as far as it is known.
        known: What was measured of the study; figures published without their speech say nothing.
        store: Where its utterances are.
    """
    for m in known:
        if m.dataset.fingerprint is None:
            continue
        heard = {r.audio_sha256 for r in store.utterances(m.key)}
        # Without its recordings and speakers there is no telling.
        if not heard and not (m.speakers and speakers):
            return False
        if heard & audio or set(m.speakers) & speakers:
            return False
    return True


def predicted_ratios(
    planner: Planner, configurations: Sequence[Configuration], anchor: Measurement, level: float
) -> list[PredictedRatio]:
    """Predicted errors of configurations relative to one that was measured.

    Returns:
        One of each; nothing where the planner does not know the measurement.
    """
    to = anchor.configuration.unbatched
    known = [o for o in planner.evidence.in_study if o.configuration.unbatched == to]
    if not known or anchor.study != planner.evidence.study:
        return []
    log_se = min(o.own_log_se for o in known)
    return [
        PredictedRatio(to=to, measurement=anchor.key, predicted=predicted, log_se=log_se)
        for predicted in planner.ratios(configurations, to, level)
    ]


def ratios_to_known(
    planner: Planner, configurations: Sequence[Configuration], store: Store | None, level: float
) -> tuple[tuple[PredictedRatio, ...], ...]:
    """Predicted errors of configurations relative to the best on each speech of the study.

    Returns:
        Of each speech that was measured with errors by utterance, one of each configuration.
    """
    best: dict[tuple[str, int], Measurement] = {}
    for m in all_measurements(store, planner.evidence.task):
        if m.study != planner.evidence.study or not m.utterance_errors or m.paired is not None:
            continue
        if m.dataset.fingerprint is None:
            continue
        speech = m.dataset.fingerprint, len(m.utterance_errors)
        if speech not in best or m.metric.error < best[speech].metric.error:
            best[speech] = m
    found = (predicted_ratios(planner, configurations, m, level) for m in best.values())
    return tuple(tuple(ratios) for ratios in found if ratios)
