"""What identifies a processor, and whether its timings still say how fast it is."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from measurements import devices, fingerprints, profiles
from measurements.catalogue import device_timings
from measurements.devices import cuda_device, described_cpu, former_id, local_cpu, local_device
from measurements.profiles import device_evidence
from measurements.records import DeviceInfo, DeviceTiming, Fingerprint
from measurements.store import Store
from measurements.studies import evidence_for, resolve_device
from models_registry import UnknownNameError
from planner.device import fit_device
from planner.device.precisions import learn
from planner.question import Budget, Question
from planner.recommend import Planner

ZEN3 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 1
model name\t: AMD EPYC Processor
stepping\t: 1
flags\t\t: fpu sse2 avx2 fma
"""
ZEN4 = ZEN3.replace("model\t\t: 1", "model\t\t: 17").replace(
    "avx2", "avx2 avx512f avx512_vnni avx512_bf16"
)
GRAVITON = """processor\t: 0
Features\t: fp asimd asimdhp asimddp i8mm bf16 sve
CPU implementer\t: 0x41
CPU variant\t: 0x1
CPU part\t: 0xd40
CPU revision\t: 1
"""


def cpu(cpuinfo, **fields):
    return described_cpu(cpuinfo, **{"threads": 2, "library": "torch 2.13.0+cpu", **fields})


def test_processors_of_one_brand_are_told_apart_by_their_instruction_sets():
    """Catches timings of one that answer for another, 14 times as slow in bf16."""
    old, new = cpu(ZEN3), cpu(ZEN4)
    assert old.name == new.name
    assert former_id(old) == former_id(new) == "cpu-amd-epyc-2t"
    assert old.id.startswith("cpu-amd-epyc-avx2-2t-")
    assert new.id.startswith("cpu-amd-epyc-avx512bf16-2t-")
    assert old.instruction_sets == ("avx2",)
    assert "avx512_bf16" in new.instruction_sets


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 1},
        {"library": "torch 2.14.0+cpu"},
        {"memory_channels": 8},
        {"cpuinfo": ZEN3.replace("AuthenticAMD", "HygonGenuine")},
        {"cpuinfo": ZEN3.replace("cpu family\t: 25", "cpu family\t: 23")},
        {"cpuinfo": ZEN4},
    ],
)
def test_everything_that_changes_the_speed_changes_the_id(change):
    plain = {"cpuinfo": ZEN3, "threads": 2, "library": "torch 2.13.0+cpu"}
    assert described_cpu(**{**plain, **change}).id != described_cpu(**plain).id
    assert described_cpu(**plain) == described_cpu(**plain)


def test_processors_of_arm_are_identified_too():
    found = cpu(GRAVITON)
    assert found.vendor == "0x41"
    assert found.model == "0xd40-0x1-1"
    assert {"asimd", "bf16", "sve"} <= set(found.instruction_sets)


def test_this_machine_is_identified():
    here = local_cpu()
    assert here.id.split("-")[0] == "cpu"
    assert here.library is not None
    assert here.instruction_sets


def test_a_gpu_keeps_its_compute_capability():
    found = cuda_device("NVIDIA H200", capability="9.0", library="torch 2.13.0")
    assert (found.id, found.model, found.vendor) == ("nvidia-h200", "9.0", "NVIDIA")


def test_former_ids_stand_for_the_device_that_had_them():
    found = resolve_device("cpu-amd-epyc-2t")
    assert found in {timing.device.id for timing in device_timings()}
    assert found != "cpu-amd-epyc-2t"
    with pytest.raises(UnknownNameError):
        resolve_device("cpu-nobody-2t")


def timing(device, fingerprint=None, **fields):
    """A timing of the catalogue, as if it had been taken elsewhere."""
    one = next(t for t in device_timings() if t.device.kind == "cpu")
    return one.model_copy(
        update={"device": device, "fingerprint": fingerprint, "key": "0" * 64, **fields}
    )


def test_a_former_id_of_several_devices_is_asked_about(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    store.add_device_timing(timing(cpu(ZEN4)))
    with pytest.raises(UnknownNameError) as refused:
        resolve_device("cpu-amd-epyc-2t", store)
    assert len(refused.value.suggestions) == 2
    old = DeviceInfo(id="cpu-amd-epyc-2t", kind="cpu", name="AMD EPYC", threads=2)
    store.add_device_timing(timing(old, key="1" * 64))
    assert resolve_device("cpu-amd-epyc-2t", store) == "cpu-amd-epyc-2t"
    store.close()


def test_records_from_before_are_read():
    one = next(t for t in device_timings() if t.device.kind == "cpu")
    document = json.loads(one.model_dump_json())
    document["device"] = {"id": "cpu-x-2t", "kind": "cpu", "name": "X", "threads": 2}
    for field in ("fingerprint", "others_cpu_share", "processor_speed"):
        del document[field]
    assert DeviceTiming.model_validate(document).device.hardware is None


FAST = Fingerprint(gflops={"fp32": 300.0, "bf16": 1100.0, "int8": 450.0}, copy_gb_s=45.0)
SLOW_BF16 = FAST.model_copy(update={"gflops": {"fp32": 310.0, "bf16": 40.0, "int8": 440.0}})


@pytest.fixture
def here(monkeypatch):
    """This machine is a known processor, and the check of its speed is on."""
    device = cpu(ZEN4)
    monkeypatch.setenv("SPEECHPLAN_CHECK_DEVICE", "1")
    for module in (devices, profiles, fingerprints):
        monkeypatch.setattr(module, "local_device", lambda: device)
    return device


def evidence(monkeypatch, here, now, *timings):
    monkeypatch.setattr(profiles, "local_fingerprint", lambda: now)
    return device_evidence([*device_timings(), *timings], probed=here.id)[here.id]


def test_timings_are_used_while_the_machine_is_as_fast_as_then(monkeypatch, here):
    near = FAST.model_copy(update={"copy_gb_s": 35.0})
    known = evidence(monkeypatch, here, near, timing(here, FAST))
    assert known.doubt is None
    assert known.runs


def test_timings_of_a_machine_that_is_slower_now_are_in_doubt(monkeypatch, here):
    """Catches an answer for one host that is 27 times wrong on another of the same name."""
    own = timing(here, FAST)
    known = evidence(monkeypatch, here, SLOW_BF16, own)
    assert known.doubt is not None
    assert known.doubt.log_sd == pytest.approx(3.31, abs=0.01)
    assert "bf16" in known.doubt.reason
    assert "calibrate" in known.doubt.reason
    model, sure = fit_device("x", known), fit_device("x", evidence(monkeypatch, here, FAST, own))
    assert not model.covers(own.configuration)
    assert sure.covers(own.configuration)


def test_a_catalogue_device_is_this_machine_only_if_its_hardware_is(monkeypatch, here):
    """Catches the catalogue's processor offered for every one of its brand."""
    known = evidence(monkeypatch, here, FAST)
    assert not known.runs
    assert known.rates.source == "a numpy probe"


def test_another_build_of_torch_is_held_against_the_speed(monkeypatch, here):
    other = cpu(ZEN4, library="torch 2.14.0+cpu")
    assert other.id != here.id
    assert evidence(monkeypatch, here, FAST, timing(other, FAST)).doubt is None
    assert evidence(monkeypatch, here, SLOW_BF16, timing(other, FAST)).doubt is not None


def test_timings_without_a_speed_or_an_identity_are_in_doubt(monkeypatch, here):
    assert evidence(monkeypatch, here, FAST, timing(here)).doubt is not None
    assert evidence(monkeypatch, here, None, timing(here, FAST)).doubt is not None
    old = DeviceInfo(id="cpu-amd-epyc-2t", kind="cpu", name=here.name, threads=2)
    known = evidence(monkeypatch, here, FAST, timing(old))
    assert known.runs
    assert known.doubt.log_sd > 0.25


def test_an_answer_says_that_its_times_are_in_doubt(monkeypatch, here, tmp_path):
    monkeypatch.setattr(profiles, "local_fingerprint", lambda: SLOW_BF16)
    monkeypatch.setattr("measurements.studies.local_device", lambda: here)
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    for number, one in enumerate(t for t in device_timings() if t.device.kind == "cpu"):
        store.add_device_timing(
            one.model_copy(update={"device": here, "fingerprint": FAST, "key": f"{number:064x}"})
        )
    question = Question(budget=Budget(rtf=50.0), device=here.id)
    answers = []
    for now in (FAST, SLOW_BF16):
        monkeypatch.setattr(profiles, "local_fingerprint", lambda now=now: now)
        answers.append(
            Planner(evidence_for("asr", None, store, device=here.id)).recommend(question)
        )
    sure, doubted = answers
    assert doubted.predictions["rtf"].basis == "extrapolated"
    assert sure.predictions["rtf"].basis in ("interpolated", "measured")
    widths = [a.predictions["rtf"].upper / a.predictions["rtf"].lower for a in answers]
    assert widths[1] > 10 * widths[0]
    assert "calibrate" in " ".join(doubted.reasons)
    assert "calibrate" not in " ".join(sure.reasons)
    store.close()


def test_formats_are_learned_from_processors_that_compute_in_them_alike(monkeypatch, here):
    """Catches bf16 that is 7 times slower on every processor since it is on one without it."""
    known = {**device_evidence(device_timings())}
    known[here.id] = evidence(monkeypatch, here, FAST)
    old = cpu(ZEN3)
    known[old.id] = device_evidence([timing(old)])[old.id]
    plain = device_evidence(device_timings())
    without = {**plain, "other": known[here.id], "alike": known[old.id]}
    assert "bf16" not in learn("other", without)
    assert learn("alike", without)["bf16"].log_ratio["encoder"] > 1.5


def test_the_speed_is_taken_by_another_process_once_and_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("SPEECHPLAN_CHECK_DEVICE", "1")
    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(tmp_path))
    fingerprints._taken.cache_clear()
    asked = []
    taken = FAST.model_copy(update={"created_at": datetime.now(UTC), "others_cpu_share": 0.0})

    def run(command, **_):
        asked.append(command)
        return SimpleNamespace(stdout=taken.model_dump_json())

    monkeypatch.setattr(fingerprints.subprocess, "run", run)
    assert fingerprints.local_fingerprint() == taken
    fingerprints._taken.cache_clear()
    assert fingerprints.local_fingerprint() == taken
    assert len(asked) == 1
    kept = fingerprints.read_fingerprint(local_device())
    assert kept == taken
    old = taken.model_copy(update={"created_at": taken.created_at - timedelta(days=1)})
    fingerprints.write_fingerprint(local_device(), old)
    assert fingerprints.read_fingerprint(local_device()) is None
    busy = taken.model_copy(update={"others_cpu_share": 0.5})
    fingerprints.write_fingerprint(local_device(), busy)
    assert fingerprints.read_fingerprint(local_device()) is None


def test_a_speed_that_can_not_be_taken_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setenv("SPEECHPLAN_CHECK_DEVICE", "1")
    monkeypatch.setenv("SPEECHPLAN_CACHE_DIR", str(tmp_path))
    fingerprints._taken.cache_clear()

    def run(*_, **__):
        raise subprocess.TimeoutExpired("python", 60)

    monkeypatch.setattr(fingerprints.subprocess, "run", run)
    assert fingerprints.local_fingerprint() is None
    fingerprints._taken.cache_clear()


def test_the_microbenchmark_measures_every_format():
    pytest.importorskip("torch")
    answer = subprocess.run(
        [sys.executable, "-m", "measurements.microbenchmark"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = Fingerprint.model_validate_json(answer.stdout)
    assert set(found.gflops) == {"fp32", "bf16", "int8"}
    assert fingerprints.is_near(fingerprints.difference(found, found)[1])
