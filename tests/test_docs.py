"""The documentation: every command is run, but for what no test can; the reference is current.

A block may be preceded by ``<!-- test: ... -->``, several of these apart by ``;``:
``needs THING`` (where a test has none, commands are held against their options only),
``file NAME`` (the block is that file), ``background`` (the command stays up for the rest of the
page), ``with OPTIONS`` (behind each command, so that it is quick), ``exit CODE``,
``after SECONDS``. Output that a page shows has to come; ``...`` stands for anything. What pages
suppose to be there, folders of speech, weights and a database, :class:`Session` prepares.
"""

import contextlib
import csv
import importlib.util
import itertools
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
import typer
from typer.testing import CliRunner

import tests.postgres
from api.cli.main import app
from measurements.datasets import DEMO_FOLDER
from measurements.store import Store
from models_registry import MODELS
from models_registry.adapters import adapters_dir
from models_registry.weights import WHEELS, available, fetch
from tests.conftest import installed

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if p.parent.name != "reference"),
]
DATABASE = "postgresql+psycopg://speechplan:secret@db.example/speechplan"
"""What pages call a PostgreSQL database of the reader's."""

VERIFICATION = "5d1f1e4e-8a0b-4f0c-9d0e-3f3f2d1c0b9a"
"""Id of the last verification on a page."""

NEVER_HERE = ("gpu", "hub", "make")
"""What no test has: a GPU of its own, a network, or the time to install everything anew."""

_DIRECTIVES = ("needs", "file", "background", "with", "exit", "after")
_BLOCK = re.compile(r"(?:<!-- test: (.*?) -->\n)?```(\w+)\n(.*?)```", re.S)


class Block(NamedTuple):
    directives: dict[str, str]
    language: str
    text: str


def blocks(page):
    found = _BLOCK.findall(page.read_text(encoding="utf-8"))
    return [Block(_directives(said), language, text) for said, language, text in found]


def _directives(text):
    words = [part.strip().partition(" ") for part in text.split(";") if part.strip()]
    assert all(name in _DIRECTIVES for name, _, _ in words), text
    return {name: argument for name, _, argument in words}


def commands(text):
    """Commands of a console block with the output that is shown below each."""
    found = []
    for line in text.replace("\\\n", "").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


# --- links, and the reference ---


def test_every_link_leads_somewhere():
    for page in [*PAGES, *(ROOT / "docs" / "reference").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        anchors = {
            re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-")
            for h in re.findall(r"^#+ (.*)$", text, re.M)
        }
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("http"):
                continue
            file, _, anchor = target.partition("#")
            assert not file or (page.parent / file).exists(), (page, target)
            assert file or anchor in anchors, (page, target)


def test_the_reference_is_current():
    """Catches an option, a route, a setting or a signature that changed without it."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs" / "build.py")
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    for name, content in build.pages().items():
        kept = (build.REFERENCE / name).read_text(encoding="utf-8")
        assert kept == content, f"{name} is out of date: run 'python docs/build.py'"


# --- commands ---


def parse(command):
    """Holds a command's words against the options, or targets, that there are; runs nothing."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert all(word in targets for word in words[1:] if "=" not in word), command
        return True
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)
    if not words or words[0] != "speechplan":
        return False
    group, name = typer.main.get_command(app), "speechplan"
    words = words[1:]
    while hasattr(group, "commands"):
        name = words.pop(0)
        assert name in group.commands, command
        group = group.commands[name]
    group.make_context(name, words)
    return True


def test_parsing_notices_what_is_not_there():
    for wrong in (
        "speechplan measur",
        "speechplan cost --mdel x",
        "speechplan adapt --rank many",
        "make demos",
    ):
        with pytest.raises(Exception):  # noqa: B017
            parse(wrong)
    assert parse("A=b speechplan cost --model tiny")
    assert parse("make test TORCH=x  # a remark")


def test_nothing_is_only_parsed_that_could_be_run():
    """Catches a block that is kept from running for any other reason than these."""
    needed = {b.directives["needs"] for p in PAGES for b in blocks(p) if "needs" in b.directives}
    assert needed == {*NEVER_HERE, "postgresql", "ray"}


class Session:
    """A folder in which a page's blocks are carried out, one after another."""

    def __init__(self, folder, postgres):
        self.folder, self.postgres = folder, postgres
        self.names = {"__name__": "__docs__"}
        self.background = []
        self._database = None

    def has(self, thing):
        """Whether it is there; a database is made for the page that first asks for one."""
        if thing == "postgresql":
            self._database = self._database or self.postgres()
            return self._database is not None
        if thing == "ray":
            # The tests of Ray start a cluster of their own; one that is there is used here too.
            return installed("ray") and "RAY_ADDRESS" in os.environ
        assert thing in NEVER_HERE, thing
        return False

    def own(self, text):
        """A block with this session's port and database in place of the reader's."""
        if "~/my-whisper" in text and not (mine := Path.home() / "my-whisper").exists():
            mine.symlink_to(fetch(WHEELS.get("whisper-tiny.en"), MODELS.get("whisper-tiny.en")))
        text = text.replace(":8000", f":{os.environ['SPEECHPLAN_PORT']}")
        return text.replace(DATABASE, self._database or DATABASE)

    def latest(self, command):
        """A command with the id that this session's last verification really has."""
        if VERIFICATION not in command:
            return command
        store = Store(os.environ["SPEECHPLAN_DATABASE_URL"])
        found = store.verifications()[-1].id
        store.close()
        return command.replace(VERIFICATION, found)

    def run(self, command):
        """Exit code and output; plain commands run in this process, which is quicker."""
        plain = command.startswith("speechplan ") and not re.search(r"[|<>$;&`]", command)
        if plain:
            result = CliRunner().invoke(app, shlex.split(command)[1:])
            return result.exit_code, result.output
        script = f"{command}\ncode=$?\nprintenv -0 > .environment\nexit $code"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        kept = (self.folder / ".environment").read_text().split("\0")
        for name, _, value in (line.partition("=") for line in kept if "=" in line):
            if name.startswith("SPEECHPLAN_"):
                os.environ[name] = value
        return done.returncode, done.stdout

    def start(self, command):
        arguments = shlex.split(command)[1:]
        words = [sys.executable, "-m", "api.cli", *arguments, "--device", "cpu"]
        log = self.folder / f"{len(self.background)}.log"
        with log.open("w") as stream:
            started = subprocess.Popen(
                words, cwd=self.folder, start_new_session=True, stdout=stream, stderr=stream
            )
        self.background.append(started)
        if arguments[0] == "serve":
            wait_for(int(os.environ["SPEECHPLAN_PORT"]))
            return
        for _ in range(1800):
            if "worker_started" in log.read_text():
                return
            time.sleep(0.1)
        raise AssertionError(log.read_text())

    def end(self):
        for started in self.background:
            started.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(20)
            started.kill()


def wait_for(port):
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on {port}")


def librispeech(folder):
    """Demo speech in LibriSpeech's layout."""
    with (DEMO_FOLDER / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    speakers = itertools.count(100)
    for subset, chosen in (("train-clean-100", rows[4:8]), ("test-other", rows[:2])):
        for row, speaker in zip(chosen, speakers, strict=False):
            chapter = folder / subset / str(speaker) / "1"
            chapter.mkdir(parents=True)
            name = f"{speaker}-1-0000"
            shutil.copy(DEMO_FOLDER / row["audio"], chapter / f"{name}.flac")
            (chapter / f"{speaker}-1.trans.txt").write_text(f"{name} {row['text'].upper()}\n")


def emodb(folder):
    """Demo speech under EmoDB's names; what it is called to express is made up."""
    (folder / "wav").mkdir(parents=True)
    names = [
        f"{speaker}a0{text}{emotion}a"
        for speaker in ("03", "08", "09")
        for text, emotion in ((1, "N"), (2, "W"))
    ]
    for name, audio in zip(names, sorted((DEMO_FOLDER / "audio").iterdir()), strict=False):
        shutil.copy(audio, folder / "wav" / f"{name}.flac")


@pytest.fixture
def session(tmp_path, monkeypatch, request):
    # Each page trains its own.
    shutil.rmtree(adapters_dir(), ignore_errors=True)
    (tmp_path / "calls").mkdir()
    for name in ("00", "01", "02", "04"):
        shutil.copy(DEMO_FOLDER / "audio" / f"{name}.flac", tmp_path / "calls")
    home = tmp_path / "home"
    librispeech(home / "LibriSpeech")
    emodb(home / "EmoDB")
    monkeypatch.setenv("HOME", str(home))
    programs = tmp_path / "programs"
    programs.mkdir()
    shim = programs / "speechplan"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m api.cli "$@"\n')
    shim.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHPLAN_DATABASE_URL", f"sqlite:///{tmp_path / 'docs.db'}")
    monkeypatch.setenv("SPEECHPLAN_PORT", str(port))
    monkeypatch.setenv("SPEECHPLAN_TIMING_BUDGET_S", "0.5")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "160")
    # Set, so that what a page exports is taken back behind it.
    monkeypatch.setenv("SPEECHPLAN_API_KEY", "")
    monkeypatch.delenv("SPEECHPLAN_API_KEY")
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    monkeypatch.setattr(MODELS, "_aliases", dict(MODELS._aliases))

    def postgres():
        if not tests.postgres.binary("initdb") or not installed("psycopg"):
            return None
        return request.getfixturevalue("postgres").fresh()

    opened = Session(tmp_path, postgres)
    yield opened
    opened.end()


def pattern_of(lines):
    """Shown output as a pattern: ``...`` is anything, however many lines; blanks are alike."""
    words = " ".join(" ".join(lines).split())
    return re.escape(words).replace(r"\.\.\.", ".*").replace(r"\ ", r"\s+")


@pytest.mark.real
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_s_commands_do_what_it_says(page, session):
    if not installed("torch") or not available("whisper-tiny.en"):
        pytest.skip("needs torch and the offline weights")
    for block in blocks(page):
        said = block.directives
        here = "needs" not in said or session.has(said["needs"])
        text = session.own(block.text)
        if "file" in said:
            (session.folder / said["file"]).write_text(text)
        elif block.language == "python" and here:
            exec(compile(text, str(page), "exec"), session.names)
        elif block.language == "console":
            time.sleep(float(said.get("after", 0)))
            for command, shown in commands(text):
                if not here:
                    parse(command)
                elif "background" in said:
                    session.start(command)
                else:
                    command = session.latest(f"{command} {said.get('with', '')}".strip())
                    code, output = session.run(command)
                    assert code == int(said.get("exit", 0)), f"{command}\n{output}"
                    wanted = pattern_of(map(session.latest, shown))
                    found = " ".join(output.split())
                    assert re.search(wanted, found, re.S), f"{command}\n{output}"
