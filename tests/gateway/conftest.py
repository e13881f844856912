"""Fixtures of these tests: the fake provider's type, and a stage that records or replays."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from mitmproxy.test import taddons

from mitm_ai_proxy import registry
from mitm_ai_proxy.gateway.recorded import Recorded
from tests.gateway.literal import Fake


@pytest.fixture(autouse=True)
def fake_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the type of the fake provider."""
    monkeypatch.setitem(cast(dict[str, Any], registry.TYPES), Fake.type, Fake)


@pytest.fixture
def mitmproxy_context() -> Iterator[taddons.context]:
    """mitmproxy's options and addons, which are global, for a test outside of an event loop."""
    with taddons.context() as context:
        yield context
    context.master._legacy_log_events.uninstall()
    context.master.event_loop.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the cassette."""
    return tmp_path / "a.har"


@pytest.fixture
def stage() -> Recorded:
    """The stage, without a cassette."""
    return Recorded()
