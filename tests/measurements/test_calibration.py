"""Calibration: its order, its budget, and that nothing is lost or done twice."""

import time

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from measurements import calibration, slow_spells  # noqa: E402
from measurements.calibration import calibrate, random_model  # noqa: E402
from measurements.calibration_plan import OUTPUT_TOKENS, plan, work_flops  # noqa: E402
from measurements.catalogue import build_devices, device_timings  # noqa: E402
from measurements.devices import local_cpu  # noqa: E402
from measurements.profiles import device_profiles  # noqa: E402
from measurements.records import DeviceTiming  # noqa: E402
from measurements.store import Store  # noqa: E402
from measurements.studies import DEFAULT_STUDY, evidence_for, resolve_device  # noqa: E402
from models_registry import MODELS, Configuration, UnknownNameError  # noqa: E402
from models_registry.loading import precision, refusal  # noqa: E402
from models_registry.loading.clock import PassCounts  # noqa: E402
from models_registry.loading.encoders import encoder_with_random_weights  # noqa: E402

CPU = torch.device("cpu")


@pytest.fixture
def store(tmp_path):
    opened = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


class Sleeper:
    """Takes time in proportion to the FLOPs, without the work."""

    device = CPU

    def __init__(self, configuration, seconds_per_gflop=2e-5):
        self.seconds = work_flops(configuration) / 1e9 * seconds_per_gflop

    def run_together(self, waveforms, clock):
        for phase in ("features", "encoder", "prefill", "decode"):
            with clock.phase(phase):
                time.sleep(self.seconds / 4)
        return PassCounts(((500, OUTPUT_TOKENS),) * len(waveforms))


def sleeper(configuration, device):
    return Sleeper(configuration)


@pytest.fixture(autouse=True)
def without_torchao(monkeypatch):
    monkeypatch.setattr(precision, "find_spec", lambda _: None)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_every_architecture_comes_once_before_any_comes_twice(kind):
    """Otherwise a short budget would know much of tiny and nothing of large."""
    ordered = [(c.task, c.model) for c in plan(kind)]
    assert len({c.key for c in plan(kind)}) == len(ordered)
    for task in ("asr", "ser"):
        of_task = [model for t, model in ordered if t == task]
        first = of_task[: len(set(of_task))]
        assert len(set(first)) == len(first)
    covered = {MODELS.get(model).encoder_layers for _, model in ordered}
    assert covered == {a.encoder_layers for a in MODELS}
    assert {p for c in plan(kind) if (p := c.precision) != "fp32"} == (
        {"int8", "bf16"} if kind == "cpu" else {"fp16", "bf16"}
    )


def test_quantised_weights_are_timed_on_cuda_where_torchao_is(monkeypatch):
    """What loading refuses would fail after minutes of others: it is not planned."""
    with pytest.raises(ValueError, match=r"int4 on CUDA needs torchao: pip install"):
        plan("cuda", None, ["int4"])
    monkeypatch.setattr(precision, "find_spec", lambda name: name == "torchao")
    planned = plan("cuda")
    assert {c.precision for c in planned} == {"fp32", "fp16", "bf16", "int8", "int4"}
    assert {c.precision for c in planned if c.model == "whisper-large-v3"} >= {"int8", "int4"}
    assert {c.precision for c in plan("cuda", None, ["int4"])} == {"int4"}
    for kind in ("cpu", "cuda"):
        refused = [c for c in plan(kind) if refusal(c, torch.device(kind))]
        assert refused == []
        wavlm = {c.precision for c in plan(kind) if c.model.startswith("wavlm")}
        assert wavlm == {"cpu": {"fp32", "bf16"}, "cuda": {"fp32", "fp16", "bf16"}}[kind]


def test_quantising_on_cuda_starts_from_16_bits(monkeypatch):
    """Judged as on a CPU, from 32 bits, whisper-large would need 5 GB more than it does."""
    monkeypatch.setattr(calibration, "free_bytes", lambda _: 6 << 30)
    large = Configuration(model="large", window_s=10, precision="int8")
    assert calibration._too_large(large, torch.device("cuda")) is None
    assert "are free" in calibration._too_large(large, CPU)
    monkeypatch.setattr(calibration, "free_bytes", lambda _: 3 << 30)
    assert "are free" in calibration._too_large(large, torch.device("cuda"))


def test_twins_are_timed_once_and_only_what_is_asked_for():
    names = {c.model for c in plan("cpu") if c.task == "asr"}
    assert "whisper-large" in names
    assert "whisper-large-v2" not in names
    chosen = plan("cpu", ["large-v2"], ["bf16"])
    assert {(c.model, c.precision) for c in chosen} == {("whisper-large-v2", "bf16")}
    with pytest.raises(UnknownNameError, match="whisper-large-v3"):
        plan("cpu", ["whisper-large-v4"])
    with pytest.raises(ValueError, match="fp16 is none of fp32, int8, bf16 on cpu"):
        plan("cpu", None, ["fp16"])


TINY, BASE = Configuration(model="tiny", window_s=5), Configuration(model="base", window_s=5)
WAVLM = Configuration(task="ser", model="wavlm-base-plus", window_s=1)


@pytest.fixture
def planned(monkeypatch):
    """Has a calibration time what a test names, each for a tenth of a percent of its budget."""
    monkeypatch.setattr(calibration, "REPEATS_SHARE", 1e-3)

    def only(*configurations):
        monkeypatch.setattr(calibration, "plan", lambda *_: list(configurations))

    return only


def runs(store):
    """Runs of this processor, those of the catalogue alone without a store."""
    devices = evidence_for("asr", DEFAULT_STUDY["asr"], store).devices
    return devices[local_cpu().id].runs if local_cpu().id in devices else ()


def test_real_models_are_timed_stored_and_not_timed_again(store, planned):
    planned(TINY, WAVLM, TINY.model_copy(update={"batch_size": 2}))
    report = calibrate(store, device="cpu", budget_s=600)
    timings = store.device_timings(local_cpu().id)
    assert report.timed == len(timings) == 3
    for timing in timings:
        c = timing.configuration
        assert timing.rtf["total"] > 0
        if c.task == "asr":
            assert {p[1] for s in timing.samples for p in s.passes} == {OUTPUT_TOKENS}
            assert set(timing.rtf) == {"features", "encoder", "prefill", "decode", "total"}
        else:
            assert timing.output_tokens is None
            assert set(timing.rtf) == {"features", "encoder", "total"}
        assert len(timing.samples[0].passes) == c.batch_size
        assert timing.samples[0].audio_s == pytest.approx(c.batch_size * c.speech_s)

    built = []

    def building(configuration, device):
        built.append(configuration)
        return random_model(configuration, device)

    planned(TINY, WAVLM, BASE)
    again = calibrate(store, device="cpu", budget_s=600, build=building)
    assert built == [BASE]
    assert (again.known, again.timed) == (2, 1)
    assert store.device_timings()[:3] == timings

    # Of what the catalogue has timed on such a processor the store's own timings take the place.
    own = {t.key: len(t.samples) for t in store.device_timings()}
    replaced = sum(len(t.samples) for t in device_timings() if t.key in own)
    assert len(runs(store)) - len(runs(None)) == sum(own.values()) - replaced
    assert sum(own.values()) >= 3
    assert len(own) == 4


def test_a_calibration_that_is_stopped_goes_on_where_it_was(store, planned):
    planned(TINY, BASE, Configuration(model="small", window_s=5))

    def interrupted(configuration, device):
        if configuration == BASE:
            raise KeyboardInterrupt
        return Sleeper(configuration)

    with pytest.raises(KeyboardInterrupt):
        calibrate(store, device="cpu", budget_s=60, build=interrupted)
    assert [t.configuration for t in store.device_timings()] == [TINY]
    report = calibrate(store, device="cpu", budget_s=60, build=sleeper)
    assert (report.known, report.timed, report.left) == (1, 2, 0)


class Clock:
    """Seconds that pass while something sleeps, and a moment at each look at the clock."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        self.now += 1e-5
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_the_budget_is_kept_and_what_is_too_large_for_it_not_begun(store, monkeypatch):
    """At 4 ms a GFLOP whisper-large takes 3.3 s, more than a fifth of 6 s."""
    clock, built = Clock(), []
    for name in ("perf_counter", "sleep"):
        monkeypatch.setattr(time, name, getattr(clock, name))
    # What this clock says of the processor's speed is forgotten with it.
    monkeypatch.setattr(slow_spells, "_fastest_s", float("inf"))

    def slow(configuration, device):
        built.append(configuration)
        return Sleeper(configuration, seconds_per_gflop=4e-3)

    progress = []
    report = calibrate(
        store,
        device="cpu",
        budget_s=6,
        precisions=["fp32"],
        build=slow,
        on_progress=progress.append,
    )
    longest_s = max(Sleeper(c, 4e-3).seconds for c in built)
    assert clock.now < 6 + 2 * longest_s
    assert report.left > 0
    assert report.timed + report.left == report.planned
    assert {"whisper-tiny", "whisper-tiny.en"} <= {c.model for c in built}
    assert not any("large" in c.model for c in built if c.task == "asr")
    assert [p.done for p in progress] == list(range(report.timed + 1))
    assert all(p.total == report.planned and 0 <= p.left_s <= 6 for p in progress)


def test_a_failure_is_kept_with_its_reason_and_the_rest_goes_on(store, planned):
    small = Configuration(model="small", window_s=5)
    planned(TINY, BASE, small)

    def breaking(configuration, device):
        if configuration == BASE:
            raise RuntimeError("no kernel for this\nand a long trace")
        return Sleeper(configuration)

    report = calibrate(store, device="cpu", budget_s=60, build=breaking)
    assert report.failed == {BASE.label(): "no kernel for this"}
    assert report.timed == 2
    stored = {t.configuration: t for t in store.device_timings()}
    assert stored[BASE].failure == "no kernel for this"
    assert stored[small].samples
    known, told = ([r for r in runs(one) if r.configuration == BASE] for one in (None, store))
    assert told == known
    mended = calibrate(store, device="cpu", budget_s=60, build=sleeper)
    assert (mended.known, mended.timed, mended.failed) == (2, 1, {})


def test_what_does_not_fit_is_not_allocated(store, planned, monkeypatch):
    medium = Configuration(model="medium", window_s=5)
    int8 = Configuration(model="base", window_s=5, precision="int8")
    planned(TINY, medium, int8)
    monkeypatch.setattr(calibration, "free_bytes", lambda _: 250_000_000)
    built = []

    def building(configuration, device):
        built.append(configuration)
        return Sleeper(configuration)

    report = calibrate(store, device="cpu", budget_s=60, build=building)
    assert built == [TINY]
    assert set(report.skipped) == {medium.label(), int8.label()}
    assert report.skipped[medium.label()].endswith("GiB, 0.2 GiB are free")
    assert [t.configuration for t in store.device_timings()] == [TINY]


def test_the_first_pass_of_the_slowest_is_its_timing(store):
    slow = Configuration(model="tiny.en", window_s=10)
    timing = calibration.time_configuration(
        slow, CPU, local_cpu(), calibration.StoppingRule(max_seconds=0.1),
        lambda c, _: Sleeper(c, seconds_per_gflop=0.02),
    )  # fmt: skip
    assert not timing.warmed_up
    assert len(timing.samples) == 1
    first = calibration.time_configuration(
        slow, CPU, local_cpu(), calibration.StoppingRule(max_seconds=0.1),
        lambda c, _: Sleeper(c, seconds_per_gflop=0.02), first_of_kind=True,
    )  # fmt: skip
    assert first.warmed_up
    assert len(first.samples) == 1
    assert DeviceTiming.model_validate_json(timing.model_dump_json()) == timing


def test_encoders_of_every_kind_run_as_configured():
    """A window, an exit or a stride that is ignored shows in the tokens or the layers."""
    for name, options, tokens in (
        ("wav2vec2-base", {"exit_layer": 3}, 99),
        ("hubert-base", {"token_stride": 2, "reduction_layer": 6}, 50),
        ("whisper-tiny", {"token_stride": 2, "reduction_layer": 2}, 50),
        ("whisper-tiny", {"precision": "int8", "exit_layer": 1}, 100),
    ):
        configuration = Configuration(task="ser", model=name, window_s=2, **options)
        encoder = encoder_with_random_weights(configuration, CPU)
        inner = encoder.model if name.startswith("whisper") else encoder.model.encoder
        assert len(inner.layers) == options.get("exit_layer", MODELS.get(name).encoder_layers)
        states = []
        encoder.model.register_forward_hook(lambda _, __, out, kept=states: kept.append(out[0]))
        counts = encoder.run_together(calibration._noise(configuration) * 2, clock())
        assert len(counts.passes) == 2
        # A CPU takes windows one by one.
        assert [tuple(s.shape[:2]) for s in states] == [(1, tokens)] * 2
        assert states[0].isfinite().all()


def clock():
    from models_registry.loading.clock import PhaseClock

    return PhaseClock(CPU)


def test_a_profile_goes_into_the_catalogue_and_its_device_can_be_asked_for(
    store, tmp_path, monkeypatch, planned
):
    planned(TINY, BASE, WAVLM)
    calibrate(store, device="cpu", budget_s=60, build=sleeper)
    elsewhere = local_cpu().model_copy(update={"id": "cpu-elsewhere-64t", "threads": 64})
    for timing in store.device_timings():
        moved = timing.model_copy(update={"device": elsewhere, "key": timing.key[::-1]})
        store.add_device_timing(moved)
    store.add_device_timing(
        calibration._failure(Configuration(model="base"), elsewhere, "out of memory")
    )
    written = build_devices.build(store.url, tmp_path / "devices")
    assert sorted(f.name.removesuffix(".jsonl.gz") for f in written) == sorted(
        [local_cpu().id, "cpu-elsewhere-64t"]
    )
    before = [f.read_bytes() for f in written]
    assert list(build_devices.build(store.url, tmp_path / "devices")) == list(written)
    assert [f.read_bytes() for f in written] == before

    from measurements import catalogue

    catalogue.device_timings.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(catalogue, "DEVICES", tmp_path / "devices")
            profile = next(p for p in device_profiles(None) if p.device == elsewhere)
            assert profile.configurations == profile.calibrated == profile.models == 3
            assert resolve_device("cpu-elsewhere-64t") == "cpu-elsewhere-64t"
            evidence = evidence_for("asr", None, None, device="cpu-elsewhere-64t")
            assert evidence.devices["cpu-elsewhere-64t"].runs
    finally:
        catalogue.device_timings.cache_clear()
    with pytest.raises(UnknownNameError, match="cpu-else"):
        resolve_device("cpu-elsewhere-64", store)
