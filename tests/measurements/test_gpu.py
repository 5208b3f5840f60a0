"""The same on a CUDA device; skipped where there is none."""

import time
from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")

from measurements.calibration import calibrate  # noqa: E402
from measurements.datasets import open_dataset  # noqa: E402
from measurements.evaluation import evaluation_of  # noqa: E402
from measurements.scoring import word_error_rate, word_errors  # noqa: E402
from measurements.store import Store  # noqa: E402
from models_registry import Configuration, load  # noqa: E402
from models_registry.loading.audio import to_waveform  # noqa: E402
from models_registry.loading.clock import PhaseClock  # noqa: E402
from planner.cost import memory_bytes  # noqa: E402
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
    assert measurement.peak_memory_bytes >= measurement.peak_allocated_bytes > 50e6
    energy = measurement.joules_per_audio_second
    assert energy is None or 0.01 < energy < 100
    store.close()


@pytest.mark.parametrize("precision", ["fp16", "bf16", "int8", "int4"])
def test_every_precision_understands_speech(precision):
    if precision.startswith("int"):
        pytest.importorskip("torchao")
    configuration = Configuration(model="tiny.en", window_s=20, precision=precision)
    transcriber = load(configuration, device="cuda")
    if precision != "int8":  # whose closed form is that of a CPU
        expected = memory_bytes(configuration, 24)["weights"]
        assert transcriber.weights_bytes == pytest.approx(expected, rel=0.05)
    errors = [
        word_errors(u.reference, transcriber.transcribe(*u.audio()))
        for u in open_dataset("demo").utterances[:10]
    ]
    assert word_error_rate(errors).value < 0.35


def test_events_measure_what_the_wall_does():
    device = torch.device("cuda")
    matrix = torch.ones(8192, 8192, device=device)
    matrix @ matrix
    torch.cuda.synchronize()
    clock, start = PhaseClock(device), time.perf_counter()
    with clock.phase("encoder"):
        for _ in range(20):
            matrix @ matrix
    queued_s = time.perf_counter() - start
    seconds = clock.seconds["encoder"]
    wall_s = time.perf_counter() - start
    assert queued_s < seconds / 2  # nothing waited inside the phase
    assert seconds == pytest.approx(wall_s, rel=0.2)
    assert clock.seconds["encoder"] == seconds


def test_a_gpu_is_calibrated_in_its_own_precisions(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    report = calibrate(store, device="cuda", budget_s=60, models=["tiny", "wavlm-base-plus"])
    assert not report.failed
    timings = store.device_timings(report.device.id)
    quantised = {"int8", "int4"} if find_spec("torchao") else set()
    assert {t.configuration.precision for t in timings} == {"fp32", "fp16", "bf16"} | quantised
    assert all(t.peak_memory_bytes >= t.peak_allocated_bytes > 1e6 for t in timings)
    store.close()
