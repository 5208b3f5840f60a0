"""What a run asks of a cluster's nodes; no Ray is needed to say so."""

import pytest

from measurements.sweeps import Speech, SweepError, SweepSpec
from measurements.sweeps.placement import needs_of, shared_url, slots

CPUS, FEW, GPUS = {"CPU": 8.0}, {"CPU": 4.0}, {"CPU": 16.0, "GPU": 4.0}


def spec_of(**changes):
    return SweepSpec(models=("tiny.en",), speech=(Speech(dataset="demo"),), **changes)


@pytest.mark.parametrize(
    ("device", "timing", "nodes", "cpus", "needs", "room"),
    [
        ("auto", False, [CPUS], None, {"CPU": 1}, 8),
        ("auto", False, [CPUS, CPUS], 3, {"CPU": 3}, 4),
        ("auto", True, [CPUS, {}], None, {"CPU": 8}, 1),
        ("auto", True, [CPUS, FEW], None, {"CPU": 8}, 1),
        ("auto", True, [CPUS, GPUS], None, {"CPU": 1, "GPU": 1}, 4),
        ("cuda", False, [GPUS, GPUS], 8, {"CPU": 8, "GPU": 1}, 4),
        ("cpu", False, [CPUS, GPUS], 8, {"CPU": 8}, 3),
    ],
)
def test_a_run_has_a_gpu_where_there_are_any(device, timing, nodes, cpus, needs, room):
    """Catches two runs on a GPU, and two timed beside each other on a node's processors."""
    assert needs_of(spec_of(device=device, timing=timing), nodes, cpus) == needs
    assert slots(nodes, needs) == room


@pytest.mark.parametrize(
    ("device", "cpus", "said"), [("cuda", None, "1 CPU and 1 GPU"), ("cpu", 9, "9 CPU")]
)
def test_a_cluster_without_room_for_a_run(device, cpus, said):
    """Catches tasks that wait for ever for what no node has."""
    with pytest.raises(SweepError, match=f"no node of the Ray cluster has {said}"):
        needs_of(spec_of(device=device), [CPUS], cpus)


def test_a_file_is_only_for_nodes_of_this_machine(tmp_path, monkeypatch):
    """Catches nodes that each write a file of their own, and a path relative to this process."""
    monkeypatch.chdir(tmp_path)
    url = shared_url("sqlite:///store.db", ["10.0.0.1", "10.0.0.1"], "10.0.0.1")
    assert url == f"sqlite:///{tmp_path / 'store.db'}"
    for nodes in (["10.0.0.1", "10.0.0.2"], ["10.0.0.2"]):
        with pytest.raises(SweepError, match="set SPEECHPLAN_DATABASE_URL to a PostgreSQL"):
            shared_url("sqlite:///store.db", nodes, "10.0.0.1")
        there = "postgresql+psycopg://u:p@db/n"
        assert shared_url(there, nodes, "10.0.0.1") == there
