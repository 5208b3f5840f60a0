"""The same on a CUDA device; skipped where there is none."""

import pytest

torch = pytest.importorskip("torch")

from measurements.datasets import open_dataset  # noqa: E402
from measurements.evaluation import evaluation_of  # noqa: E402
from measurements.store import Store  # noqa: E402
from models_registry import Configuration, load  # noqa: E402
from models_registry.loading import UnsupportedConfigurationError  # noqa: E402
from models_registry.loading.audio import to_waveform  # noqa: E402
from tests.conftest import needs_weights  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.real,
    needs_weights,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_transcripts_equal_the_cpu_s():
    speech = [to_waveform(*u.audio()) for u in open_dataset("demo").utterances[:10]]
    configuration = Configuration(model="tiny.en", window_s=20)
    on_cpu = load(configuration, device="cpu").transcribe_batch(speech)
    on_gpu = load(configuration, device="cuda").transcribe_batch(speech)
    same = sum(a.text == b.text for a, b in zip(on_cpu, on_gpu, strict=True))
    assert same >= 9


def test_a_measurement_belongs_to_the_gpu(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    configuration = Configuration(model="tiny.en", window_s=20, precision="fp16")
    measurement = evaluation_of(
        configuration, open_dataset("demo").limited(6), store, device="cuda"
    ).run()
    assert measurement.device.kind == "cuda"
    assert measurement.peak_memory_bytes > 50e6
    store.close()


def test_int8_is_for_the_cpu():
    with pytest.raises(UnsupportedConfigurationError, match="CPU only"):
        load(Configuration(model="tiny.en", precision="int8"), device="cuda")
