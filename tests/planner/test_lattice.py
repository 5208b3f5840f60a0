"""Columns say of every configuration what the configuration itself says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_registry import MODELS, Configuration
from planner.arrays import Labels
from planner.lattice import Lattice

KINDS = [
    {"model": "tiny.en"},
    {"model": "base", "window_s": 8.0, "token_stride": 1.5, "reduction_layer": 0},
    {"model": "base", "window_s": 8.0, "token_stride": 1.5, "reduction": "pick"},
    {"model": "base", "window_policy": "ladder"},
    {"model": "base", "window_policy": "ladder", "tail_s": 2.0, "precision": "int8"},
    {"model": "base", "window_policy": "ladder", "adapter": "lora", "rank": 8},
    {
        "model": "base",
        "window_policy": "ladder",
        "adapter": "dama",
        "rank": 8,
        "recipe": "self-distilled",
        "unfrozen_layers": 1,
    },
    {"model": "large-v3", "window_policy": "truncate", "window_s": 15.0, "batch_size": 4},
]
SER = [
    {"model": "hubert-base", "window_s": 3.0, "exit_layer": 4, "readout": "attentive"},
    {"model": "tiny.en", "window_s": 2.0, "token_stride": 2, "reduction_layer": 1},
]


def configurations(kinds, **more):
    return [Configuration(**kind, **more) for kind in kinds]


@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_rows_come_back_as_they_went_in(kinds):
    chosen = configurations(kinds)
    lattice = Lattice.of(chosen)
    assert [lattice[row] for row in range(len(lattice))] == chosen
    assert len({*lattice.hashes.tolist()}) == len({c.key for c in chosen})
    assert [lattice[row] for row in lattice.rows_of(chosen)] == chosen


@pytest.mark.parametrize("task", ["asr", "ser"])
def test_columns_are_the_configurations_own(task):
    chosen = configurations(KINDS) if task == "asr" else configurations(SER, task="ser")
    lattice = Lattice.of(chosen)
    assert lattice.parameters.tolist() == [c.architecture.parameters for c in chosen]
    assert lattice.silence_s.tolist() == [c.silence_s for c in chosen]
    assert lattice.speech_s.tolist() == [c.speech_s for c in chosen]
    last = [c.exit_layer or c.architecture.encoder_layers for c in chosen]
    assert lattice.last_layer.tolist() == last


def test_a_product_is_every_combination_once():
    reductions = [(1.0, 1.0), *((s, d) for s in (1.5, 2.0, 3.0) for d in (0.0, 0.5, 1.0))]
    windows = [*(("chunk", w) for w in (6.0, 8.0, 10.0, 12.0, 15.0, 20.0, 25.0, 30.0))]
    windows.append(("ladder", 30.0))
    models = ("whisper-tiny.en", "whisper-base", "whisper-large-v3")
    lattice = Lattice.product(models, windows, reductions, ("fp32", "int8"))
    expected = [
        Configuration(
            model=model,
            window_policy=policy,
            window_s=window_s,
            token_stride=stride,
            reduction_layer=int(depth * MODELS.get(model).encoder_layers),
            precision=precision,
        )
        for model in models
        for policy, window_s in windows
        for stride, depth in reductions
        for precision in ("fp32", "int8")
    ]
    assert {lattice[row] for row in range(len(lattice))} == set(expected)
    assert len(lattice) == len(expected)
    assert (lattice.rows_of(expected) >= 0).all()


def test_joining_keeps_each_row_once():
    first, second = configurations(KINDS[:5]), configurations(KINDS[3:])
    joined = Lattice.of(first).joined(Lattice.of(second))
    assert [joined[row] for row in range(len(joined))] == configurations(KINDS)
    missing = Configuration(model="small.en")
    assert joined.rows_of([missing, first[2]]).tolist() == [-1, 2]
    assert Lattice.of([], "asr").rows_of([missing]).tolist() == [-1]
    assert len(joined.take(joined.labels["precision"].mask("int8"))) == 1


def test_labels():
    labels = Labels.of(["b", "a", "b"])
    assert [labels[i] for i in range(3)] == ["b", "a", "b"]
    assert labels.mask("b").tolist() == [True, False, True]
    both = labels.joined(Labels.of(["c", "b"]))
    assert [both[i] for i in range(5)] == ["b", "a", "b", "c", "b"]
    assert Labels.of([]).mask("a").tolist() == []
    assert np.array_equal(labels.take(np.array([2])).codes, [0])


def test_tasks_do_not_share_rows():
    """Catches a timing of an encoder that answers for recognition by the same model."""
    shared = {"model": "base", "window_s": 10.0}
    asr = Configuration(**shared)
    ser = Configuration(task="ser", **shared)
    assert Lattice.of([asr]).hashes[0] != Lattice.of([ser]).hashes[0]
    assert Lattice.of([asr]).rows_of([ser, asr]).tolist() == [-1, 0]
    assert Lattice.of([ser]).rows_of([ser, asr]).tolist() == [0, -1]
