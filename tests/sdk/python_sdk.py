"""The Python SDKs of the contract tests: which versions, and how they are installed and run."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.sdk import cache
from tests.sdk.worker import Worker

NEWEST = "3.57.0"
"""Its HTTP library cannot be installed together with mitmproxy 11."""
BEFORE_MULTIPART = "2.26.0"
"""The last version that sends JSON if there is no file."""


def folder(version: str) -> Path:
    """The folder of this version and what it needs."""
    return cache.folder(f"openai-{version}", cache.python(f"openai=={version}"))


def start(version: str) -> Worker:
    """Start a worker with this version, isolated from the packages of the tests' environment."""
    script = Path(__file__).with_name("python_worker.py")
    # Ignores the DeprecationWarning of every call, that OpenAI's own service has ended.
    return Worker(sys.executable, "-I", "-S", "-W", "ignore", script, folder(version))
