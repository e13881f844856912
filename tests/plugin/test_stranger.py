"""The wheel, installed into a fresh environment and used by a project's tests with OpenAI's SDK, without a network."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sdk import cache, python_sdk
from tests.wheel import installed, wheel

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIMIT = 300
"""Seconds that all runs of the project's tests may take; alone on a machine it is about ten."""
# The newest needs an HTTP library that is incompatible with mitmproxy 11.
SDK = python_sdk.NEWEST if sys.version_info >= (3, 12) else python_sdk.BEFORE_MULTIPART
REQUIREMENTS = (f"openai=={SDK}", "pytest>=8.3")


class Environment:
    """A fresh virtual environment that finds what the wheel and its dependencies are, in folders kept between runs."""

    def __init__(self, folder: Path) -> None:
        self._attempts = folder / "attempts"
        home = folder / "venv"
        cache.run(sys.executable, "-I", "-m", "venv", "--without-pip", home, cwd=folder)
        self._python = home / "bin" / "python"
        (site,) = home.glob("lib/python*/site-packages")
        (site / "packages.pth").write_text(f"{installed()}\n{_dependencies()}\n")
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


def _dependencies() -> Path:
    def fill(folder: Path) -> None:
        cache.python(str(wheel()), *REQUIREMENTS)(folder)
        for path in folder.glob("mitm_ai_proxy*"):
            shutil.rmtree(path)
        sdk = python_sdk.folder(SDK)
        if not (sdk / "openai" / "__pycache__").exists():
            code = "import sys; sys.path.append(sys.argv[1]); import openai"
            cache.run(sys.executable, "-I", "-S", "-c", code, sdk, cwd=sdk)
        cache.take_compiled(folder, cache.SITE, sdk)

    text = (ROOT / "pyproject.toml").read_text() + " ".join(REQUIREMENTS)
    return cache.folder(f"stranger-{hashlib.sha256(text.encode()).hexdigest()[:12]}", fill)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that uses the plugin."""
    return Path(shutil.copytree(HERE / "stranger", tmp_path / "project"))


# One interpreter, since most of what a run takes is to import the SDK and the proxy.
RUNS = """
import pathlib
import sys
import pytest

statuses = [pytest.main(["--ai-strict"])]
pathlib.Path("cassettes").rename("played")
print("NEXT")
statuses.append(pytest.main(["--ai-simulate", "--ai-record=rewrite"]))
print("NEXT")
statuses.append(pytest.main([]))
sys.exit(statuses != [0, 0, 0])
"""


def test_recorded_jobs_replay_where_there_is_no_network_and_are_recorded_again_from_the_simulator(
    environment: Environment, project: Path
) -> None:
    played, recorded, replayed = environment.run("-c", RUNS, folder=project).split("NEXT\n")

    assert all("7 passed" in said and "mitm-ai-proxy-" in said for said in (played, recorded, replayed))
    assert " replayed, 4 simulated; replaying saved " in played
    assert _recordings(project / "played") == _recordings(HERE / "stranger" / "cassettes")
    assert "recording cost nothing" in recorded
    assert " (simulated)" in replayed
    assert environment.attempts == []


def _recordings(folder: Path) -> dict[Path, bytes]:
    found = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.har")}
    assert found
    return found


def test_an_attempt_to_reach_somebody_would_be_seen(environment: Environment, tmp_path: Path) -> None:
    code = "import socket\ntry: socket.create_connection(('192.0.2.1', 80))\nexcept OSError as error: print(error)"
    try:
        assert environment.run("-c", code, folder=tmp_path) == "there is no network, and so no 192.0.2.1\n"
        assert set(environment.attempts) == {"192.0.2.1"}
    finally:
        environment.forget()
