"""Measures no more utterances than the interval of the WER needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from measurements.evaluation import Evaluation
from measurements.progress import Progress
from measurements.records import Measurement
from measurements.scoring import errors_of, word_error_rate

MINIMUM = 100
GROWTH = 1.25
LOOKS = 2
"""How often in a row the interval has to be narrow enough: a lucky look is not."""


def sizes(total: float) -> Iterator[int]:
    """Numbers of utterances after which the interval is looked at; the last is all of them."""
    size = MINIMUM
    while size < total:
        yield size
        size = math.ceil(size * GROWTH)
    yield int(total)


def run_until(
    evaluation: Evaluation,
    halfwidth: float,
    *,
    command: Callable[[int], str],
    most: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Measurement:
    """Evaluates more and more utterances until the interval of their WER is narrow.

    They are taken in the seeded random order of :meth:`Dataset.limited`, never by
    length, so the measurement is that of ``--limit n --seed s`` with the n it stopped
    at: one of a random subset, with its own fingerprint, complete in itself. What
    was evaluated at a smaller n is carried on to the next and, should the run be
    stopped, found again.

    Looking often and stopping at the first narrow interval favours lucky intervals;
    two in a row are asked for, from 100 utterances on. On simulated speech of 10 % WER
    and very unequal utterances the 95 % interval at the stop covered 93, 92, 94 % for
    half widths of 0.03, 0.02, 0.01, where 100, 250, 1000 utterances fixed beforehand
    covered 92, 95, 94 %; the first narrow look, from 30 on, covered 87, 92, 95 %.

    Args:
        evaluation: The run over all of the data set.
        halfwidth: Half the width of the 95 % interval at which to stop, a fraction.
        command: The command that repeats it on so many utterances.
        most: Utterances that are not exceeded, however wide the interval.
        on_progress: Called as the run goes on.

    Raises:
        ValueError: The half width is not positive, or the task is not ASR.
        DatasetError: An audio file can't be read.
    """
    if evaluation.configuration.task != "asr":
        raise ValueError("stopping by the WER's interval is for asr")
    if not 0 < halfwidth < math.inf:
        raise ValueError(f"half width {halfwidth:g} is not a positive number")
    whole, narrow = evaluation.dataset, 0
    for size in sizes(min(len(whole.utterances), most or math.inf)):
        before = evaluation
        evaluation = before.on(whole.limited(size, evaluation.seed), command(size))
        _carry_on(before, evaluation)
        for index in range(len(evaluation.batches)):
            if evaluation.run_batch(index) and on_progress is not None:
                on_progress(evaluation.progress())
        narrow = narrow + 1 if _halfwidth(evaluation) <= halfwidth else 0
        if narrow >= LOOKS:
            break
    return evaluation.run(on_progress)


def _carry_on(before: Evaluation, evaluation: Evaluation) -> None:
    """Results of utterances that both are about become the later's too."""
    if before.key != evaluation.key:
        wanted = {utterance.id for utterance in evaluation.dataset.utterances}
        known = evaluation.store.utterances(before.key)
        evaluation.store.add_utterances(evaluation.key, (r for r in known if r.utterance in wanted))


def _halfwidth(evaluation: Evaluation) -> float:
    results = evaluation.store.utterances(evaluation.key)
    speakers = evaluation.dataset.speakers_of([r.utterance for r in results])
    interval = word_error_rate(errors_of(results), speakers=speakers, seed=evaluation.seed)
    return (interval.upper - interval.lower) / 2
