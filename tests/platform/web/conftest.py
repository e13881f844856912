"""A running application with an empty store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform.web.server import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An application without keys, on loopback."""
    with Server(tmp_path) as running:
        yield running
