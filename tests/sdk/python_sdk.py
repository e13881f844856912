"""The SDKs for Python of the contract tests: which versions, and how they are installed and run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.sdk import cache
from tests.sdk.worker import Worker

NEWEST = "3.57.0"
"""Its HTTP library cannot be installed together with mitmproxy 11."""
BEFORE_MULTIPART = "2.26.0"
"""The last version that sends JSON if there is no file."""
PACKAGES = {
    NEWEST: (
        f"openai=={NEWEST}",
        "anthropic==2.14.0",
        "google-genai==3.6.1",
        "cohere==7.3.1",
        "dashscope==2.0.2",
        "tencentcloud-sdk-python-hunyuan==3.1.180",
        "botocore==1.44.8",
    ),
    # LiteLLM wants an old version of OpenAI's SDK.
    BEFORE_MULTIPART: (f"openai=={BEFORE_MULTIPART}", "litellm==1.106.2"),
}
"""By the version of OpenAI's SDK: what is installed together with it, for what they have in common is compiled once."""


def folder(version: str = NEWEST) -> Path:
    """The folder with this version of OpenAI's SDK, and others."""
    return cache.packages(*PACKAGES[version])


def worker(version: str) -> Worker:
    """A process with this version and others, isolated from the packages of the tests' environment."""
    return in_folder(lambda: folder(version))


def in_folder(find: Callable[[], Path]) -> Worker:
    """A process with the packages of a folder."""
    script = Path(__file__).with_name("process.py")
    # Ignores the DeprecationWarning of every call, that OpenAI's own service has ended.
    return Worker(lambda: (sys.executable, "-I", "-S", "-W", "ignore", script, find()))
