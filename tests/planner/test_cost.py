"""Properties of the closed forms, and the vectorised path against the scalar one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_registry import MODELS, Configuration
from planner.cost import memory_bytes, pass_flops, retried_together, utterance_flops
from planner.cost.passes import number_of_passes
from planner.costing import all_costs
from planner.device.memory import fit_own, runtime_of
from planner.evidence import Evidence
from planner.lattice import Lattice
from planner.question import Budget, Question
from planner.workload import DEFAULT_WORKLOAD, Workload

WHISPER = [m.name for m in MODELS if m.family == "whisper"]
COMPONENTS = ["stem", "encoder", "cross_kv", "decoder", "lm_head"]


def configurations():
    return st.builds(
        lambda model, frames, stride, depth: Configuration(
            model=model,
            window_s=frames / 50,
            token_stride=stride,
            reduction_layer=round(depth * MODELS.get(model).encoder_layers),
        ),
        st.sampled_from(WHISPER),
        st.integers(100, 1500),
        st.floats(1, 6),
        st.floats(0, 1),
    )


@given(configurations(), st.integers(1, 200))
def test_components_and_total(configuration, tokens):
    for convention in ("counted-1", "seed-2606.22790"):
        flops = pass_flops(configuration, output_tokens=tokens, convention=convention)
        assert list(flops.components) == COMPONENTS
        assert flops.total == sum(flops.components.values())
        assert flops.convention == convention


@given(configurations(), st.integers(1, 199))
def test_counts_are_whole_numbers_that_grow_with_every_axis(configuration, tokens):
    def total(output_tokens=tokens, **changes):
        changed = Configuration(**{**configuration.model_dump(), **changes})
        return pass_flops(changed, output_tokens=output_tokens).total

    flops = total()
    assert isinstance(flops, int)
    assert total(output_tokens=tokens + 1) > flops
    if configuration.window_s < 29:
        assert total(window_s=configuration.window_s + 1) > flops
    assert total(token_stride=configuration.token_stride + 1) <= flops
    layer = configuration.reduction_layer
    if layer is not None and layer < MODELS.get(configuration.model).encoder_layers:
        assert total(reduction_layer=layer + 1) >= flops


@given(configurations())
def test_memory_grows_with_batch_and_shrinks_with_precision(configuration):
    one = memory_bytes(configuration, 20)
    two = memory_bytes(configuration.model_copy(update={"batch_size": 2}), 20)
    half = memory_bytes(configuration.model_copy(update={"precision": "bf16"}), 20)
    assert set(one) == {"weights", "kv_cache", "activations", "loading"}
    assert two["weights"] == one["weights"]
    # A window that runs away needs the full one: a second short one may cost nothing more.
    assert sum(one.values()) <= sum(two.values())
    full = configuration.model_copy(update={"window_s": 30.0})
    for kind in ("cpu", "cuda"):
        alone = memory_bytes(full, 20, kind)
        doubled = memory_bytes(full.model_copy(update={"batch_size": 2}), 20, kind)
        assert doubled["kv_cache"] == 2 * alone["kv_cache"]
        running = [m["kv_cache"] + m["activations"] for m in (alone, doubled)]
        if kind == "cuda":
            assert running[1] == pytest.approx(2 * running[0], abs=2)
        else:
            # Windows are encoded one after another there.
            assert running[0] < running[1] <= 2 * running[0] + 2
    assert 2 * half["weights"] == pytest.approx(one["weights"], rel=1e-6)
    eight = memory_bytes(configuration.model_copy(update={"precision": "int8"}), 20)
    assert eight["weights"] < one["weights"]


def test_loading_takes_more_than_running_where_weights_shrink_behind_it():
    def parts(kind="cpu", **fields):
        return memory_bytes(Configuration(model="large-v3", **fields), 20, kind)

    for precision in ("fp32", "bf16"):
        assert parts(precision=precision)["loading"] == 0
    eight = parts(precision="int8")
    whole = 4 * Configuration(model="large-v3").architecture.parameters
    running = eight["weights"] + eight["kv_cache"] + eight["activations"]
    assert eight["loading"] == pytest.approx(whole - 60e6 - running, rel=1e-6)
    # On CUDA the host has loaded it; what is quantised there was in 16 bits.
    assert 0 < parts("cuda", precision="int8")["loading"] < eight["loading"]
    # An adapter is merged in 32 bits.
    assert parts(precision="bf16", adapter="lora", rank=8)["loading"] > 0
    assert parts(adapter="lora", rank=8)["loading"] == 0


def test_windows_that_are_run_again_together_take_the_full_one_each():
    short = Configuration(model="base", window_s=5, batch_size=8)
    never, once, thrice = (
        memory_bytes(short, 20, kind, retried=n) for kind, n in (("cpu", 0), ("cpu", 1), ("cpu", 3))
    )
    assert never["kv_cache"] < once["kv_cache"] * 1.4
    assert 2 * once["kv_cache"] < 2 * thrice["kv_cache"] <= 6 * once["kv_cache"]
    assert retried_together(0.0, 8) == 1
    assert retried_together(0.1, 1) == 1
    assert 1 < retried_together(0.1, 8) < 8
    assert retried_together(0.9, 8) == 8


def test_a_long_recording_takes_several_passes():
    assert number_of_passes(np.array([5.0, 30.0, 30.1, 90.0]), 30.0).tolist() == [1, 1, 2, 3]
    assert number_of_passes(np.array([5.0, 90.0]), 30.0, truncate=True).tolist() == [1, 1]
    base = Configuration(model="base")
    one = utterance_flops(base, Workload.fixed(30)).total
    two = utterance_flops(base, Workload.fixed(50)).total
    three = utterance_flops(base, Workload.fixed(90)).total
    assert two == pytest.approx(2 * one, rel=0.05)
    # Where speech has to be cut the pieces share some, for which three windows are too few.
    assert three == pytest.approx(4 * one, rel=0.05)


def test_a_workload_s_cost_is_the_mean_of_its_recordings():
    base = Configuration(model="base", window_s=15)
    short = utterance_flops(base, Workload.fixed(4)).total
    long = utterance_flops(base, Workload.fixed(14)).total
    mixed = Workload(durations_s=(4, 14), weights=(3, 1))
    fixed = Workload.fixed(4).tokens_per_audio_s
    mixed = mixed.model_copy(update={"tokens_per_audio_s": fixed})
    assert utterance_flops(base, mixed).total == pytest.approx(0.75 * short + 0.25 * long)


@given(st.lists(configurations(), min_size=1, max_size=8, unique=True))
def test_columns_equal_the_rows_one_by_one(rows):
    """The lattice's vectorised costs against the scalar functions."""
    question = Question(budget=Budget(gflops_per_utterance=1))
    evidence = Evidence(task="asr", study="s", observations=(), workload=DEFAULT_WORKLOAD)
    costs = all_costs(Lattice.of(rows), question, evidence, None)
    for row, configuration in enumerate(rows):
        flops = utterance_flops(configuration, DEFAULT_WORKLOAD).total
        assert costs.centre["gflops_per_utterance"][row] == pytest.approx(flops / 1e9)
        longest = min(configuration.speech_s, 17.1)
        memory = memory_bytes(configuration, 1 + 3.0 * longest)
        factor = np.exp(fit_own((), "cpu").log[0])
        peak = runtime_of((), "cpu", "fp32").bytes + factor * sum(memory.values())
        assert costs.centre["memory_gib"][row] == pytest.approx(peak / 2**30)


def test_seed_convention_is_refused_where_it_says_nothing():
    with pytest.raises(ValueError, match="covers Whisper for asr only"):
        pass_flops(Configuration(task="ser", model="base"), convention="seed-2606.22790")


def test_early_exit_and_stride_save_in_speech_encoders():
    full = pass_flops(Configuration(task="ser", model="wav2vec2-base", window_s=4)).total
    exited = pass_flops(
        Configuration(task="ser", model="wav2vec2-base", window_s=4, exit_layer=6)
    ).total
    assert exited < 0.7 * full
    whisper = pass_flops(Configuration(task="ser", model="base", window_s=4, exit_layer=3))
    assert list(whisper.components) == ["stem", "encoder", "head"]


@pytest.mark.parametrize(
    "workload",
    [
        {"durations_s": ()},
        {"durations_s": (0.0,)},
        {"durations_s": (float("inf"),)},
        {"durations_s": (1.0,), "weights": (1.0, 2.0)},
        {"durations_s": (1.0,), "tokens_per_audio_s": -1},
    ],
)
def test_impossible_workloads_are_refused(workload):
    with pytest.raises(ValueError, match=r"durations|weights|greater|finite|at least"):
        Workload(**workload)


@given(
    st.lists(st.floats(0.5, 80), min_size=1, max_size=6),
    st.sampled_from(["chunk", "ladder"]),
    st.floats(6, 30).map(round),
    st.floats(0, 3).map(lambda x: round(x, 1)),
    st.floats(0, 1),
)
def test_a_recording_costs_what_its_passes_cost(durations_s, policy, window_s, tail_s, retries):
    """The vectorised cost against one pass after another, as the loaded model makes them."""
    c = Configuration(model="base", window_policy=policy, window_s=window_s, tail_s=tail_s)
    workload = Workload(durations_s=tuple(durations_s), tokens_per_audio_s=3.0)
    total = 0.0
    for duration_s in durations_s:
        step_s = c.speech_s - min(2.0, c.speech_s / 4)
        windows = 1 + max(0, int(np.ceil((duration_s - c.speech_s) / step_s - 1e-9)))
        tokens = 1 + 3.0 * duration_s / windows
        once = pass_flops(c, frames=c.frames_for(duration_s / windows), output_tokens=tokens)
        again = pass_flops(c, frames=1500, output_tokens=tokens)
        total += windows * (float(once.total) + retries * float(again.total))
    found = utterance_flops(c, workload, retries=retries).total
    assert found == pytest.approx(total / len(durations_s))
