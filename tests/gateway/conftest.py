"""Fixtures of these tests: the fake provider's type, and a stage that records or replays."""

from __future__ import annotations

import asyncio
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


@pytest.fixture(autouse=True)
def closed_loops(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the loops of mitmproxy's contexts outside of one: mitmproxy 11 does not, and a later test is blamed."""
    made: list[asyncio.AbstractEventLoop] = []
    make = asyncio.new_event_loop

    def keep() -> asyncio.AbstractEventLoop:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(asyncio, "new_event_loop", keep)
    yield
    for loop in made:
        loop.close()


@pytest.fixture
def mitmproxy_context() -> Iterator[taddons.context]:
    """mitmproxy's options and addons, which are global, for a test outside of an event loop."""
    with taddons.context() as context:
        yield context
    context.master._legacy_log_events.uninstall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the cassette."""
    return tmp_path / "a.har"


@pytest.fixture
def stage() -> Recorded:
    """The stage, without a cassette."""
    return Recorded()
