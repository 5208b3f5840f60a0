"""What is chosen of candidates that are about as good."""

import numpy as np
import pytest

from models_registry import Configuration
from planner.choice import chosen
from planner.costing import Costs
from planner.lattice import Lattice
from planner.retries import Rates


def choose(configurations, errors, asked=(), **costs):
    lattice = Lattice.of(configurations)
    none = np.zeros(len(lattice))
    centre = {name: np.array(values, dtype=float) for name, values in costs.items()}
    known = Costs(centre, dict.fromkeys(centre, none), {}, {}, Rates(none, none))
    rows = np.arange(len(lattice))
    return chosen(rows, lattice, known, np.array(errors), asked)


FORMATS = [Configuration(model="base", precision=p) for p in ("bf16", "fp32", "int8")]


def test_the_cheapest_by_what_was_asked_about_wins():
    found = choose(FORMATS, [0.1, 0.101, 0.1], ["memory_gib"], memory_gib=[2, 3, 1])
    assert found == 2


@pytest.mark.parametrize("first", ["memory_gib", "gflops_per_utterance"])
def test_costs_count_in_their_order(first):
    other = {"memory_gib", "gflops_per_utterance"} - {first}
    costs = {first: [1, 1, 2], other.pop(): [3, 2, 1]}
    assert choose(FORMATS, [0.1, 0.1, 0.1], [first, *(set(costs) - {first})], **costs) == 1


def test_what_no_cost_sees_is_decided_for_the_reference():
    asked = ["gflops_per_utterance"]
    found = choose(FORMATS, [0.1, 0.101, 0.099], asked, gflops_per_utterance=[5, 5, 5])
    assert FORMATS[found].precision == "fp32"


def test_on_a_device_it_is_decided_for_what_runs_fastest():
    costs = {"gflops_per_utterance": [5, 5, 5], "rtf": [0.7, 0.1, 0.08]}
    found = choose(FORMATS, [0.1, 0.101, 0.102], ["gflops_per_utterance"], **costs)
    assert FORMATS[found].precision == "int8"


def test_batches_that_nothing_sees_are_small():
    sizes = [Configuration(model="base", batch_size=n) for n in (8, 1)]
    costs = {"gflops_per_utterance": [5, 5], "rtf": [0.1, 0.2]}
    assert choose(sizes, [0.1, 0.1], ["gflops_per_utterance"], **costs) == 1
