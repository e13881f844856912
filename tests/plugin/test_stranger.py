"""The wheel, installed into a fresh environment and used by a project's tests with OpenAI's SDK, without a network."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk import cache, python_sdk
from tests.wheel import wheel

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT = 120
"""Seconds that a run of the project's tests may take."""
# The newest needs an HTTP library that is incompatible with mitmproxy 11.
SDK = python_sdk.NEWEST if sys.version_info >= (3, 12) else python_sdk.BEFORE_MULTIPART
REQUIREMENTS = (f"openai=={SDK}", "pytest>=8.3")


class Environment:
    """A fresh virtual environment with the wheel; its dependencies are in a folder that is kept between runs."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self._attempts = folder / "attempts"
        home = folder / "venv"
        cache.run(sys.executable, "-I", "-m", "venv", "--without-pip", home, cwd=folder)
        self._python = home / "bin" / "python"
        cache.install(self._python, "--no-deps", "--no-index", wheel)
        (site,) = home.glob("lib/python*/site-packages")
        (site / "dependencies.pth").write_text(f"{_dependencies(wheel)}\n")
        shutil.copy(HERE / "outside" / "no_network.py", site)
        (site / "no_network.pth").write_text("import no_network\n")

    @property
    def attempts(self) -> list[str]:
        """The hosts that the tests tried to connect to."""
        return self._attempts.read_text().splitlines() if self._attempts.exists() else []

    def forget(self) -> None:
        """Forget the attempts."""
        self._attempts.unlink(missing_ok=True)

    def run(self, *arguments: str, folder: Path) -> str:
        """Run Python; returns what it prints. Fails if its exit status is not 0."""
        environment = {
            name: value
            for name, value in cache.clean_environment().items()
            if not name.startswith(("PYTEST", "PYTHON"))
        }
        done = subprocess.run(
            [self._python, *arguments],
            cwd=folder,
            env={**environment, "NETWORK_ATTEMPTS": str(self._attempts)},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"
        return done.stdout


def _dependencies(wheel: Path) -> Path:
    def fill(folder: Path) -> None:
        cache.python(str(wheel), *REQUIREMENTS)(folder)
        for path in folder.glob("mitm_ai_proxy*"):
            shutil.rmtree(path)

    text = (ROOT / "pyproject.toml").read_text() + " ".join(REQUIREMENTS)
    return cache.folder(f"stranger-{hashlib.sha256(text.encode()).hexdigest()[:12]}", fill)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("stranger"), wheel())


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that uses the plugin."""
    return Path(shutil.copytree(HERE / "stranger", tmp_path / "project"))


def test_recorded_jobs_replay_where_there_is_no_network(environment: Environment, project: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*.har")}
    said = environment.run("-m", "pytest", "--ai-strict", folder=project)

    assert "7 passed" in said
    assert "mitm-ai-proxy-" in said
    assert " replayed, 4 simulated; replaying saved " in said
    assert environment.attempts == []
    assert {path: path.read_bytes() for path in project.rglob("*.har")} == before


def test_they_can_be_recorded_again_from_the_simulator(environment: Environment, project: Path) -> None:
    shutil.rmtree(project / "cassettes")
    said = environment.run("-m", "pytest", "--ai-simulate", "--ai-record=rewrite", folder=project)
    assert "7 passed" in said
    assert "recording cost nothing" in said
    said = environment.run("-m", "pytest", folder=project)
    assert "7 passed" in said
    assert " (simulated)" in said
    assert environment.attempts == []


def test_an_attempt_to_reach_somebody_would_be_seen(environment: Environment, tmp_path: Path) -> None:
    code = "import socket\ntry: socket.create_connection(('192.0.2.1', 80))\nexcept OSError as error: print(error)"
    try:
        assert environment.run("-c", code, folder=tmp_path) == "there is no network, and so no 192.0.2.1\n"
        assert set(environment.attempts) == {"192.0.2.1"}
    finally:
        environment.forget()
