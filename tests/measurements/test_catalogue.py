"""The built-in catalogue: whole, sourced, and as published."""

import pytest

from measurements.adaptation.records import Hyperparameters, peak_learning_rate
from measurements.catalogue import HERE, catalogue
from measurements.commands import adapt_command
from measurements.studies import DEFAULT_STUDY, evidence_for, studies
from measurements.sweeps import SweepSpec
from planner.cost import pass_flops

SWEEPS = HERE / "sweeps"


def test_every_figure_has_its_source():
    assert len({m.key for m in catalogue()}) == len(catalogue())
    for measurement in catalogue():
        assert measurement.provenance
        assert 0 < measurement.metric.value < 1
        if measurement.source == "published":
            assert measurement.device is None


def test_the_published_tables_are_whole():
    published = [m for m in catalogue() if m.source == "published"]
    count = {}
    for measurement in published:
        count[measurement.study] = count.get(measurement.study, 0) + 1
    assert count == {
        "asr-librispeech-test-other-lora32": 11,
        "asr-librispeech-test-clean": 13,
        "asr-librispeech-test-other": 13,
        "ser-crema-d": 10,
    }
    tiny = next(
        m
        for m in published
        if m.configuration.model == "whisper-tiny.en" and m.study == "asr-librispeech-test-other"
    )
    assert tiny.metric.value == 0.1545


def test_published_gflops_follow_from_the_configuration():
    """The configurations read from the star sweep are the ones that were costed there."""
    for measurement in catalogue():
        if measurement.study != "asr-librispeech-test-other-lora32":
            continue
        gflops, convention = measurement.published_gflops
        flops = pass_flops(measurement.configuration, convention=convention).total / 1e9
        assert abs(flops / gflops - 1) < 0.04  # two rows decode 19 tokens, not 20


def test_adapters_say_what_trains_them():
    """Without it, ``measure --adapter`` finds none on another machine."""
    told = {}
    for m in catalogue():
        if m.adapter is None or m.configuration.task == "ser":
            continue
        c = m.configuration
        steps = 120 if c.model == "whisper-base" else 60
        told[m.adapter.key] = m.adapter.command
        assert m.adapter.command == adapt_command(
            c,
            "librispeech:librispeech-mini",
            Hyperparameters(steps=steps, learning_rate=peak_learning_rate(c)),
            subset="train-clean-100",
        )
    assert len(set(told.values())) == len(told) == 11


def test_default_studies_exist_and_every_study_can_be_asked():
    names = {study.id for study in studies(None)}
    assert set(DEFAULT_STUDY.values()) <= names
    for study in studies(None):
        evidence = evidence_for(study.task, study.id, None)
        assert evidence.study == study.id
        assert all(o.error > 0 for o in evidence.observations)


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_sweeps_behind_it_can_be_run_again(path):
    """A field that was renamed would leave the catalogue without its source."""
    spec = SweepSpec.read(path)
    configurations = spec.configurations()
    assert len(configurations) == len(set(configurations)) > 1
