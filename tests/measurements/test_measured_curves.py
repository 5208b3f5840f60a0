"""Measured curves: what lies on one, and what it is compared with."""

import json
from datetime import timedelta

import pytest

from measurements.catalogue import catalogue
from measurements.comparison import compare
from measurements.measured_curves import measured_curves
from measurements.naming import AmbiguousNameError, named, pair
from models_registry import Configuration, UnknownNameError

STUDY = [m for m in catalogue() if m.study == "asr-librispeech-mini-test-other"]


def test_windows_of_the_catalogue():
    (curve,) = measured_curves(STUDY, axes=["window_s"], model="whisper-tiny.en")
    values = [p.value for p in curve.points]
    assert values == sorted(values)
    assert len(values) >= 6
    rest = {p.configuration.model_dump_json(exclude={"window_s"}) for p in curve.points}
    assert len(rest) == 1
    by_key = {m.key: m for m in STUDY}
    for point in curve.points:
        assert point.command == by_key[point.key].provenance
        assert point.metric == by_key[point.key].metric
        if point.key == curve.reference:
            assert point.comparison is None
            continue
        found = compare(by_key[curve.reference], by_key[point.key], test=False)
        assert point.comparison == found


def test_a_measurement_made_again_takes_the_place_of_the_old_one():
    """Or every axis of a study gains a curve through one configuration twice."""
    again = [
        m.model_copy(update={"key": m.key[::-1], "created_at": m.created_at + timedelta(days=1)})
        for m in STUDY
    ]
    curves = measured_curves([*again, *STUDY], model="whisper-tiny.en")
    before = measured_curves(STUDY, model="whisper-tiny.en")
    assert [c.axis for c in curves] == [c.axis for c in before]
    assert {p.key for c in curves for p in c.points} <= {m.key for m in again}


def test_strides_are_a_curve_for_each_layer():
    curves = measured_curves(STUDY, axes=["token_stride"], model="whisper-base")
    assert len(curves) >= 2
    layers = set()
    for curve in curves:
        strided = [p.configuration for p in curve.points if p.configuration.token_stride > 1]
        assert len({c.reduction_layer for c in strided}) == 1
        layers.add(strided[0].reduction_layer)
        assert curve.points[0].value == 1
        assert len({c.window_s for c in strided}) == 1
    assert len(layers) == len(curves)


def test_ranks_and_silences_have_curves_away_from_the_centre():
    """Neither means anything to the plain model, which they are compared with all the same."""
    (plain,) = (m for m in STUDY if m.configuration == Configuration(model="tiny.en"))

    def copies(name, values, **options):
        for value in values:
            chosen = Configuration(model="tiny.en", **options, **{name: value})
            yield plain.model_copy(update={"key": chosen.key, "configuration": chosen})

    lora = copies("rank", (8, 2), adapter="lora", window_policy="ladder")
    dama = copies("rank", (4,), adapter="dama", window_policy="ladder")
    tails = copies("tail_s", (2, 0.5, 0), window_policy="ladder")
    found = measured_curves([*lora, *dama, *tails, *STUDY], axes=["rank", "tail_s"])
    drawn = [(c.axis, c.at, [p.value for p in c.points]) for c in found]
    assert drawn == [
        ("rank", "whisper-tiny.en, windows up to 30 s, lora", [2, 8]),
        ("tail_s", "whisper-tiny.en, windows up to 30 s", [0, 0.5, 2]),
    ]
    (centre,) = {c.reference for c in found}
    expected = compare(next(m for m in STUDY if m.key == centre), plain, test=False).difference
    assert {p.comparison.difference for c in found for p in c.points} == {expected}


def emotion(exit_layer, wrong):
    """A measured SER configuration: 8 utterances of two emotions by four speakers."""
    base = next(m for m in catalogue() if m.configuration.task == "ser")
    labels = ("angry", "calm") * 4
    ua = 1 - (sum(wrong[0::2]) + sum(wrong[1::2])) / 8
    return base.model_copy(
        update={
            "key": f"{exit_layer}{'0' * 63}",
            "source": "measured",
            "configuration": Configuration(
                task="ser", model="hubert-base", exit_layer=exit_layer, window_s=4
            ),
            "dataset": base.dataset.model_copy(update={"fingerprint": "f", "utterances": 8}),
            "metric": base.metric.model_copy(update={"name": "ua", "value": ua}),
            "utterance_errors": tuple((w, 1) for w in wrong),
            "labels": labels,
            "speakers": tuple("aabbccdd"),
        }
    )


def test_curves_of_accuracy_go_up():
    """A layer that is right more often is better by its UA, not by its errors."""
    group = [emotion(3, [1, 0, 1, 0, 1, 0, 0, 0]), emotion(6, [0] * 8), emotion(9, [0, 1] * 4)]
    (curve,) = measured_curves(group)
    assert curve.axis == "exit_layer"
    assert [p.value for p in curve.points] == [3, 6, 9]
    assert curve.reference == group[0].key
    assert curve.points[1].comparison.difference == pytest.approx(0.375)
    assert curve.points[1].comparison.by_speaker.units == 4


def test_names_of_measurements():
    one = STUDY[5]
    assert named(one.key[:12], STUDY) == [one]
    assert one in named(one.configuration.label(), STUDY)
    with pytest.raises(UnknownNameError, match="did you mean"):
        named(one.configuration.label()[:-1] + "x", STUDY)
    with pytest.raises(ValueError, match="unknown measurement 'zzzz': 'speechplan measurements'"):
        named("zzzz", STUDY)
    twins = [one, one.model_copy(update={"key": one.key[:-1] + "x"})]
    with pytest.raises(AmbiguousNameError, match="begins 2 keys"):
        named(one.key[:8], twins)


def test_a_configuration_s_file_names_its_measurement(tmp_path):
    one = STUDY[0]
    file = tmp_path / "plan.json"
    document = {"recommendation": {"configuration": one.configuration.model_dump(mode="json")}}
    file.write_text(json.dumps(document))
    assert pair(str(file), one.key, STUDY)[0] == one
    file.write_text("[1]")
    with pytest.raises(ValueError, match=r"plan\.json: holds no configuration"):
        named(str(file), STUDY)
    with pytest.raises(ValueError, match="No such file"):
        named(str(tmp_path / "none.json"), STUDY)
