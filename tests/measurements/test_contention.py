"""Timings beside other work: kept, marked, weighed little, no longer than their own processing."""

import numpy as np
import pytest

from measurements.catalogue import device_timings
from measurements.load import contention, slowdown_log_sd
from measurements.profiles import device_evidence
from planner.device import fit_device
from planner.device.work import run_work


@pytest.mark.parametrize(
    ("share", "speed", "slowed"),
    [(None, None, False), (0.05, 0.9, False), (0.2, None, True), (0.0, 0.3, True)],
)
def test_what_is_contended(share, speed, slowed):
    assert (contention(share, speed) is not None) is slowed
    assert (slowdown_log_sd(share, speed) > 0) is slowed


def test_the_more_is_taken_the_less_a_timing_says():
    assert slowdown_log_sd(0.86, None) > slowdown_log_sd(0.3, None) > 0
    assert np.isfinite(slowdown_log_sd(1.0, 0.0))


QUIET = [t for t in device_timings() if t.device.kind == "cpu"]
DEVICE = QUIET[0].device.id


def slowed(timing, times, cpu_share=None):
    """The same timing as it comes out while others take most of the processors."""
    samples = tuple(
        sample.model_copy(
            update={
                "phases_s": {phase: times * s for phase, s in sample.phases_s.items()},
                "cpu_s": cpu_share and cpu_share * times * sample.total_s,
            }
        )
        for sample in timing.samples
    )
    return timing.model_copy(update={"samples": samples, "others_cpu_share": 0.86})


def seconds(timings, configuration):
    known = device_evidence(timings)[DEVICE]
    model = fit_device(DEVICE, known)
    run = next(run for run in known.runs if run.configuration == configuration)
    return float(np.exp(model.log_seconds(run_work(run), configuration)[0][0])), model


def test_slow_timings_among_quiet_ones_hardly_move_the_fit():
    """Catches 20 s that cost 5 times 15 s, since a backup ran while they were timed."""
    chosen = [t for t in QUIET if t.configuration.task == "asr"]
    victims = [t for t in chosen if t.configuration.window_s == 20]
    assert len(victims) >= 5
    busy = [slowed(t, 5.0) if t in victims else t for t in chosen]
    unmarked = [t.model_copy(update={"others_cpu_share": None}) for t in busy]
    configuration = victims[0].configuration
    before, _ = seconds(chosen, configuration)
    after, model = seconds(busy, configuration)
    naive, unaware = seconds(unmarked, configuration)
    assert abs(np.log(after / before)) < 0.1
    assert configuration not in model.timed
    assert configuration in unaware.timed
    assert abs(np.log(naive / before)) > abs(np.log(after / before))


def test_processor_time_stands_for_the_time_that_was_waited():
    one = QUIET[0]
    (run, *_) = device_evidence([slowed(one, 4.0, cpu_share=0.5)])[DEVICE].runs
    # Two threads: at half a processor, a quarter of the wall seconds were its own.
    assert sum(run.phases_s.values()) == pytest.approx(one.samples[0].total_s)
    quiet = one.model_copy(
        update={
            "samples": tuple(s.model_copy(update={"cpu_s": 1.5 * s.total_s}) for s in one.samples)
        }
    )
    *_, last = device_evidence([quiet, slowed(one, 4.0, cpu_share=0.5)])[DEVICE].runs
    assert sum(last.phases_s.values()) == pytest.approx(4 * 0.5 / 1.5 * one.samples[-1].total_s)
    assert last.slowdown_log_sd > 0
