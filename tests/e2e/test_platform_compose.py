"""The services of compose.yaml as processes: their commands and environments, a real Redis and a real PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from mitm_ai_proxy.auth.secret import Secret
from mitm_ai_proxy.platform.postgres import PostgresDatabase
from mitm_ai_proxy.platform.schema import MIGRATIONS
from mitm_ai_proxy.platform.store import Store
from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.server import make
from mitm_ai_proxy.simulator.settings import SimulatorSettings
from tests.forked import ForkedProgram
from tests.platform import compose
from tests.platform.servers import DEADLINE, Postgres, binary, free_port, until

SECRETS = {
    "KLING_ACCESS_KEY": "compose-access",
    "KLING_SECRET_KEY": "compose-s3cret-0123456789-0123456789",
    "POSTGRES_PASSWORD": "pa55",
}
CALLBACKS = "whsec_Y2FsbGJhY2tzIG9mIGNvbXBvc2U="
JOBS = 10
PORTS = {"gateway": 8080, "api": 8000, "webhook": 8001, "redis": 6379, "db": 5432}
CONFIG = """
provider:
  type: kling
  klingAccessKey: ${KLING_ACCESS_KEY:-}
  klingSecretKey: ${KLING_SECRET_KEY:-}
  providerDomain: ${SIMULATOR:-}

platform:
  concurrency: 5
  # Nobody looks at a task in that time: it is a callback that says when to look.
  timing: {typical: 1000, sweep: 0.5, again: [0.5], doubt: [0.5]}
"""


@contextmanager
def _kling() -> Iterator[int]:
    """A Kling that knows the key of the compose file; its port."""
    secret, access_key = Secret(SECRETS["KLING_SECRET_KEY"]), SECRETS["KLING_ACCESS_KEY"]
    settings = SimulatorSettings(speed=100, access_key=access_key, secret_key=secret, webhook_secret=Secret(CALLBACKS))
    with make(Simulator(settings), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="kling")
        thread.start()
        try:
            yield server.port
        finally:
            server.shutdown()
            thread.join()


Running: TypeAlias = "ForkedProgram | subprocess.Popen[bytes]"


class Composed:
    """All services, started as the file says; what is a host's name there is a port of 127.0.0.1 here."""

    def __init__(self, folder: Path, postgres: Postgres, kling: int) -> None:
        self.ports = {name: free_port() for name in PORTS} | {"db": postgres.port}
        self._folder, self._postgres, self._kling = folder, postgres, kling
        (folder / "config.yaml").write_text(CONFIG)
        urls = {"STORAGE_URL": f"file://{folder}/results", "PUBLIC_URL": f"http://127.0.0.1:{self.ports['webhook']}"}
        self.services = compose.read({**SECRETS, **urls, "KLING_WEBHOOK_SECRET": CALLBACKS})
        self.running: dict[str, list[Running]] = {}

    def start(self) -> None:
        """Start them in the order in which they depend on each other, and wait until they are there."""
        for name in ("redis", "gateway", "api", "worker", "webhook"):
            count = self.services[name].get("deploy", {}).get("replicas", 1)
            self.running[name] = [self._start(name) for _ in range(count)]
            if name in self.ports:
                until(lambda name=name: self._is_open(name), lambda name=name: self.log(name))  # type: ignore[misc]

    def _start(self, name: str) -> Running:
        service = self.services[name]
        command = [self._here(word) for word in service["command"]]
        log = self._folder / f"{name}.log"
        environment = {key: self._here(str(value or "")) for key, value in service.get("environment", {}).items()}
        environment |= {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "SIMULATOR": f"http://127.0.0.1:{self._kling}",
        }
        if name == "redis":
            program = binary(command[0])
            assert program
            here = ("--port", str(self.ports["redis"]), "--bind", "127.0.0.1", "--save", "")
            with log.open("ab") as output:
                words = [program, *command[1:], *here]
                return subprocess.Popen(words, cwd=self._folder, stdout=output, stderr=output, env=environment)
        if "--port" in command:
            command[command.index("--port") + 1] = str(self.ports[name])
        return ForkedProgram(["ai-proxy", *command], self._folder, environment, log=log)

    def _here(self, word: str) -> str:
        for name, port in PORTS.items():
            word = word.replace(f"@{name}:{port}", f"@127.0.0.1:{self.ports[name]}")
            word = word.replace(f"//{name}:{port}", f"//127.0.0.1:{self.ports[name]}")
        word = word.replace(f"platform:{SECRETS['POSTGRES_PASSWORD']}@", f"tester:{SECRETS['POSTGRES_PASSWORD']}@")
        word = word.replace(f":{self.ports['db']}/platform", f":{self.ports['db']}/postgres")
        return {"/config.yaml": str(self._folder / "config.yaml"), "0.0.0.0": "127.0.0.1"}.get(word, word)

    def _is_open(self, name: str) -> bool:
        for process in self.running.get(name, []):
            assert process.poll() is None, self.log(name)
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/healthz", timeout=5).close()
        except urllib.error.HTTPError:
            return True
        except (urllib.error.URLError, ConnectionError) as error:
            return "refused" not in str(error)
        except Exception:
            # A Redis answers in no HTTP.
            return True
        return True

    def log(self, name: str) -> str:
        """What a service has written."""
        return (self._folder / f"{name}.log").read_text()

    def ask(self, path: str, body: Any = None) -> Any:
        """A request to the API."""
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.ports['api']}{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=30
        ) as answer:
            return json.loads(answer.read())

    def close(self) -> None:
        """End all that runs."""
        for process in (process for processes in self.running.values() for process in processes):
            process.kill()
            process.wait(DEADLINE)


def _rows(postgres: Postgres) -> str:
    """All that the database holds, as text."""
    with psycopg.connect(postgres.url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        found = [connection.execute(f"SELECT * FROM {name}".encode()).fetchall() for (name,) in names]
    assert any(found)
    return repr(found)


@pytest.fixture
def composed(postgres: Postgres, tmp_path: Path) -> Iterator[Composed]:
    """All services."""
    if not binary("redis-server"):
        pytest.skip("Redis is not installed")
    postgres.clear()
    with ExitStack() as stack:
        made = Composed(tmp_path, postgres, stack.enter_context(_kling()))
        stack.callback(made.close)
        made.start()
        yield made


def test_the_commands_of_the_file_store_ten_jobs_and_end_when_they_are_told(composed: Composed, tmp_path: Path) -> None:
    jobs = [composed.ask("/api/videos", {"prompt": f"cat {number}"})["job_id"] for number in range(JOBS)]
    ends_at = time.monotonic() + DEADLINE
    while any(composed.ask(f"/api/videos/{job}")["status"] != "stored" for job in jobs):
        assert time.monotonic() < ends_at, composed.log("worker") + composed.log("gateway")
        time.sleep(0.5)

    assert len(list((tmp_path / "results").rglob("*.mp4"))) == JOBS
    assert composed.ask("/readyz")["status"] == "ok"
    url = f"http://127.0.0.1:{composed.ports['webhook']}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{url}/api/videos", timeout=10)
    refused.value.close()
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        results = re.findall(r'platform_callbacks_total{result="(\w+)"} ([0-9.]+)', answer.read().decode())
    assert [(result, float(count) >= JOBS) for result, count in results] == [("taken", True)]
    store = Store(PostgresDatabase(Secret(composed._postgres.url), MIGRATIONS))
    workers = {event.worker for event in store.events() if event.after == "processing"}
    store.close()
    assert len(workers) == 2
    secrets = (*SECRETS.values(), CALLBACKS)
    assert not [secret for secret in secrets if secret in _rows(composed._postgres)]
    for name in ("api", "worker", "webhook", "gateway"):
        for process in composed.running[name]:
            process.terminate()
    for name in ("api", "worker", "webhook", "gateway"):
        assert [process.wait(DEADLINE) for process in composed.running[name]] == [0] * len(composed.running[name]), name
    logs = "".join(composed.log(name) for name in composed.running)
    assert not [secret for secret in secrets if secret in logs]


def test_only_the_gateway_gets_klings_key_and_nothing_is_open_but_on_this_machine() -> None:
    services = compose.read(SECRETS)

    holders = [name for name, service in services.items() if "KLING_SECRET_KEY" in service.get("environment", {})]
    assert holders == ["gateway"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8000:8000", "127.0.0.1:8001:8001"]
    own = [service for service in services.values() if "build" in service]
    assert all(service["read_only"] and service["stop_grace_period"] == "2m" for service in own)
    assert len(own) == 4


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_is_not_set_is_named(name: str) -> None:
    with pytest.raises(compose.Missing, match=name):
        compose.read({**SECRETS, name: ""})
