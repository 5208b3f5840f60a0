"""How tasks are placed, replaced and ended, on a Ray that is made up."""

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from measurements.store import Store, StoreError
from measurements.sweeps import Speech, SweepError, SweepSpec, on_ray
from measurements.sweeps.on_ray import _Driver
from measurements.sweeps.runner import MAX_DEATHS, Sweep

SPEC = SweepSpec(
    models=("tiny.en",), speech=(Speech(dataset="demo"),), axes={"window_s": (10, 15)}, timing=False
)
PENDING = None


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        self.cause = cause


class FakeRay:
    """Tasks end as they are told to when they are placed; the board says nothing.

    Attributes:
        placed: Options of the tasks.
        cancelled: Tasks that were cancelled, and whether by force.
        room: Processors of each node.
        ends: Gives a task's result, an error of Ray or ``PENDING``.
    """

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, ends):
        self.ends, self.room = ends, [2]
        self.placed, self.cancelled = [], []

    def nodes(self):
        return [{"Alive": True, "Resources": {"CPU": cpus}} for cpus in self.room]

    def remote(self, wanted):
        def board(*_):
            return SimpleNamespace(read=SimpleNamespace(remote=lambda: [PENDING]))

        def begin(*arguments):
            self.placed.append(options)
            return [self.ends()]

        options = {}

        def with_options(**given):
            options.update(given)
            return SimpleNamespace(remote=board if isinstance(wanted, type) else begin)

        return SimpleNamespace(options=with_options)

    def wait(self, tasks, num_returns=1, timeout=0):
        ended = [task for task in tasks if task[0] is not PENDING][:num_returns]
        return ended, [task for task in tasks if not any(task is one for one in ended)]

    def get(self, task):
        if isinstance(task[0], Exception):
            raise task[0]
        return task[0]

    def cancel(self, task, force):
        self.cancelled.append((task, force))


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setattr(on_ray.time, "sleep", lambda _: None)
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield Sweep(SPEC, store)
    store.close()


def drive(ray, work, report=lambda _: None, needs=None):
    return _Driver(ray, work, work.store.url, needs or {"CPU": 1}).run(report)


def test_a_cluster_that_loses_its_nodes_is_an_error(work):
    """Catches a driver that waits for ever for tasks that no node is left to run."""
    ray = FakeRay(lambda: PENDING)

    def report(progress):
        ray.room = [2] if not ray.placed else []

    with pytest.raises(SweepError, match=r"lost every node with 1 CPU; .* same command goes on"):
        drive(ray, work, report)
    assert [force for _, force in ray.cancelled] == [False, False, True, True]


def test_nodes_may_be_away_for_a_while(work, monkeypatch):
    """Catches a sweep that ends when the only node with a GPU is replaced by another."""
    ray = FakeRay(lambda: PENDING)
    ray.room = [0]
    looks = []
    monkeypatch.setattr(on_ray, "_WITHOUT_NODE_S", 3600)

    def report(progress):
        looks.append(progress)
        if len(looks) == 3:
            monkeypatch.setattr(on_ray, "_WITHOUT_NODE_S", -1)

    with pytest.raises(SweepError, match="lost every node"):
        drive(ray, work, report)
    assert len(looks) == 3
    assert not ray.placed


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (RayError("the worker died"), RayError),
        (RayTaskError(OperationalError("select", {}, Exception("away"))), OperationalError),
    ],
)
def test_lost_tasks_are_replaced_though_not_for_ever(work, error, raised):
    """Catches a sweep that ends with one process, and one that never ends."""
    ray = FakeRay(lambda: error)
    with pytest.raises(raised):
        drive(ray, work)
    assert len(ray.placed) > MAX_DEATHS * work.total


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (StoreError("postgresql://h/d: refused"), r"^postgresql://h/d: refused$"),
        (ModuleNotFoundError("No module named 'measurements'"), "install there what is installed"),
        (RuntimeError("The remote function failed to import"), "install there what is installed"),
    ],
)
def test_what_is_wrong_on_a_node_is_said_in_a_line(work, cause, said):
    """Catches Ray's traceback of many lines, and a missing speechplan without its remedy."""
    ray = FakeRay(lambda: RayTaskError(cause))
    with pytest.raises((StoreError, SweepError), match=said):
        drive(ray, work)


def test_there_are_as_many_tasks_as_runs_and_no_more_than_there_is_room_for(work):
    """Catches tasks without a run to take, and a queue that holds a cluster from others."""
    for room, placed in (([2], 2), ([8, 8], 3)):
        ray = FakeRay(lambda: PENDING)
        ray.room, looks = room, []

        def report(progress, looks=looks):
            looks.append(progress)
            if len(looks) == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            drive(ray, work, report)
        assert len(ray.placed) == placed
        assert {options["num_cpus"] for options in ray.placed} == {1}


def test_a_gpu_is_asked_for(work):
    """Catches runs that share a GPU."""
    ray = FakeRay(lambda: RayTaskError(ValueError("stop")))
    ray.nodes = lambda: [{"Alive": True, "Resources": {"CPU": 8, "GPU": 1}}]
    with pytest.raises(ValueError, match="stop"):
        drive(ray, work, needs={"CPU": 1, "GPU": 1})
    assert [options["num_gpus"] for options in ray.placed] == [1]


def test_cancelled_it_begins_nothing_more(work):
    """Catches a cancelled sweep that goes on."""
    ray = FakeRay(lambda: PENDING)
    progress = drive(ray, work, lambda _: work.cancel())
    assert work.status == "cancelled"
    assert progress.count("waiting") == 3
    assert not ray.placed


def test_the_time_to_go_is_that_of_all_at_once(work):
    """Catches a pace that is not noted, and runs at once that are taken for one after another."""
    clock = SimpleNamespace(now=0.0)
    driver = _Driver(FakeRay(lambda: PENDING), work, work.store.url, {"CPU": 1})
    states = list(work.states())
    first, second, third = (state.run.key for state in states)
    work._claims.take(first)
    with work._claims.held(first), pytest.MonkeyPatch.context() as patched:
        patched.setattr(on_ray.time, "perf_counter", lambda: clock.now)
        assert driver._look().left_s is None
        work._put(states[0].model_copy(update={"status": "done"}))
        clock.now = 100.0
        alone = driver._look().left_s
    assert alone is not None
    work._claims.take(second)
    work._claims.take(third)
    with work._claims.held(second), work._claims.held(third):
        assert work.progress().left_s == pytest.approx(alone / 2)
