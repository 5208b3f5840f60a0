"""Measures no more utterances than it takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from measurements.evaluation import Evaluation
from measurements.progress import Progress
from measurements.records import Measurement
from measurements.scoring import errors_of, word_error_rate

MINIMUM = 100
GROWTH = 1.25
LOOKS = 2
"""How often in a row the interval has to be narrow enough: a lucky look is not."""


@dataclass
class Stages:
    """A run over more and more utterances.

    They are taken in the seeded random order of :meth:`Dataset.limited`, never by
    length, so what is measured up to a stage is that of ``--limit n --seed s``: one of a
    random subset, with its own fingerprint, complete in itself. What was evaluated at a
    smaller n is carried on to the next and, should the run be stopped, found again.

    Attributes:
        whole: The run over all of the data set.
        sizes: Utterances after each stage.
        command: The command that repeats it on so many.
    """

    whole: Evaluation
    sizes: Sequence[int]
    command: Callable[[int], str]
    _made: dict[int, Evaluation] = field(default_factory=dict)

    def at(self, stage: int) -> Evaluation:
        """The run up to a stage, knowing what was found up to the one before."""
        if stage not in self._made:
            before = self.at(stage - 1) if stage else self.whole
            speech = self.whole.dataset.limited(self.sizes[stage], self.whole.seed)
            self._made[stage] = before.on(speech, self.command(self.sizes[stage]))
            _carry_on(before, self._made[stage])
        return self._made[stage]


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
    total = min(len(evaluation.dataset.utterances), most or math.inf)
    stages, narrow = Stages(evaluation, list(sizes(total)), command), 0
    for stage in range(len(stages.sizes)):
        evaluation = stages.at(stage)
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
    if not any(result.reference_words for result in results):
        return math.inf
    speakers = evaluation.dataset.speakers_of([r.utterance for r in results])
    interval = word_error_rate(errors_of(results), speakers=speakers, seed=evaluation.seed)
    return (interval.upper - interval.lower) / 2
