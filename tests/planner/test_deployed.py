"""What devices have, and what is paid for them."""

from dataclasses import replace

import numpy as np
import pytest

from planner.costing import GIB
from planner.errors import NoFeasibleConfigurationError
from planner.evidence import Evidence
from planner.question import Budget, FrontQuestion, Question
from planner.recommend import Planner
from planner.workload import Workload
from tests.planner.test_recommend import DEVICES, STAR, observed

RECORDINGS = Workload(durations_s=(8.0,), tokens_per_audio_s=3.0, max_batch_size=32)
ARRIVING = RECORDINGS.model_copy(update={"arrivals_per_s": 3.0})


def with_memory(gib):
    return replace(DEVICES["box"], memory_bytes=gib * GIB)


@pytest.fixture(scope="module")
def planner():
    devices = {**DEVICES, "small": with_memory(2.0), "tiny": with_memory(1e-3)}
    return Planner(Evidence("asr", "world", tuple(observed(STAR)), devices=devices))


def asked(device, workload=RECORDINGS, **fields):
    budget = Budget(**{k: fields.pop(k) for k in list(fields) if k in Budget.model_fields})
    return Question(budget=budget, device=device, workload=workload, **fields)


def test_an_answer_fits_into_the_memory_of_its_device(planner):
    """Catches a batch of 64 that takes 42 GiB of a processor's 16."""
    free = planner.recommend(asked("box", rtf=10))
    assert free.predictions["memory_gib"].upper > 2
    held = planner.recommend(asked("small", rtf=10))
    as_budget = planner.recommend(asked("box", rtf=10, memory_gib=2.0))
    assert held.configuration == as_budget.configuration
    (rtf, memory) = held.budgets
    assert (rtf.name, rtf.of_device) == ("rtf", None)
    assert (memory.name, memory.bound, memory.of_device) == ("memory_gib", 2.0, "small")
    assert held.confidence.probability_within["memory_gib"] >= 0.9
    assert any("memory of small (2 GiB)" in reason for reason in held.reasons)


def test_the_tighter_of_a_budget_and_a_device_holds(planner):
    """Catches a budget that gives a device more memory than it has, or is forgotten for it."""
    bounds = [
        {b.name: b for b in planner.recommend(asked("small", rtf=10, memory_gib=gib)).budgets}
        for gib in (1.0, 50.0)
    ]
    assert bounds[0]["memory_gib"].bound == 1.0
    assert bounds[0]["memory_gib"].of_device is None
    assert bounds[1]["memory_gib"].of_device == "small"


def test_a_front_fits_too(planner):
    """Catches points of a front that the device can't hold."""
    axes = {"x": "rtf", "y": "memory_gib", "workload": RECORDINGS}
    front = planner.front(FrontQuestion(device="small", **axes))
    assert max(point.y.mean for point in front.points) <= 2
    answered = planner.recommend(asked("small", rtf=10)).pareto_front
    fitting = {p.configuration for p in answered.points}
    assert planner.allowed(asked("small", rtf=1e9), list(fitting)) == [True] * len(fitting)


def test_nothing_that_fits_is_said_to_be_the_device_s_fault(planner):
    """Catches an answer that can't be loaded where an error with its name is due."""
    with pytest.raises(NoFeasibleConfigurationError, match="memory of tiny") as caught:
        planner.recommend(asked("tiny", rtf=10))
    assert caught.value.details["binding"] == "memory_gib"
    assert caught.value.details["device"] == "tiny"
    with pytest.raises(NoFeasibleConfigurationError, match="memory of tiny"):
        planner.front(FrontQuestion(device="tiny", workload=RECORDINGS))


def test_money_is_what_the_devices_cost_that_keep_up(planner):
    """Catches a price of busy time beside five devices that are paid for whole."""
    answer = planner.recommend(asked("box", ARRIVING, rtf=10, usd_per_device_hour=2.0))
    price, plan = answer.predictions["usd_per_audio_hour"], answer.deployment
    assert price.mean == pytest.approx(plan.usd_per_hour / plan.audio_s_per_s)
    assert price.mean > answer.predictions["rtf"].mean * 2.0 / 0.7
    assert price.lower <= price.mean <= price.upper
    assert f"{plan.devices} devices that keep up" in price.provenance
    busier = asked("box", ARRIVING, rtf=10, usd_per_device_hour=2.0, max_utilisation=1.0)
    assert planner.recommend(busier).predictions["usd_per_audio_hour"].mean < price.mean
    alone = planner.recommend(asked("box", rtf=10, usd_per_device_hour=2.0))
    own = alone.predictions["usd_per_audio_hour"]
    assert own.mean == pytest.approx(alone.predictions["rtf"].mean * 2.0)
    assert own.provenance.endswith("at full use")


def test_a_budget_of_money_is_held_by_the_devices_that_are_paid_for(planner):
    """Catches a bound that busy time keeps and the bill does not."""
    question = asked("box", ARRIVING, usd_per_audio_hour=1.0, usd_per_device_hour=2.0)
    table = planner.table(planner.lattice(question), question)
    paid = table.costs.centre["usd_per_audio_hour"]
    np.testing.assert_array_equal(paid, table.costs.quantile("usd_per_audio_hour", 0.9))
    order = np.argsort(table.costs.quantile("rtf", 0.9))
    assert (np.diff(paid[order]) >= 0).all()
    for row in order[:: len(order) // 25].tolist():
        held = table.costs.holding("usd_per_audio_hour", 1.0, row) >= 0.9 - 1e-9
        assert held == bool(table.within[row])
    # Less than one device costs: nothing can keep up.
    assert table.costs.holding("usd_per_audio_hour", 2.0 / 24 / 2, int(order[0])) == 0
