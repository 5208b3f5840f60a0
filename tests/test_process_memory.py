"""Memory of a process that serves a configuration, as predicted and as it is."""

import pytest

pytest.importorskip("torch")

from benchmarks.memory import measured, parsed, predicted
from measurements.datasets import open_dataset
from models_registry.weights import available

pytestmark = pytest.mark.skipif(not available("tiny.en"), reason="needs the weights of tiny.en")


@pytest.mark.parametrize("line", ["tiny.en fp32 10 1", "tiny.en int8 30 2"])
def test_a_process_takes_about_what_is_predicted(line, tmp_path):
    """Kernels, processors and versions differ by some tens of percent, not by a factor of three."""
    configuration, _ = parsed(line)
    chosen = open_dataset("demo").utterances[: configuration.batch_size]
    found = measured(line, [str(u.path) for u in chosen], tmp_path)
    found["durations_s"] = [u.duration_s() for u in chosen]
    assert found["text_tokens"] > 5
    centre, lower, upper = predicted(line, found)
    assert lower < centre < upper
    assert centre == pytest.approx(found["served"]["peak"], rel=0.4)
