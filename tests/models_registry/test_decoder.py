"""The decoder that is fed token by token, against the one of transformers."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from models_registry import MODELS  # noqa: E402
from models_registry.loading.decoder import IncrementalDecoder  # noqa: E402
from planner.device.work import KINDS, work  # noqa: E402

LENGTHS = (30, 30, 17, 4)
TOKENS = torch.tensor([[5, 9, 2], [5, 9, 2], [7, 7, 1], [3, 8, 8]])


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=60,
        d_model=16,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=30,
        max_target_positions=20,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=1,
    )
    return transformers.WhisperForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def states():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, 16, generator=generator) for length in LENGTHS]


@torch.inference_mode()
def alone(model, states, tokens):
    """Scores behind each token of one window that nothing was padded for."""
    decoder = model.model.decoder
    hidden = decoder(input_ids=tokens[None], encoder_hidden_states=states[None]).last_hidden_state
    return model.proj_out(hidden)[0]


@pytest.mark.parametrize("rows", [(0, 1), (0, 1, 2, 3), (2,)], ids=str)
@torch.inference_mode()
def test_windows_of_any_length_decode_together_as_they_do_alone(model, states, rows):
    """Catches padding that is heard, and rows or positions that are mixed up."""
    decoder = IncrementalDecoder(model, [states[row] for row in rows], capacity=3)
    tokens = TOKENS[list(rows)]
    found = [decoder.step(tokens[:, :2]), decoder.step(tokens[:, 2:])]
    for place, row in enumerate(rows):
        expected = alone(model, states[row], tokens[place])
        torch.testing.assert_close(found[0][place], expected[1], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found[1][place], expected[2], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kept", [(0, 1, 2), (0,), (1, 3), (3,)], ids=str)
@torch.inference_mode()
def test_rows_that_stay_go_on_undisturbed(model, states, kept):
    """Catches caches or padding that are not taken along."""
    decoder = IncrementalDecoder(model, states, capacity=3)
    decoder.step(TOKENS[:, :2])
    decoder.keep(kept)
    found = decoder.step(TOKENS[list(kept), 2:])
    for place, row in enumerate(kept):
        expected = alone(model, states[row], TOKENS[row])[2]
        torch.testing.assert_close(found[place], expected, atol=1e-5, rtol=1e-4)


def test_a_step_reads_the_weights_that_the_latency_model_charges(model, states):
    """Catches keys and values of the encoder charged at every step: they are made once."""
    read = []
    with torch.inference_mode():
        decoder = IncrementalDecoder(model, states[:1], 10)
        decoder.step(torch.tensor([[5]]))
        hooks = [
            linear.register_forward_hook(lambda m, *_: read.append(m.weight.numel()))
            for linear in model.modules()
            if isinstance(linear, torch.nn.Linear)
        ]
        decoder.step(torch.tensor([[7]]))
    for hook in hooks:
        hook.remove()
    architecture = replace(
        MODELS.get("whisper-tiny"), d_model=16, ffn=32, decoder_layers=2, vocab_size=60
    )
    charged = work(
        architecture,
        frames=30,
        token_stride=1,
        reduction_layer=None,
        precision="fp32",
        windows=1,
        output_tokens=2,
    )["decode"][0, KINDS["decode"].index("weight byte")]
    assert charged == 4 * sum(read)
