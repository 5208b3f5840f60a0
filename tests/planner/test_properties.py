"""What holds of every answer: costs that rise, budgets that help, rows in any order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models_registry import MODELS, Configuration
from planner.cost import memory_bytes, utterance_flops
from planner.errors import NoFeasibleConfigurationError
from planner.evidence import Evidence
from planner.lattice import Lattice
from planner.question import Budget, Question
from planner.recommend import Planner
from planner.workload import Workload
from tests.planner.test_recommend import DEVICES, STAR, observed

LADDER = ("tiny", "base", "small", "medium", "large-v3")
SHORT = Workload(durations_s=(3.0,), tokens_per_audio_s=3.0)
BOUNDS = {
    "gflops_per_utterance": (10.0, 3000.0),
    "rtf": (0.02, 3.0),
    "memory_gib": (0.3, 8.0),
    "parameters": (4e7, 2e9),
}


def evidence(observations):
    return Evidence(task="asr", study="world", observations=tuple(observations), devices=DEVICES)


@pytest.fixture(scope="module")
def planner():
    return Planner(evidence(observed(STAR)))


@given(
    st.integers(0, len(LADDER) - 2),
    st.sampled_from([6.0, 10.0, 20.0, 30.0]),
    st.floats(1.0, 4.0),
    st.sampled_from([0.0, 0.5, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_a_larger_model_a_longer_window_and_more_tokens_cost_more(place, window_s, stride, depth):
    """FLOPs and memory along every axis: would catch a term with the wrong sign or layer."""

    def costs(model, window, factor, at):
        layers = MODELS.get(model).encoder_layers
        one = Configuration(
            model=model,
            window_s=window,
            token_stride=round(factor, 2),
            reduction_layer=round(at * layers) if round(factor, 2) > 1 else None,
        )
        return (
            utterance_flops(one, SHORT).total,
            sum(memory_bytes(one, output_tokens=30).values()),
        )

    model, larger = LADDER[place : place + 2]
    flops, memory = costs(model, window_s, stride, depth)
    more = costs(larger, window_s, stride, depth)
    assert more[0] > flops
    assert more[1] > memory
    if window_s < 30:
        # What is shorter than every window takes one, whose rest is silence.
        assert costs(model, window_s + 2, stride, depth)[0] > flops
    assert costs(model, window_s, stride + 0.5, depth)[0] <= flops
    if depth < 1:
        assert costs(model, window_s, stride, depth + 0.5)[0] >= flops


@given(st.sampled_from(LADDER), st.sampled_from([2, 4, 8, 16]), st.sampled_from([8.0, 30.0]))
@settings(max_examples=20, deadline=None)
def test_time_rises_with_the_model_and_the_work(planner, model, rank, window_s):
    """RTF of the device's model: monotone where FLOPs and bytes both are."""

    def rtf(**fields):
        one = Configuration(**{"model": model, "window_s": window_s, **fields})
        question = Question(budget=Budget(rtf=100.0), device="box")
        return float(planner.table(Lattice.of([one]), question).costs.centre["rtf"][0])

    own = rtf()
    place = LADDER.index(model)
    if place + 1 < len(LADDER):
        assert rtf(model=LADDER[place + 1]) > own
    assert rtf(token_stride=2.0, reduction_layer=0) < own


def answered(planner, bounds):
    try:
        return planner.recommend(Question(budget=Budget(**bounds), device="box"))
    except NoFeasibleConfigurationError:
        return None


@st.composite
def budgets(draw):
    names = draw(st.lists(st.sampled_from(sorted(BOUNDS)), min_size=1, unique=True))
    return {name: float(np.exp(draw(st.floats(*np.log(BOUNDS[name]).tolist())))) for name in names}


@given(budgets(), st.floats(1.0, 5.0))
@settings(max_examples=40, deadline=None)
def test_a_larger_budget_of_any_kind_never_predicts_worse(planner, bounds, factor):
    before = answered(planner, bounds)
    after = answered(planner, {name: bound * factor for name, bound in bounds.items()})
    if before is not None:
        assert after is not None
        assert after.predictions["wer"].mean <= before.predictions["wer"].mean + 1e-12


@given(st.permutations(range(len(STAR))))
@settings(max_examples=5, deadline=None)
def test_observations_in_any_order_give_the_same_answer(planner, order):
    known = observed(STAR)
    other = Planner(evidence([known[place] for place in order]))
    question = Question(budget=Budget(gflops_per_utterance=150))
    assert other.recommend(question) == planner.recommend(question)


@given(st.floats(0.3, 0.94))
@settings(max_examples=15, deadline=None)
def test_intervals_of_configurations_nest_and_draws_agree(planner, level):
    rows = Lattice.product(("tiny.en", "small"), [("chunk", w) for w in (8.0, 20.0)], [(1.0, 1.0)])
    narrow = planner.quality.predict(rows, level=level, draws=4000)
    wide = planner.quality.predict(rows, level=level + 0.05, draws=4000)
    assert (wide.lower <= narrow.lower).all()
    assert (narrow.upper <= wide.upper).all()
    for row in range(len(rows)):
        draws = narrow.draws_of(row)
        inside = ((narrow.lower[row] <= draws) & (draws <= narrow.upper[row])).mean()
        assert inside == pytest.approx(level, abs=0.06)
