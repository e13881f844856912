"""The ways to start: the wheel without a checkout, the command, and run.sh."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import wheel
from tests.e2e.conftest import StartProxy
from tests.e2e.proxy import DEADLINE
from tests.e2e.upstream import Upstream

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed() -> Path:
    """A folder with the content of a built wheel."""
    return wheel.installed()


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("KLING_", "AI_PROXY_"))}


def _run(*command: str | Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=_clean() | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE * 3,
        check=False,
    )


def test_the_script_of_a_wheel_works_without_a_checkout(
    installed: Path, kling: str, upstream: Upstream, start_proxy: StartProxy, tmp_path: Path
) -> None:
    command = (sys.executable, "-m", "mitm_ai_proxy.commands.main", "script")
    printed = _run(*command, folder=tmp_path, PYTHONPATH=str(installed)).stdout.strip()
    assert printed == str(installed / "mitm_ai_proxy" / "script" / "ai_proxy.py")

    proxy = start_proxy(kling, script=Path(printed), environment={"PYTHONPATH": str(installed)})
    assert b"kling-t2v-" in proxy.request("POST", "/v1/videos", b"{}").body
    assert upstream.next().target == "/v1/videos/text2video"


def test_the_wheel_holds_the_package_and_the_command_and_nothing_else(installed: Path) -> None:
    top = {path.name for path in installed.iterdir()}
    assert top == {"mitm_ai_proxy", "bin", *(name for name in top if name.startswith("mitm_ai_proxy-"))}
    assert [path.name for path in (installed / "bin").iterdir()] == ["ai-proxy"]


def test_the_wheel_holds_the_licence(installed: Path) -> None:
    (licence,) = installed.glob("mitm_ai_proxy-*.dist-info/licenses/LICENSE")
    assert licence.read_text() == (ROOT / "LICENSE").read_text()


def test_the_command_of_a_wheel_works_without_a_checkout_and_a_file(installed: Path, tmp_path: Path) -> None:
    command = (sys.executable, "-m", "mitm_ai_proxy.commands.main")
    done = _run(*command, "check", folder=tmp_path, PYTHONPATH=str(installed), KLING_API_KEY="x")

    used = installed / "mitm_ai_proxy" / "script" / "config.yaml"
    assert (done.returncode, done.stdout) == (0, f"{used}: provider kling at https://api-singapore.klingai.com\n")
    assert f"there is no config.yaml here, so {used} is used" in done.stderr


def _run_sh(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    # Uses the environment of the tests, so that nothing is installed.
    return _run(ROOT / "run.sh", *words, folder=folder, VENV=sys.prefix, **environment)


needs_run_sh = pytest.mark.skipif(
    not (Path(sys.prefix) / ".made-by-run.sh").exists(), reason="these tests do not run in an environment of run.sh"
)


@needs_run_sh
def test_check_without_a_credential_says_in_one_line_which_variables_to_set(tmp_path: Path) -> None:
    done = _run_sh("check", folder=tmp_path)

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ai-proxy: {ROOT / 'config.yaml'}: ")
    assert "KLING_ACCESS_KEY and KLING_SECRET_KEY, or KLING_API_KEY" in line


@needs_run_sh
def test_run_sh_without_a_credential_starts_a_simulation_and_says_so(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [ROOT / "run.sh", "-p", "0", "--set", f"confdir={tmp_path / 'confdir'}"],
        cwd=tmp_path,
        env={**_clean(), "VENV": sys.prefix},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        # The tool has the same process id, and ends by itself if its start fails.
        line = next((line for line in process.stdout if "curl http" in line), "")
        found = re.search(r"http://127\.0\.0\.1:(\d+)/v1/videos", line)
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=DEADLINE)
        connection.request("POST", "/v1/videos", b'{"model":"kling-v3"}', {"Content-Type": "application/json"})
        assert b"prompt can not be null" in connection.getresponse().read()
        connection.close()
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


@needs_run_sh
def test_run_sh_finds_the_command_behind_options_and_speaks_of_itself_by_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("provider: {type: generic, genericHost: 'http://here.test:1'}")
    done = _run_sh("--config", "x.yaml", "check", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "x.yaml: provider generic at http://here.test:1\n")

    done = _run_sh("--config", "x.yaml", "kling", "web", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {ROOT}/run.sh ")
    assert f"{ROOT}/run.sh web ..." in done.stderr
