"""The Node SDKs of the contract tests: which versions, and how they are installed and run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.sdk import cache
from tests.sdk.worker import Worker

BEFORE_MULTIPART = "6.27.0"
"""The last version that sends JSON if there is no file."""
NEWEST = "7.57.0"
NEWEST_ANTHROPIC = "1.14.0"
NEEDS = {BEFORE_MULTIPART: 20, NEWEST: 22}
"""The oldest major version of Node for each version of the SDK."""
WITH_ENV_PROXY = 24
"""The oldest major version of Node all of whose releases read NODE_USE_ENV_PROXY; 22 does so from 22.21."""
BROUGHT = 22
"""The major version of Node that npm installs if the one on the machine is older."""


def missing() -> str | None:
    """The reason why no SDK for Node can run here; None if it can."""
    absent = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"there is no {' and no '.join(absent)} here" if absent else None


def start(version: str, script: str = "node_worker.mjs", anthropic: str = "") -> Worker:
    """Start a worker with this version, and with this one of Anthropic's SDK if it is named."""
    packages = (f"openai@{version}", *([f"@anthropic-ai/sdk@{anthropic}"] if anthropic else []))
    name = f"openai-node-{version}{f'-anthropic-{anthropic}' if anthropic else ''}"
    folder = cache.folder(name, lambda part: _install(part, *packages))
    return Worker(program(NEEDS[version]), Path(__file__).with_name(script), folder)


def program(needed: int) -> Path:
    """The Node of this machine if its major version is new enough, else the newest 22."""
    found = shutil.which("node")
    assert found
    said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    match = re.match(r"v(\d+)\.", said)
    assert match, said
    if int(match[1]) >= needed:
        return Path(found)
    brought = cache.folder(f"node-{BROUGHT}", lambda part: _install(part, f"node@{BROUGHT}"))
    return brought / "node_modules" / "node" / "bin" / "node"


def _install(part: Path, *packages: str) -> None:
    npm = shutil.which("npm")
    assert npm
    quiet = ("--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
    cache.run(npm, "install", "--prefix", part, *quiet, *packages, cwd=part)
