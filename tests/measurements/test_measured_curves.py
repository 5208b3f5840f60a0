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


def copies(configurations):
    """The plain model's measurement, as if it were that of others."""
    plain = next(m for m in STUDY if m.configuration == Configuration(model="tiny.en"))
    for chosen in configurations:
        yield plain.model_copy(update={"key": chosen.key, "configuration": chosen})


def test_each_kind_of_device_has_curves_of_its_own():
    """Or int8 of a processor would stand beside a GPU's, and one's times would hide the other's."""
    plain, coarse = copies([Configuration(model="tiny.en", precision=p) for p in ("fp32", "int8")])
    gpu = plain.device.model_copy(update={"id": "nvidia-h200", "kind": "cuda"})
    there = [
        m.model_copy(update={"key": m.key[::-1], "device": gpu, "rtf": {"total": 0.005}})
        for m in (plain, coarse)
    ]
    curves = measured_curves([plain, *there, coarse])
    assert [c.device for c in curves] == [plain.device.id, gpu.id]
    assert [{p.rtf for p in c.points} for c in curves] == [{plain.rtf["total"]}, {0.005}]


def test_strides_are_a_curve_for_each_layer_through_the_plain_model():
    strided = [
        Configuration(model="tiny.en", window_s=window_s, token_stride=s, reduction_layer=k)
        for window_s in (20, 30)
        for s, k in ((1, 0), (2, 0), (3, 0), (2, 2))
    ]
    curves = measured_curves(copies(strided), axes=["token_stride"])
    assert [[p.value for p in c.points] for c in curves] == [[1, 2, 3], [1, 2]]
    assert [c.points[-1].configuration.reduction_layer for c in curves] == [0, 2]
    assert {p.configuration.window_s for c in curves for p in c.points} == {30}
    assert {c.reference for c in curves} == {Configuration(model="tiny.en").key}


def test_a_curve_goes_on_where_another_device_measured_but_takes_no_times_from_it():
    plain, other = copies([Configuration(model="tiny.en", window_s=w) for w in (30, 20)])
    elsewhere = plain.device.model_copy(update={"id": "cpu-other-64t"})
    (curve,) = measured_curves([plain, other.model_copy(update={"device": elsewhere})])
    assert [p.value for p in curve.points] == [20, 30]
    assert curve.points[0].rtf is None
    assert curve.points[0].comparison.difference == 0
    assert curve.points[1].rtf > 0
    # What was timed is shown, though accuracy alone was measured later.
    later = plain.created_at + timedelta(days=1)
    untimed = plain.model_copy(update={"key": "u" * 64, "rtf": {}, "created_at": later})
    (curve,) = measured_curves([untimed, plain, other])
    assert plain.key in {p.key for p in curve.points}


def test_ranks_and_silences_have_curves_away_from_the_centre():
    """Neither means anything to the plain model, which they are compared with all the same."""
    ladder = {"model": "tiny.en", "window_policy": "ladder"}
    chosen = [Configuration(**ladder, tail_s=s) for s in (2, 0.5, 0)]
    chosen += [Configuration(**ladder, adapter="lora", rank=r) for r in (8, 2)]
    chosen += [Configuration(**ladder, adapter="dama", rank=4), Configuration(model="tiny.en")]
    found = measured_curves(copies(chosen), axes=["rank", "tail_s"])
    drawn = [(c.axis, c.at, [p.value for p in c.points]) for c in found]
    assert drawn == [
        ("rank", "whisper-tiny.en, windows up to 30 s, lora", [2, 8]),
        ("tail_s", "whisper-tiny.en, windows up to 30 s", [0, 0.5, 2]),
    ]
    assert {c.reference for c in found} == {Configuration(model="tiny.en").key}
    assert all(p.comparison.difference == 0 for c in found for p in c.points)


def test_the_window_recipe_is_held_against_the_full_window():
    """Ladders with a recipe are away from the centre, and would be on no curve."""
    found = measured_curves(STUDY, axes=["recipe"])
    by_at = {c.at: c for c in found}
    by_key = {m.key: m for m in STUDY}
    for model, points in (("whisper-tiny.en", 0.0), ("whisper-base", 0.30)):
        curve = by_at[f"{model}, windows up to 30 s"]
        assert [p.value for p in curve.points] == ["none", "lora rank 8, self-distilled"]
        full = by_key[curve.reference]
        assert full.configuration == Configuration(model=model)
        assert curve.against == f"{model}, window 30 s"
        recipe = curve.points[-1]
        assert recipe.comparison == compare(full, by_key[recipe.key], test=False)
        assert 100 * recipe.comparison.difference == pytest.approx(points, abs=0.005)
        assert recipe.flops_ratio == pytest.approx(0.27, abs=0.005)
        assert recipe.adapter_command.startswith("speechplan adapt")
    strided = by_at["whisper-tiny.en, windows up to 30 s, stride 2 after layer 2"]
    kinds = [(p.configuration.adapter, p.configuration.rank) for p in strided.points]
    adapted = [("dama", 15), ("dama", 28), ("full", None)]
    adapted += [("lora", rank) for rank in (2, 4, 8, 16, 32)]
    assert kinds == [("none", None), *adapted, ("partial", None)]
    assert len(found) == 3


def test_adapters_at_the_centre_are_a_curve_of_their_kind_not_of_recipes():
    adapted = {"model": "tiny.en", "adapter": "lora", "rank": 4}
    chosen = [Configuration(model="tiny.en"), Configuration(**adapted)]
    assert [c.axis for c in measured_curves(copies(chosen))] == ["adapter"]
    chosen.append(Configuration(**adapted, recipe="self-distilled"))
    found = measured_curves(copies(chosen), axes=["adapter", "recipe"])
    assert [c.axis for c in found] == ["adapter", "recipe"]


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
