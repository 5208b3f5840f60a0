"""The seed paper's star sweep, as its authors committed it.

Would catch a changed term, a wrong width or layer count, or the two conventions
being mixed up.
"""

import pytest

from models_registry import Configuration
from planner.cost import pass_flops

# model, window, stride, output tokens, GFLOPs (asr_star_sweep.csv, arXiv 2606.22790).
# Two of the rows at 750 frames were computed with 19 output tokens instead of 20.
STAR_SWEEP = [
    ("tiny", 15, 1, 19, 29.3),
    ("tiny", 30, 1, 20, 63.7),
    ("tiny", 30, 2, 20, 46.0),
    ("small", 15, 1, 20, 351.5),
    ("small", 30, 1, 20, 722.4),
    ("small", 30, 2, 20, 510.0),
    ("medium", 15, 1, 19, 1202.6),
    ("medium", 30, 1, 20, 2531.5),
    ("medium", 30, 2, 20, 1776.6),
    ("large-v3", 15, 1, 20, 2573.1),
    ("large-v3", 30, 1, 20, 5228.0),
]


@pytest.mark.parametrize(("model", "window_s", "stride", "tokens", "gflops"), STAR_SWEEP)
def test_seed_convention_gives_the_published_figure(model, window_s, stride, tokens, gflops):
    configuration = Configuration(model=model, window_s=window_s, token_stride=stride)
    flops = pass_flops(configuration, output_tokens=tokens, convention="seed-2606.22790")
    assert flops.total / 1e9 == pytest.approx(gflops, abs=0.1)


def test_counted_is_about_half_of_the_seed_s_figure():
    """published/README.md: Small about 393, Large-v3 about 2625 GFLOPs with a cache."""
    small = pass_flops(Configuration(model="small")).total / 1e9
    large = pass_flops(Configuration(model="large-v3")).total / 1e9
    assert small == pytest.approx(393, rel=0.005)
    assert large == pytest.approx(2625, rel=0.005)
    output_stride = pass_flops(Configuration(model="small", token_stride=2)).total / 1e9
    assert 1 - output_stride / small == pytest.approx(0.05, abs=0.01)
