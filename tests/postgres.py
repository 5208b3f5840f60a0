"""A real PostgreSQL server for tests: started once, with a new database for each."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

from benchmarks.serving import free_port

_USER = "nobody"


def binary(name):
    """Where a program of the server is; none where it is not installed."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or next(map(str, places), None)


class Server:
    """A server of its own on loopback, its data in a temporary folder."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="speechplan-postgres-"))
        self.port = free_port()
        # The server refuses to run as root.
        self._as = {"user": _USER, "group": pwd.getpwnam(_USER).pw_gid} if not os.getuid() else {}
        if self._as:
            shutil.chown(self.folder, _USER)
        options = ["--auth=trust", "--username=speechplan", "--encoding=UTF8", "--no-sync"]
        self._run("initdb", "--pgdata", self.folder / "data", *options)
        self.start()

    def url(self, database):
        return f"postgresql+psycopg://speechplan@127.0.0.1:{self.port}/{database}"

    def fresh(self):
        """URL of a new and empty database."""
        import psycopg

        name = f"test_{uuid.uuid4().hex}"
        address = f"host=127.0.0.1 port={self.port} user=speechplan dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"create database {name}")
        return self.url(name)

    def start(self):
        settings = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c fsync=off"
        log = ["--log", self.folder / "log", "--wait", "--timeout=120"]
        self._run("pg_ctl", "start", "--pgdata", self.folder / "data", *log, "-o", settings)

    def stop(self):
        self._run("pg_ctl", "stop", "--pgdata", self.folder / "data", "--mode=immediate")

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder)

    def _run(self, name, *arguments):
        command = [binary(name), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, timeout=180, **self._as
        )
        assert done.returncode == 0, command


def server():
    """A fixture's body: the server, or the reason why there is none."""
    if binary("initdb") is None or binary("pg_ctl") is None:
        pytest.skip("needs PostgreSQL's initdb and pg_ctl, which are not on this machine")
    pytest.importorskip("psycopg")
    started = Server()
    yield started
    started.remove()
