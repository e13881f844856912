"""A plugin with which the stranger's cassettes are recorded, from the simulator: in its folder,
`PYTHONPATH=../outside pytest -p simulated --ai-record=rewrite`.
"""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the simulator be the provider of the tests that have a cassette."""
    for item in items:
        if not item.get_closest_marker("ai_simulate"):
            item.add_marker(pytest.mark.ai_simulate(speed=1000))
            item.add_marker(pytest.mark.ai_cassette)
