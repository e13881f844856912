"""The provider of these tests is a type that can be configured."""

from __future__ import annotations

from typing import Any, cast

import pytest

from mitm_ai_proxy import registry
from tests.gateway.literal import Fake


@pytest.fixture(autouse=True)
def fake_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the fake provider: one row."""
    monkeypatch.setitem(cast(dict[str, Any], registry.TYPES), Fake.type, Fake)
