"""A store in a folder of the test's own, and a gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mitm_ai_proxy.platform.store import Store
from tests.platform.proxy import Proxy


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = Store(tmp_path / "jobs.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    """The gateway of a file's tests: mitmproxy runs once in a process."""
    made = Proxy()
    made.embedded.start()
    yield made
    made.embedded.stop()
