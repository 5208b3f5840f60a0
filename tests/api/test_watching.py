"""The bar of commands that go through many files."""

import json
import os
import select
import sys
from contextlib import contextmanager

import pytest

from api.cli.main import app
from measurements.datasets import DEMO_FOLDER

FILES = [str(file) for file in sorted((DEMO_FOLDER / "audio").iterdir())[:3]]


class Model:
    def transcribe(self, samples, rate):
        return f"{len(samples)} samples"

    def classify(self, samples, rate):
        return {"anger": 0.75, "joy": 0.25}


@pytest.fixture(autouse=True)
def model(monkeypatch):
    monkeypatch.setattr("models_registry.load", lambda *_, **__: Model())
    monkeypatch.setenv("TERM", "xterm")


@contextmanager
def terminal(monkeypatch):
    """A real terminal for standard error; what was written to it, by calling this."""
    ours, theirs = os.openpty()
    # In the test's own phase: pytest puts another standard error in for every one.
    with os.fdopen(theirs, "w") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stream)

        def written():
            stream.flush()
            found = b""
            # What was written comes through a terminal piece by piece, a little later.
            while select.select([ours], [], [], 0.3)[0]:
                found += os.read(ours, 100_000)
            return found.decode()

        yield written
    os.close(ours)


@pytest.mark.parametrize("command", ["transcribe", "classify"])
def test_many_files_have_a_bar_and_the_answers_go_where_they_went(command, monkeypatch, capsys):
    """Catches a bar that takes what is printed to itself: with '> file' that would be lost."""
    with terminal(monkeypatch) as written:
        app([command, "--model", "tiny.en", *FILES], standalone_mode=False)
        shown = written()
    assert "3/3" in shown and command[:6] in shown
    printed = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in printed] == FILES
    assert "samples" not in shown and "anger" not in shown


@pytest.mark.parametrize("command", ["transcribe", "classify"])
def test_one_file_and_json_have_none(command, monkeypatch, capsys):
    with terminal(monkeypatch) as written:
        app([command, "--model", "tiny.en", FILES[0]], standalone_mode=False)
        capsys.readouterr()
        app([command, "--model", "tiny.en", *FILES, "--json"], standalone_mode=False)
        assert written() == ""
    found = json.loads(capsys.readouterr().out)
    assert list(found["transcripts" if command == "transcribe" else "probabilities"]) == FILES


def test_nor_has_a_pipe(capsys):
    app(["transcribe", "--model", "tiny.en", *FILES], standalone_mode=False)
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3 and said.err == ""
