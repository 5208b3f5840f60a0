"""What Ray's processes do in tests: runs of a tiny model, or runs that are made up."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from measurements.datasets import DatasetError
from measurements.progress import Progress
from measurements.sweeps import on_ray, runner
from measurements.sweeps.runner import Sweep
from models_registry import MODELS
from tests import pico_whisper

_task = on_ray._task


def save_hub(folder):
    """The tiny model in a cache of the hub."""
    snapshot = folder / "models--test--whisper-pico" / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    pico_whisper.save_checkpoint(snapshot)


def real(hub, *arguments):
    """A task whose process knows the tiny model.

    Args:
        hub: Folder that :func:`save_hub` filled.
        arguments: The task's.
    """
    os.environ["HF_HUB_CACHE"] = str(hub)
    if "whisper-pico" not in MODELS:
        MODELS.add("whisper-pico", pico_whisper.architecture())
    return _task(*arguments)


class Fake:
    """A run without a model, named after its window; files in a folder say what happens to it.

    ``deadly``: the first to begin is killed. ``slow``: 20.0 waits until the file is gone. ``met``:
    each waits until another process is at work too. 15.0 always fails.
    """

    def __init__(self, folder, run, device):
        self.folder, self.name = folder, str(run.configuration.window_s)
        self.device = device

    def share(self, prefixes):
        pass

    def run(self, report):
        report(Progress("transcribing", 0, 2))
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        note(self.folder / "begun", f"{self.name} {self.device} {gpus}")
        if (self.folder / "deadly").exists():
            (self.folder / "deadly").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.name == "15.0":
            raise DatasetError("one.wav: gone")
        report(Progress("transcribing", 1, 2))
        while self.name == "20.0" and (self.folder / "slow").exists():
            time.sleep(0.1)
        if (self.folder / "met").exists():
            note(self.folder / "met", str(os.getpid()))
            while len(set((self.folder / "met").read_text().split())) < 2:
                time.sleep(0.1)
        note(self.folder / "ended", self.name)
        return SimpleNamespace(key=self.name, metric=None)


def note(path, line):
    with Path(path).open("a") as stream:
        stream.write(f"{line}\n")


def faked(folder, *arguments):
    """A task whose runs are made up.

    Args:
        folder: Where they note what they do.
        arguments: The task's.
    """
    with (
        mock.patch.object(runner, "_evaluation", lambda run, _, device: Fake(folder, run, device)),
        mock.patch.object(Sweep, "_shared", lambda _: None),
    ):
        return _task(*arguments)


def drive(url, spec, folder, address):
    """A process that runs a sweep whose runs are made up; it says so before it begins.

    Args:
        url: The store's.
        spec: The sweep's.
        folder: Where the runs note what they do.
        address: The cluster's.
    """
    from measurements.store import Store

    on_ray._task = lambda *arguments: faked(Path(folder), *arguments)
    on_ray.run(Sweep(spec, Store.open(url)), address=address)
