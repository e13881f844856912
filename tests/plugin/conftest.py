"""Fixtures of the plugin's tests: a simulated provider on loopback, and a project with tests of its own."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mitm_ai_proxy.simulator.app import Simulator
from mitm_ai_proxy.simulator.server import make
from mitm_ai_proxy.simulator.settings import ACCESS_KEY, SECRET_KEY, SimulatorSettings
from mitm_ai_proxy.simulator.tasks import Store
from tests.forked import ForkedProgram
from tests.sdk import cache

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

collect_ignore = ["stranger"]

# Other plugins, by their versions, and Django. pytest itself is the one of this environment.
PACKAGES = (
    "pytest-recording==0.14.1",
    "vcrpy==9.4.2",
    "wrapt",
    "pytest-asyncio==1.5.0",
    "anyio==4.16.0",
    "idna",
    "typing-extensions",
    "pytest-socket==0.8.1",
    "pytest-rerunfailures==16.7",
    "pytest-randomly==5.1.0",
    "django==5.2.9",
    "asgiref",
    "sqlparse",
)

LIMIT = 60
"""Seconds after which a run is ended."""

INI = """
[pytest]
addopts = -p client --strict-markers --strict-config -p no:asyncio -p no:anyio -p no:recording -p no:cacheprovider
filterwarnings = error
"""
CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def ai_proxy_config(ai_proxy_config):
    return {{"provider": {{**ai_proxy_config["provider"], "providerDomain": "{origin}"}}}}
"""


class Provider(Simulator):
    """A simulated Kling that notes its requests; its tasks take no time.

    `failures` are the statuses of creates that fail, by their prompts.
    """

    def __init__(self) -> None:
        super().__init__(SimulatorSettings(speed=math.inf))
        self.asked: list[str] = []
        self.failures: dict[str, str] = {}
        self._server = make(self, "127.0.0.1", 0)
        self.origin = f"http://127.0.0.1:{self._server.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.asked.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        if self.failures and environ["REQUEST_METHOD"] == "POST":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            environ["wsgi.input"] = io.BytesIO(body)
            if status := self.failures.get(json.loads(body)["prompt"]):
                start_response(f"{status} Failure", [("Content-Type", "application/json")])
                return [b'{"code": 1302, "message": "a failure"}' if status == "429" else b"{}"]
        return super().__call__(environ, start_response)

    def forget(self) -> None:
        """Remove all tasks, so that their external names can be used again."""
        self.store = Store(self.settings, time.time)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="session")
def plugins() -> Path:
    """A folder with PACKAGES, in the cache of tests/sdk/cache.py."""
    digest = hashlib.sha256(" ".join(PACKAGES).encode()).hexdigest()[:12]
    try:
        return cache.folder(f"plugins-{digest}", cache.python("--no-deps", *PACKAGES))
    except AssertionError as error:
        pytest.skip(f"the other plugins cannot be installed here: {str(error).splitlines()[-1]}")


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.close()


class Project:
    """Tests in a folder, run by pytest in a process of its own: mitmproxy can run only once in a process.

    The process is a fork that has mitmproxy's modules; with `is_forked` False, a new interpreter.
    """

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.is_forked = True
        self.path = pytester.path
        self._pytester = pytester
        for file in Path(__file__).parent.glob("inside/*.py"):
            (self.path / file.name).write_bytes(file.read_bytes())
        (self.path / "pytest.ini").write_text(INI)

    def write(self, **files: str) -> None:
        """Write Python files, given by their names without suffix."""
        self._pytester.makepyfile(**files)

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run the tests of the project."""
        if not self.is_forked:
            return self._pytester.runpytest_subprocess(*arguments, timeout=LIMIT)
        began = time.monotonic()
        command = ["pytest", f"--basetemp={self.path}/basetemp", *arguments]
        program = ForkedProgram(command, self.path, dict(os.environ))
        alarm = threading.Timer(LIMIT, program.terminate)
        alarm.start()
        output = program.stdout.read()
        status = program.wait(LIMIT)
        alarm.cancel()
        program.stdout.close()
        print(output)
        return pytest.RunResult(status, output.splitlines(), [], time.monotonic() - began)

    def cassettes(self) -> set[str]:
        """The paths of the project's cassettes."""
        return {str(path.relative_to(self.path)) for path in self.path.rglob("*.har")}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without a credential."""
    for name in ("KLING_ACCESS_KEY", "KLING_SECRET_KEY", "KLING_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Project(pytester)


@pytest.fixture
def recording(project: Project, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a credential, whose configuration names the provider."""
    monkeypatch.setenv("KLING_ACCESS_KEY", ACCESS_KEY)
    monkeypatch.setenv("KLING_SECRET_KEY", SECRET_KEY)
    project.write(conftest=CONFTEST.format(origin=provider.origin))
    return project
