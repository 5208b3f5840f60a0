"""Random weights: all there, ordinary numbers, and in the type asked for."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from models_registry import Configuration  # noqa: E402
from models_registry.loading.clock import PhaseClock  # noqa: E402
from models_registry.loading.whisper import silence, with_random_weights  # noqa: E402

CPU = torch.device("cpu")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_weight_is_allocated_in_its_type_and_the_head_is_tied(precision):
    """A weight left on the meta device, or unset memory, would give nonsense speeds."""
    configuration = Configuration(model="tiny.en", precision=precision)
    model = with_random_weights(configuration, CPU).model
    weights = list(model.parameters())
    assert sum(w.numel() for w in weights) == configuration.architecture.parameters
    for weight in weights:
        assert weight.device == CPU
        assert weight.dtype == (torch.float32 if precision == "fp32" else torch.bfloat16)
        assert weight.isfinite().all()
        assert weight.abs().max() <= 1
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight
    assert len(model.proj_out.weight[:2].unique()) > 100


def test_a_seed_names_the_weights():
    one, same, other = (
        with_random_weights(Configuration(model="tiny.en"), CPU, seed=seed).model.proj_out.weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_fixed_number_of_tokens_is_decoded_whatever_they_are():
    """Without it a random decoder is stopped as a loop after a dozen tokens."""
    transcriber = with_random_weights(
        Configuration(model="tiny.en", window_s=5, batch_size=2), CPU, output_tokens=24
    )
    clock = PhaseClock(CPU)
    counts = transcriber.run_together([silence(3.0), silence(0.5)], clock)
    assert counts.passes == ((250, 24), (250, 24))
    assert list(clock.seconds) == ["features", "encoder", "prefill", "decode"]
