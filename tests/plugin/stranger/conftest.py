"""The client of the application's tests, in front of the proxy."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

openai: Any = importlib.import_module("openai")


@pytest.fixture
def client(ai_proxy: Any) -> Iterator[Any]:
    """OpenAI's SDK, as it is."""
    with openai.OpenAI(base_url=ai_proxy.base_url, api_key="any text") as client:
        yield client
