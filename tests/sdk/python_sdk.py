"""The Python SDKs of the contract tests: which versions, and how they are installed and run."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.sdk import cache
from tests.sdk.worker import Worker

NEWEST = "3.54.0"
"""Its HTTP library and mitmproxy 11 exclude one another in one environment."""
BEFORE_MULTIPART = "2.26.0"
"""The last version that sends JSON where no file is given."""


def start(version: str) -> Worker:
    """A worker with that version, apart from all packages of the environment that the tests run in."""
    folder = cache.folder(f"openai-{version}", cache.python(f"openai=={version}"))
    script = Path(__file__).with_name("python_worker.py")
    # A DeprecationWarning on every call says that OpenAI's own service is gone.
    return Worker(sys.executable, "-I", "-S", "-W", "ignore", script, folder)
