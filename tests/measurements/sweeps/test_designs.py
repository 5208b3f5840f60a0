"""Designs and specifications: which configurations a sweep measures."""

import json

import pytest
from pydantic import ValidationError

from measurements.sweeps.designs import grid, star
from measurements.sweeps.spec import Speech, SweepError, SweepSpec
from planner.cost import utterance_flops
from planner.workload import DEFAULT_WORKLOAD

DEMO = (Speech(dataset="demo"),)
AXES = {"window_s": (10, 20), "token_stride+reduction_layer": ((1.5, "stem"), (2, "middle"))}


def test_a_star_moves_one_axis_a_grid_all():
    axes = {"a": [{"a": 1}, {"a": 2}], "b": [{"b": 3, "c": 4}]}
    assert star(axes) == [{}, {"a": 1}, {"a": 2}, {"b": 3, "c": 4}]
    assert grid(axes) == [{"a": 1, "b": 3, "c": 4}, {"a": 2, "b": 3, "c": 4}]


def test_layers_by_name_follow_the_model():
    spec = SweepSpec(models=("tiny.en", "base"), speech=DEMO, centre={"window_s": 15}, axes=AXES)
    found = [
        (c.model, c.window_s, c.token_stride, c.reduction_layer) for c in spec.configurations()
    ]
    assert found == [
        (model, *rest)
        for model, middle in (("whisper-tiny.en", 2), ("whisper-base", 3))
        for rest in [
            (15, 1, None),
            (10, 1, None),
            (20, 1, None),
            (15, 1.5, 0),
            (15, 2, middle),
        ]
    ]


def test_points_that_run_alike_are_one():
    spec = SweepSpec(
        models=("tiny.en",),
        speech=DEMO,
        design="grid",
        axes={"token_stride": (1, 2), "reduction_layer": ("stem", "middle", "output")},
    )
    assert len(spec.configurations()) == 4


def test_iso_flops_holds_compute_and_moves_the_rest():
    axes = {
        "window_s": tuple(range(6, 31)),
        "token_stride+reduction_layer": AXES["token_stride+reduction_layer"],
    }
    spec = SweepSpec(
        models=("tiny.en",),
        speech=DEMO,
        design="iso-flops",
        axes=axes,
        budgets_gflops=(15, 25),
        tolerance=0.1,
    )
    found = spec.configurations()
    gflops = [utterance_flops(c, DEFAULT_WORKLOAD).total / 1e9 for c in found]
    assert all(min(abs(g / 15 - 1), abs(g / 25 - 1)) <= 0.1 for g in gflops)
    # At equal compute the one that reduces more sees a longer window.
    near = [c for c, g in zip(found, gflops, strict=True) if abs(g / 15 - 1) <= 0.1]
    by_stride = {s: max(c.window_s for c in near if c.token_stride == s) for s in (1.5, 2)}
    assert len({c.token_stride for c in near}) == 2
    assert by_stride[1.5] != by_stride[2]
    everything = spec.model_copy(update={"design": "grid", "budgets_gflops": ()}).configurations()
    left_out = set(everything) - set(found)
    assert left_out
    for c in left_out:
        g = utterance_flops(c, DEFAULT_WORKLOAD).total / 1e9
        assert min(abs(g / 15 - 1), abs(g / 25 - 1)) > 0.1
    with pytest.raises(SweepError, match="no combination lies within 10% of 3 GFLOPs"):
        spec.model_copy(update={"budgets_gflops": (3,)}).configurations()


def test_the_id_follows_the_content(tmp_path):
    spec = SweepSpec(models=("tiny.en",), speech=DEMO, axes=AXES)
    for name, content in (
        ("s.json", spec.model_dump_json()),
        (
            "s.yaml",
            "models: [tiny.en]\nspeech: [{dataset: demo}]\naxes:\n  window_s: [10, 20]\n"
            "  token_stride+reduction_layer: [[1.5, stem], [2, middle]]\n",
        ),
    ):
        (tmp_path / name).write_text(content)
        assert SweepSpec.read(tmp_path / name).key == spec.key
    assert spec.model_copy(update={"timing": False}).key != spec.key
    assert json.loads(spec.model_dump_json())["design"] == "star"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"axes": {"windows": (1,)}}, "'windows' is no axis: choose from adapter"),
        ({"axes": {"window_s": ()}}, "axis window_s has no values"),
        ({"axes": {"token_stride+reduction_layer": (2,)}}, "2 is not 2 values"),
        ({"centre": {"model": "base"}}, "'model' is no axis"),
        ({"design": "iso-flops"}, "budgets_gflops is for design iso-flops"),
        ({"runs": 5}, "runs is for design adaptive"),
        ({"design": "adaptive", "runs": 5, "speech": DEMO * 2}, "takes one data set"),
        ({"models": ()}, "at least one is needed"),
    ],
)
def test_specifications_that_make_no_sense(changes, said):
    document = {"models": ("tiny.en",), "speech": DEMO, "axes": AXES, **changes}
    with pytest.raises(ValidationError, match=said):
        SweepSpec(**document)


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"window_s": (10, 31)}, "tiny.en at window_s=31: window_s: 31 is above the 30 s"),
        ({"reduction_layer+token_stride": (("top", 2),)}, "'top' is no number nor stem, middle"),
        ({"precision": ("fp4",)}, "at precision=fp4: precision: Input should be 'fp32'"),
    ],
)
def test_points_that_are_no_configuration_name_the_value(axes, said):
    with pytest.raises(SweepError, match=said):
        SweepSpec(models=("tiny.en",), speech=DEMO, axes=axes).configurations()


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"- 1", "holds no object"), (b"{a: [", "neither JSON nor YAML"), (b"\xff", "neither JSON")],
)
def test_files_that_are_no_specification(tmp_path, content, said):
    (tmp_path / "s.yaml").write_bytes(content)
    with pytest.raises(SweepError, match=said) as caught:
        SweepSpec.read(tmp_path / "s.yaml")
    assert "\n" not in str(caught.value)
    with pytest.raises(SweepError, match="No such file"):
        SweepSpec.read(tmp_path / "none.yaml")
